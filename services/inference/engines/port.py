"""What the servicer needs of an engine."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Protocol

from services.inference.models import Event, Load, Message, Model, Request, TokenCount


class Engine(Protocol):
    """Errors are those of `services.inference.errors`."""

    def models(self) -> Sequence[Model]:
        """The first is the default."""
        ...

    def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """Deltas, then one Completion. Closing or cancelling it frees the engine at once."""
        ...

    async def count_tokens(self, model: str, messages: Sequence[Message]) -> TokenCount: ...

    def load(self) -> Load: ...

    async def aclose(self) -> None: ...


class Adapters(Protocol):
    """Of engines that can serve LoRA adapters beside their model."""

    async def load_adapter(self, name: str, path: Path) -> Model:
        """The same name and path again is no error."""
        ...

    async def unload_adapter(self, name: str) -> bool:
        """Tells whether it was there. Answers that use it end first."""
        ...
