"""One program of a run: what the sandbox tells of it, as events and as what the model reads."""

from typing import Protocol

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.sandbox.v1 import sandbox_pb2 as sandbox
from services.gateway import render
from services.gateway.conversation import Execute
from services.gateway.live import Live

STREAMS = {
    sandbox.STREAM_STDOUT: "stdout",
    sandbox.STREAM_STDERR: "stderr",
    sandbox.STREAM_RESULT: "result",
    sandbox.STREAM_TRACEBACK: "traceback",
}


class Keeping(Protocol):
    """The run, as its programs need it."""

    live: Live

    async def keep_artifact(self, round: int, artifact: sandbox.Artifact) -> analyst.FileInfo:
        """Store a file that lies in the workspace, and tell of it."""

    async def keep_whole(self, name: str, content: bytes, media_type: str) -> analyst.FileInfo:
        """Store a file that is in memory."""


class Program:
    """Collects what one program does: events out, and the text that the model reads."""

    def __init__(self, run: Keeping, action: Execute) -> None:
        self._run = run
        self._action = action
        self._text: list[str] = []
        self.kept: list[analyst.FileInfo] = []
        self.ended = False

    async def take(self, event: sandbox.ExecuteResponse) -> None:
        """One event of the sandbox."""
        kind = event.WhichOneof("event")
        if kind == "output":
            self._said(event.output)
        elif kind == "display":
            await self._shown(event.display)
        elif kind == "artifact":
            kept = await self._run.keep_artifact(self._action.round, event.artifact)
            self.kept.append(kept)
        elif kind == "finished":
            self.ended = True
            self._finished(event.finished)

    def output(self) -> str:
        """What the program printed, as the model reads it."""
        return "".join(self._text) or "(no output)\n"

    def _said(self, output: sandbox.Output) -> None:
        self._text.append(output.text)
        self._run.live.emit(
            program_output=analyst.ProgramOutput(
                round=self._action.round,
                stream=STREAMS.get(output.stream, "stdout"),
                text=output.text,
            )
        )

    async def _shown(self, display: sandbox.Display) -> None:
        image = display.data.get("image/png")
        if image is None:
            text = display.data.get("text/plain", b"").decode(errors="replace")
            if text:
                self._said(sandbox.Output(stream=sandbox.STREAM_RESULT, text=text + "\n"))
            return
        name = f"figure-{self._action.round}-{len(self.kept) + 1}.png"
        info = await self._run.keep_whole(name, image, "image/png")
        self.kept.append(info)
        self._run.live.emit(
            figure=analyst.Figure(
                round=self._action.round,
                media_type=info.media_type,
                file_id=info.id,
                name=info.name,
                size_bytes=info.size_bytes,
                url=info.url,
            )
        )

    def _finished(self, finished: sandbox.Finished) -> None:
        outcome = sandbox.Outcome.Name(finished.outcome).removeprefix("OUTCOME_").lower()
        self._text.append(render.ending(finished, self._action.seconds))
        if finished.outcome == sandbox.OUTCOME_DIED:
            died = render.died_of(finished)
            lost = f"the kernel died ({died}); its variables are lost, files are kept"
            self._run.live.emit(notice=analyst.Notice(text=lost))
        self._run.live.emit(
            program_finished=analyst.ProgramFinished(
                round=self._action.round,
                outcome=outcome,
                elapsed=finished.elapsed,
                error=f"{finished.error_name}: {finished.error_text}".strip(": "),
            )
        )
