"""One run, from its data to its answer: drives the conversation against the services.

Every step goes out as an event. What is raised ends the run; what was opened for it is closed by
`Runs`, which owns the task.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from google.protobuf.duration_pb2 import Duration

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.inference.v1 import inference_pb2 as inference
from isobath.sandbox.v1 import sandbox_pb2 as sandbox
from isobath.sandbox.v1.sandbox_pb2_grpc import SandboxServiceStub
from servicekit import tracing
from servicekit.status import RemoteFault
from services.gateway import metrics, render
from services.gateway.approvals import Approvals
from services.gateway.asking import Asking
from services.gateway.budget import Learned
from services.gateway.callers import Caller
from services.gateway.checkpoint import Counted, Progress
from services.gateway.chosen import Chosen, attached
from services.gateway.clients import Services, call, stream
from services.gateway.conversation import (
    Action,
    Conversation,
    Execute,
    Fetched,
    Finish,
    Generate,
    Ran,
    Turn,
)
from services.gateway.errors import NotApproved, WorkspaceLost
from services.gateway.fetching import Fetching
from services.gateway.files import ARTIFACT, FileStore
from services.gateway.guards import Guards
from services.gateway.holdings import holdings
from services.gateway.inline import Inline
from services.gateway.live import Live
from services.gateway.plan import ArtifactsTo, Plan
from services.gateway.program import Program
from services.gateway.prompt import DataFile, Holdings, LiveSource, prompt, trimmed
from services.gateway.sandboxes import Session
from services.gateway.source import Source
from services.gateway.spent import Spent
from services.gateway.tags import ANSWER, Closed, Opened, TagParser, Text
from services.gateway.writeback import Target

BLOCKS = {
    "": analyst.BLOCK_KIND_UNSPECIFIED,
    "Analyze": analyst.BLOCK_KIND_ANALYZE,
    "Understand": analyst.BLOCK_KIND_UNDERSTAND,
    "Code": analyst.BLOCK_KIND_CODE,
    "Execute": analyst.BLOCK_KIND_EXECUTE,
    "File": analyst.BLOCK_KIND_FILE,
    "Answer": analyst.BLOCK_KIND_ANSWER,
}
# beyond the program's own time: for its interrupt, and for figures to be stored
EXECUTE_MARGIN_S = 30.0
# of the model's context, for what live sources hold and the queries known of them
SOURCES_SHARE = 0.25
MOVED = "the run's sandbox was moved: variables of its programs are lost, files are kept"
FILES_LOST = (
    "files that earlier programs of this thread left in its workspace are lost: the sandbox that "
    "had them has gone. What was stored with earlier answers is kept."
)


AtStep = Callable[["Analysis", Generate | Execute], Awaitable[None]]


@dataclass
class Analysis:
    """One run at work."""

    caller: Caller
    plan: Plan
    run_id: str
    thread_id: str
    model: str
    chosen: Sequence[Chosen]
    live: Live
    services: Services
    files: FileStore
    chat_rows: int
    approvals: Approvals
    # before each step: whoever is told may end the run here
    at_step: AtStep
    target: Target | None = None
    session: Session | None = None
    # how far it had come with another gateway
    before: Progress | None = None
    usage: Spent = field(init=False)
    asking: Asking = field(init=False)
    conversation: Conversation = field(init=False)
    # of files that programs left, by path and by name
    _urls: dict[str, str] = field(default_factory=dict)
    _inline: Inline = field(init=False)

    def __post_init__(self) -> None:
        so_far = self.before.used if self.before else Counted()
        self.usage = Spent.going_on(lambda: self.approvals.waited_s, so_far)
        self._urls.update(self.before.urls if self.before else {})
        self._inline = Inline(self._urls)
        bounds = self.plan.bounds
        self.conversation = (
            self.before.conversation(bounds) if self.before else Conversation(bounds)
        )
        self.asking = Asking(
            models=self.services.models,
            model=self.model,
            owner=self.caller.owner,
            key=self.thread_id or self.run_id,
            sampling=self.plan.sampling,
            tell=lambda text: self.live.emit(notice=analyst.Notice(text=text)),
            learned=self.before.learned if self.before else Learned(),
        )

    def progress(self, step: Generate | Execute) -> Progress:
        """How far it has come, between two steps."""
        return replace(
            Progress.of(self.conversation, step, self.session_id),
            used=self.usage.counted(),
            granted=self.approvals.granted,
            learned=self.asking.so_far(),
            urls=dict(self._urls),
        )

    @property
    def stub(self) -> SandboxServiceStub:
        """Of the sandbox that has the session."""
        assert self.session is not None
        return self.session.stub

    @property
    def session_id(self) -> str:
        """Of the session that is open."""
        assert self.session is not None
        return self.session.id

    async def open(self) -> None:
        """Open the thread's session and give it the run's sources."""
        # how long one waits for a kernel is the sandbox's to say
        opened = self.session = await self.services.sandbox.open(
            self.caller.owner, self.thread_id, seconds=self.plan.bounds.seconds
        )
        started = analyst.RunStarted(
            thread_id=self.thread_id,
            model=self.plan.model or self.model,
            tier=opened.tier,
            question=self.plan.messages[-1].content,
        )
        self.live.emit(started=started)
        if opened.lost:
            self.live.emit(notice=analyst.Notice(text=FILES_LOST))
        self._tell_left_behind(opened)
        await self._attach()

    async def reopen(self, before_id: str = "") -> None:
        """The session again, which was moved to another sandbox between two programs, or is taken
        up from another gateway, which had it by that id. Raises `WorkspaceLost`."""
        self.session = opened = await self.services.sandbox.open(
            self.caller.owner, self.thread_id, seconds=self.plan.bounds.seconds
        )
        if opened.lost:
            raise WorkspaceLost
        if opened.id != before_id:
            self.live.emit(notice=analyst.Notice(text=MOVED))
        self._tell_left_behind(opened)
        await self._attach()

    def _tell_left_behind(self, opened: Session) -> None:
        if count := opened.moved_without:
            text = (
                f"the workspace was moved without {count} links or other things that are no files"
            )
            self.live.emit(notice=analyst.Notice(text=text))

    async def _attach(self) -> None:
        # also without a source: what a run holds is not put away under it
        sources = {each.source.id: attached(each) for each in self.chosen}
        if self.target is not None:
            sources.setdefault(self.target.source.id, attached(self.target)).MergeFrom(
                sandbox.Source(write_grant=self.target.grant, write_prefix=self.target.folder)
            )
        for of in self.sources():
            # both contracts number them alike
            sources[of.id].guarded.extend(self.guards(of))  # type: ignore[arg-type]
        attach = sandbox.AttachSourcesRequest(
            session_id=self.session_id, run_id=self.run_id, sources=sources.values()
        )
        await call("sandbox", self.stub.AttachSources(attach))

    def guards(self, source: Source) -> Guards:
        """What needs an approval, by the source's owner or by the request."""
        return source.approval | self.plan.approval

    def sources(self) -> Iterable[Source]:
        """What it was granted, each once."""
        found = {each.source.id: each.source for each in self.chosen}
        if self.target is not None:
            found.setdefault(self.target.source.id, self.target.source)
        return found.values()

    async def close(self) -> None:
        """Take the sources away again."""
        if self.session is not None:
            request = sandbox.DetachSourcesRequest(session_id=self.session_id, run_id=self.run_id)
            await call("sandbox", self.stub.DetachSources(request, timeout=5))

    # Data

    async def fetch(self) -> list[DataFile]:
        """Bring uploads and selections into the workspace; all files that lie there then."""
        fetching = Fetching(
            owner=self.caller.owner,
            chosen=self.chosen,
            file_ids=self.plan.file_ids,
            seconds=self.plan.bounds.seconds,
            rows=self.chat_rows,
            session_id=self.session_id,
            stub=self.stub,
            files=self.files,
            live=self.live,
            usage=self.usage,
        )
        with tracing.span("fetch", attributes={"isobath.selections": len(self.chosen)}):
            return await fetching.all()

    # The loop

    async def work(self, files: Sequence[DataFile]) -> Finish:
        """Generate and execute until the answer, or a bound."""
        room = await self.asking.room_chars(SOURCES_SHARE)
        live = trimmed(await self._live_sources(), room)
        action = self.conversation.advance(Fetched(prompt(self.plan.messages, files, live)))
        return await self.go_on(action)

    async def go_on(self, action: Action) -> Finish:
        """From there."""
        while not isinstance(action, Finish):
            await self.at_step(self, action)
            if isinstance(action, Generate):
                with tracing.span("turn"):
                    turn = await self._generate(action)
                action = self.conversation.advance(turn)
            else:
                with tracing.span("program", attributes={"isobath.round": action.round}):
                    ran = await self._execute(action)
                action = self.conversation.advance(ran)
        return action

    async def _live_sources(self) -> list[LiveSource]:
        sources = {each.source.id: each.source for each in self.chosen}.values()
        described = [await self.services.connectors.describe(each.type) for each in sources]
        question = self.plan.messages[-1].content
        found = {
            each.id: LiveSource(
                each.name,
                each.type,
                each.description,
                told.code_notes,
                queries=each.guide.fitting(question) if told.takes_queries else (),
            )
            for each, told in zip(sources, described, strict=True)
        }
        for each in self.chosen:
            if each.selection.is_live:
                holds = await self._holdings(each)
                found[each.source.id] = replace(found[each.source.id], holds=holds)
        if self.target is not None:
            to = self.target.source
            known = found.get(to.id, LiveSource(to.name, to.type, to.description))
            found[to.id] = replace(known, folder=self.target.folder)
        return list(found.values())

    async def _holdings(self, of: Chosen) -> Holdings:
        stub = await self.services.connectors.stub(of.source.type)
        question = self.plan.messages[-1].content
        return await holdings(stub, of.source.type, of.grant, question, of.source.guide)

    async def _generate(self, action: Generate) -> Turn:
        parser, text, completion = TagParser(), [], inference.Completion()
        left = max(1.0, self.plan.bounds.seconds - self.usage.worked_s) + EXECUTE_MARGIN_S
        async with aclosing(self.asking.turn(action, seconds=left)) as events:
            async for event in events:
                if event.HasField("completion"):
                    completion = event.completion
                    continue
                text.append(event.delta.text)
                self._tell(parser.feed(event.delta.text))
        self._tell(parser.finish())
        self.count(completion.usage)
        stopped = completion.matched_stop == "</Code>"
        tokens = completion.usage.completion_tokens
        return Turn("".join(text), tokens, self.usage.worked_s, stopped_at_code=stopped)

    def count(self, usage: inference.Usage) -> None:
        """Add what a turn used."""
        metrics.TOKENS.labels("prompt", self.model).inc(usage.prompt_tokens)
        metrics.TOKENS.labels("completion", self.model).inc(usage.completion_tokens)
        self.usage.prompt_tokens += usage.prompt_tokens
        self.usage.completion_tokens += usage.completion_tokens
        self.usage.estimated |= usage.estimated

    def _tell(self, events: Sequence[Opened | Text | Closed]) -> None:
        for event in events:
            kind = BLOCKS[event.kind]
            if isinstance(event, Opened):
                self.live.emit(block_opened=analyst.BlockOpened(kind=kind))
            elif isinstance(event, Closed):
                if event.kind == ANSWER:
                    self._tell_answer(self._inline.finish())
                self.live.emit(block_closed=analyst.BlockClosed(kind=kind))
            elif event.kind == ANSWER:
                self._tell_answer(self._inline.feed(event.source))
            else:
                self.live.text(kind, event.source)

    def _tell_answer(self, text: str) -> None:
        if text:
            self.live.text(analyst.BLOCK_KIND_ANSWER, text)

    def tell_links(self, files: Sequence[analyst.FileInfo]) -> None:
        """In the text itself, for clients that drop all else of an answer."""
        self._platform_block("File", render.file_links(files))

    def _platform_block(self, kind: str, text: str) -> None:
        self._tell([Opened(kind, ""), Text(kind, text), Closed(kind, "")])

    async def _execute(self, action: Execute) -> Ran:
        self.usage.rounds = action.round
        self.live.emit(program_started=analyst.ProgramStarted(round=action.round, code=action.code))
        program = Program(self, action)
        try:
            await self._run(program, action)
        except* RemoteFault as failed:
            if not _is_moved(failed):
                raise
        if not program.ended:
            await self.reopen()
            await self._run(program, action)
        output = program.output()
        self._platform_block("Execute", output)
        if program.kept:
            self.tell_links(program.kept)
        return Ran(output, self.usage.worked_s)

    async def _run(self, program: Program, action: Execute) -> None:
        timeout = Duration()
        timeout.FromMilliseconds(int(action.seconds * 1000))
        request = sandbox.ExecuteRequest(
            session_id=self.session_id,
            program_id=f"{self.run_id}-{action.round}",
            code=action.code,
            timeout=timeout,
        )
        waits = self.approvals.left_s if any(map(self.guards, self.sources())) else 0.0
        limit = action.seconds + EXECUTE_MARGIN_S + waits
        running = self.stub.Execute(request, timeout=limit)
        async with asyncio.TaskGroup() as asking, stream("sandbox", running) as events:
            async for event in events:
                if event.HasField("approval"):
                    asking.create_task(self._approved(action.round, event.approval))
                else:
                    await program.take(event)
            self.approvals.withdraw()

    async def _approved(self, round: int, asked: sandbox.ApprovalRequest) -> None:
        """Ask a person, and tell the program, should it still wait."""
        decided = await self.approvals.wait(
            analyst.ApprovalRequested(
                approval_id=asked.approval_id,
                round=round,
                source=asked.source,
                source_id=asked.source_id,
                operation=asked.operation,  # type: ignore[arg-type]
                query=asked.query if asked.HasField("query") else None,
                path=asked.path,
                overwrite=asked.overwrite,
            )
        )
        if decided.how == "withdrawn":
            return
        request = sandbox.DecideApprovalRequest(
            session_id=self.session_id,
            approval_id=asked.approval_id,
            approved=decided.approved,
            comment=decided.comment,
        )
        try:
            await call("sandbox", self.stub.DecideApproval(request))
        except RemoteFault as fault:
            # the program gave up waiting: its own end says so
            if fault.reason != "NOT_FOUND":
                raise

    async def may_write(self, target: ArtifactsTo, source: Source, folder: str) -> None:
        """Ask a person before the run's files are written. Raises `NotApproved`."""
        if analyst.GUARDED_OPERATION_WRITE not in self.guards(source):
            return
        decided = await self.approvals.wait(
            analyst.ApprovalRequested(
                approval_id=f"apr-{secrets.token_hex(10)}",
                source=source.name,
                source_id=source.id,
                operation=analyst.GUARDED_OPERATION_WRITE,
                path=folder,
                overwrite=target.overwrite,
            )
        )
        if not decided.approved:
            raise NotApproved(source.name, decided.comment)

    async def keep_artifact(self, round: int, artifact: sandbox.Artifact) -> analyst.FileInfo:
        """Copy a file that a program left out of the workspace, so that it outlives it."""
        request = sandbox.ReadFileRequest(session_id=self.session_id, path=artifact.path)
        reading = self.stub.ReadFile(request, timeout=300)

        async def pieces() -> AsyncIterator[bytes]:
            async with stream("sandbox", reading) as events:
                async for event in events:
                    if event.HasField("piece"):
                        yield event.piece

        info = await self.keep(artifact.path, pieces(), media_type=artifact.media_type)
        self.tell_artifact(round, info)
        return info

    def tell_artifact(self, round: int, info: analyst.FileInfo) -> None:
        """A file of this run is there."""
        self.live.emit(
            artifact=analyst.ArtifactReady(
                round=round,
                file_id=info.id,
                name=info.name,
                size_bytes=info.size_bytes,
                media_type=info.media_type,
                url=info.url,
            )
        )

    async def keep_whole(self, name: str, content: bytes, media_type: str) -> analyst.FileInfo:
        """Store a file of this run that is in memory."""

        async def whole() -> AsyncIterator[bytes]:
            yield content

        return await self.keep(name, whole(), media_type=media_type)

    async def keep(
        self, name: str, pieces: AsyncIterator[bytes], *, media_type: str = ""
    ) -> analyst.FileInfo:
        """Store a file of this run."""
        info = await self.files.put(
            self.caller.owner,
            PurePosixPath(name).name,
            pieces,
            purpose=ARTIFACT,
            media_type=media_type,
            thread_id=self.thread_id,
            run_id=self.run_id,
        )
        self._urls |= {name: info.url, info.name: info.url}
        return info


def _is_moved(failed: BaseExceptionGroup[RemoteFault]) -> bool:
    """The sandbox does not know the session any more, and began no program."""
    first = failed.exceptions[0]
    return (
        isinstance(first, RemoteFault)
        and first.reason == "NOT_FOUND"
        and first.fields.get("kind") == "session"
    )
