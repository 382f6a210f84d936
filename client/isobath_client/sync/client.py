"""The client: one connection, and what can be asked on it."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self, Unpack
from uuid import uuid4

import grpc

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.analyst.v1 import analyst_pb2_grpc as stubs
from isobath.analyst.v1.access_pb2_grpc import AccessServiceStub
from isobath_client import requests
from isobath_client.channels import dialling
from isobath_client.errors import IsobathError, RunCancelled, RunFailed
from isobath_client.events import ENDS, Cancelled, Event, Failed
from isobath_client.requests import Asking, Parameter
from isobath_client.retries import DEFAULT, Retries
from isobath_client.settings import resolve
from isobath_client.sync.access import Access
from isobath_client.sync.answers import Answer
from isobath_client.sync.calls import Calls
from isobath_client.sync.files import Files
from isobath_client.sync.runs import Runs
from isobath_client.sync.sources import Sources
from isobath_client.sync.threads import Threads
from isobath_client.sync.transport import best_effort, closed, opened
from isobath_client.tables import Table
from isobath_client.transcripts import transcript


class Isobath:
    """A connection to a gateway. Use it as a context manager, or `close` it.

    `address` is `host:port`, or `https://host` for TLS, which `tls` and `ca` (a PEM file of the
    authorities to believe, or its bytes) stand for too. `timeout_s` bounds a call with one answer,
    `run_timeout_s` one that follows a run or moves a file. `channel` may be given, to use
    interceptors of one's own; it is then not closed here. Every call raises `IsobathError` when it
    is refused.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str,
        tls: bool | None = None,
        ca: Path | bytes | None = None,
        timeout_s: float = 60.0,
        run_timeout_s: float = 3600.0,
        retries: Retries = DEFAULT,
        channel: grpc.Channel | None = None,
    ) -> None:
        self._owned = channel is None
        self._channel = channel or opened(dialling(address, tls, ca))
        metadata = (("authorization", f"Bearer {api_key}"),)
        self._calls = Calls(metadata, timeout_s, run_timeout_s, retries)
        self._analyst = stubs.AnalystServiceStub(self._channel)
        self.runs = Runs(self._analyst, self._calls)
        self.threads = Threads(self._analyst, self._calls)
        self.sources = Sources(stubs.DataSourceServiceStub(self._channel), self._calls)
        self.files = Files(stubs.FileServiceStub(self._channel), self._calls)
        self.access = Access(AccessServiceStub(self._channel), self._calls)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The gateway that the environment names: ISOBATH_ADDRESS, ISOBATH_API_KEY or
        ISOBATH_API_KEY_FILE, ISOBATH_CA_FILE; else a running `make up` of ISOBATH_HOME."""
        where = resolve(environ)
        return cls(where.address, api_key=where.api_key, ca=where.ca)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if self._owned:
            closed(self._channel)

    def ask(
        self,
        question: str,
        *,
        on_event: Callable[[Event], object] | None = None,
        **asking: Unpack[Asking],
    ) -> Answer:
        """Ask, wait for the end, and give the answer; `on_event` is told each step meanwhile.

        `data` says what it is about, the rest stands with `Asking`. Raises `RunFailed` and
        `RunCancelled` for a run that ends so. Being interrupted cancels the run.
        """
        events: list[Event] = []
        with closing(self.stream(question, **asking)) as steps:
            for event in steps:
                events.append(event)
                if on_event is not None:
                    on_event(event)
        match events[-1]:
            case Failed() as failed:
                raise RunFailed(failed, events)
            case Cancelled(run_id=run_id):
                raise RunCancelled(run_id, events)
        answer = Answer(transcript(events), events, self.files, self.ask)
        answer.ready()
        return answer

    def stream(
        self, question: str, *, detach: bool = False, **asking: Unpack[Asking]
    ) -> Generator[Event, None]:
        """Ask, and give each step as it happens; the last is `Completed`, `Failed` or `Cancelled`.

        A connection that breaks off is taken up again where it was. Closing the iterator early
        cancels the run, unless `detach` is set. A process that is killed leaves its run going, to
        its own bounds.
        """
        run = self.start(question, **asking)
        ended = False
        try:
            with closing(self.runs.watch(run.run_id)) as events:
                for event in events:
                    ended = isinstance(event, ENDS)
                    yield event
        finally:
            if not (ended or detach):
                best_effort(self.runs.cancel, run.run_id)

    def start(self, question: str, **asking: Unpack[Asking]) -> messages.Run:
        """Ask, and give the run at once: it goes on by itself, for `watch` to follow."""
        sent = [
            (self.files.upload(each)).id if isinstance(each, Path) else each
            for each in asking.get("files", ())
        ]
        asked = requests.chat(question, asking, file_ids=sent, key=uuid4().hex)
        request = messages.StartRunRequest(question=asked)
        try:
            return self._started(request)
        except IsobathError:
            raise
        except BaseException:
            # interrupted, when it may have begun: its key finds it
            best_effort(self._undo, request)
            raise

    def _started(self, request: messages.StartRunRequest) -> messages.Run:
        reply = messages.StartRunResponse
        # the idempotency key makes it safe
        return (self._calls.one(self._analyst.StartRun, request, reply, safe=True)).run

    def _undo(self, request: messages.StartRunRequest) -> None:
        self.runs.cancel((self._started(request)).run_id)

    def watch(self, run_id: str, *, after: int = 0) -> Generator[Event, None]:
        """A run's events with a sequence number above `after`, followed to its end."""
        return self.runs.watch(run_id, after=after)

    def query(
        self,
        source: str,
        sql: str,
        params: Sequence[Parameter] = (),
        *,
        max_rows: int | None = None,
        timeout_s: float | None = None,
    ) -> Table:
        """The result of a query, with `params` bound to $1, $2 …"""
        return self.sources.query(source, sql, params, max_rows=max_rows, timeout_s=timeout_s)

    def preview(self, source: str, path: str, *, rows: int = 10) -> Table:
        """The first rows of a relation, a blob, or a glob as one table."""
        return self.sources.preview(source, path, rows=rows)

    def models(self) -> Sequence[messages.ChatModel]:
        """The models that `ask` takes."""
        request, reply = messages.ListModelsRequest(), messages.ListModelsResponse
        return (self._calls.one(self._analyst.ListModels, request, reply, safe=True)).models

    def status(self) -> messages.GetStatusResponse:
        """How the platform stands: each service's own word, and the sandbox's tier."""
        request, reply = messages.GetStatusRequest(), messages.GetStatusResponse
        return self._calls.one(self._analyst.GetStatus, request, reply, safe=True)
