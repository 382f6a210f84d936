"""How calls are made: under the key, with a deadline, again where that is safe, and with errors as
`IsobathError`."""

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.message import Message

from isobath_client.aio.transport import sleep
from isobath_client.errors import IsobathError, translated
from isobath_client.retries import DEFAULT, Retries

T = TypeVar("T")
R = TypeVar("R", bound=Message)


@dataclass(frozen=True)
class AsyncCalls:
    """`timeout_s` bounds a call with one answer, `stream_timeout_s` one with many."""

    metadata: Sequence[tuple[str, str]] = field(repr=False)
    timeout_s: float = 60.0
    stream_timeout_s: float = 3600.0
    retries: Retries = DEFAULT

    async def one(
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
                    answer = await method(request, metadata=self.metadata, timeout=self.timeout_s)
                assert isinstance(answer, reply)
                return answer
            except IsobathError as error:
                failures += 1
                await self._wait_or_raise(error, failures, safe=safe)

    async def stream(
        self, method: Callable[..., Any], request: Message
    ) -> AsyncGenerator[Any, None]:
        """A call with many answers, without effect: made again as long as none has come. Leaving
        cancels it."""
        failures, begun = 0, False
        while True:
            try:
                async with aclosing(self.stream_once(method, request)) as responses:
                    async for response in responses:
                        begun = True
                        yield response
                return
            except IsobathError as error:
                failures += 1
                await self._wait_or_raise(error, failures, safe=not begun)

    async def stream_once(
        self, method: Callable[..., Any], request: Message
    ) -> AsyncGenerator[Any, None]:
        """The same, made once."""
        call = method(request, metadata=self.metadata, timeout=self.stream_timeout_s)
        try:
            with translated():
                async for response in call:
                    yield response
        finally:
            call.cancel()

    async def pages(
        self,
        method: Callable[..., Any],
        request: Any,
        reply: type[R],
        items: Callable[[R], Iterable[T]],
    ) -> AsyncIterator[T]:
        """All items of a list that is given page by page."""
        while True:
            page: Any = await self.one(method, request, reply, safe=True)
            for item in items(page):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def resume_or_raise(self, error: IsobathError, failures: int, since: float) -> None:
        """Wait until events that broke off may be asked for again; `since` = the first failure in a
        row, of `time.monotonic`. Raises the error where it is over."""
        waited = time.monotonic() - since
        # no secret hangs on it
        wait_s = self.retries.of_stream(error, failures, waited, drawn=random.random())  # noqa: S311
        if wait_s is None:
            raise error
        await sleep(wait_s)

    async def _wait_or_raise(self, error: IsobathError, failures: int, *, safe: bool) -> None:
        wait_s = self.retries.of_call(error, failures, safe=safe, drawn=random.random())  # noqa: S311
        if wait_s is None:
            raise error
        await sleep(wait_s)
