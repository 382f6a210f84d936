"""How calls are made: under the key, with a deadline, again where that is safe, and with errors as
`IsobathError`."""

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.message import Message

from isobath_client.errors import IsobathError, translated
from isobath_client.retries import DEFAULT, Retries
from isobath_client.sync.transport import sleep

T = TypeVar("T")
R = TypeVar("R", bound=Message)


@dataclass(frozen=True)
class Calls:
    """`timeout_s` bounds a call with one answer, `stream_timeout_s` one with many."""

    metadata: Sequence[tuple[str, str]] = field(repr=False)
    timeout_s: float = 60.0
    stream_timeout_s: float = 3600.0
    retries: Retries = DEFAULT

    def one(
        self,
        method: Callable[..., Any],
        request: Message,
        reply: type[R],
        *,
        safe: bool = False,
    ) -> R:
        """A call with one answer; a `safe` one is made again when it was lost."""
        failures = 0
        while True:
            try:
                with translated():
                    answer = method(request, metadata=self.metadata, timeout=self.timeout_s)
                assert isinstance(answer, reply)
                return answer
            except IsobathError as error:
                failures += 1
                self._wait_or_raise(error, failures, safe=safe)

    def stream(self, method: Callable[..., Any], request: Message) -> Generator[Any, None]:
        """A call with many answers, without effect: made again as long as none has come. Leaving
        cancels it."""
        failures, begun = 0, False
        while True:
            try:
                with closing(self.stream_once(method, request)) as responses:
                    for response in responses:
                        begun = True
                        yield response
                return
            except IsobathError as error:
                failures += 1
                self._wait_or_raise(error, failures, safe=not begun)

    def stream_once(self, method: Callable[..., Any], request: Message) -> Generator[Any, None]:
        """The same, made once."""
        call = method(request, metadata=self.metadata, timeout=self.stream_timeout_s)
        try:
            with translated():
                yield from call
        finally:
            call.cancel()

    def pages(
        self,
        method: Callable[..., Any],
        request: Any,
        reply: type[R],
        items: Callable[[R], Iterable[T]],
    ) -> Iterator[T]:
        """All items of a list that is given page by page."""
        while True:
            page: Any = self.one(method, request, reply, safe=True)
            yield from items(page)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def resume_or_raise(self, error: IsobathError, failures: int, since: float) -> None:
        """Wait until events that broke off may be asked for again; `since` = the first failure in a
        row, of `time.monotonic`. Raises the error where it is over."""
        waited = time.monotonic() - since
        # no secret hangs on it
        wait_s = self.retries.of_stream(error, failures, waited, drawn=random.random())  # noqa: S311
        if wait_s is None:
            raise error
        sleep(wait_s)

    def _wait_or_raise(self, error: IsobathError, failures: int, *, safe: bool) -> None:
        wait_s = self.retries.of_call(error, failures, safe=safe, drawn=random.random())  # noqa: S311
        if wait_s is None:
            raise error
        sleep(wait_s)
