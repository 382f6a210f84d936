"""How calls are made: under the key, with a deadline, and with errors as `IsobathError`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from isobath_client.errors import translated

CALL_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 60.0 * 60

T = TypeVar("T")
R = TypeVar("R", bound=Message)


class Calls:
    """`metadata` goes with each call."""

    def __init__(self, metadata: Sequence[tuple[str, str]]) -> None:
        self._metadata = metadata

    def one(self, method: Callable[..., object], request: Message, reply: type[R]) -> R:
        with translated():
            answer = method(request, metadata=self._metadata, timeout=CALL_TIMEOUT_S)
        assert isinstance(answer, reply)
        return answer

    def stream(self, method: Callable[..., Any], request: Message, event: type[R]) -> Iterator[R]:
        call = method(request, metadata=self._metadata, timeout=RUN_TIMEOUT_S)
        try:
            with translated():
                for response in call:
                    assert isinstance(response.event, event)
                    yield response.event
        finally:
            call.cancel()

    def pages(
        self,
        method: Callable[..., object],
        request: Any,
        reply: type[R],
        items: Callable[[R], Iterable[T]],
    ) -> Iterator[T]:
        while True:
            page: Any = self.one(method, request, reply)
            yield from items(page)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
