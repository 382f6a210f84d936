"""The connectors by address; which type of source each serves, it says itself."""

from types import TracebackType
from typing import Any, Protocol, Self

from connectorkit.directory import Connector, Directory
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.secrets import Secret
from servicekit.tls import Tls
from services.sandbox.errors import UnknownSourceType

SERVICE = "isobath.connector.v1.ConnectorService"


class Reaching(Protocol):
    """A way to the connectors."""

    async def of_type(self, kind: str) -> Any:
        """The stub of the one that serves sources of this type. Raises UnknownSourceType."""

    def notes(self, kind: str) -> str:
        """What it says to those who write code."""


class Connectors:
    """`async with Connectors(addresses, token) as connectors`."""

    def __init__(
        self, addresses: tuple[str, ...], token: Secret | None, tls: Tls | None = None
    ) -> None:
        self._directory = Directory(addresses, token, tls)

    async def __aenter__(self) -> Self:
        await self._directory.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._directory.__aexit__(kind, error, trace)

    async def of_type(self, kind: str) -> rpc.ConnectorServiceStub:
        """Raises UnknownSourceType."""
        return (await self._found(kind)).stub

    async def carrying(self, kind: str, method: str) -> Any:
        """A call of that method as bytes, however many messages go either way. Raises
        UnknownSourceType."""
        opened: Any = (await self._found(kind)).channel
        return opened.stream_stream(f"/{SERVICE}/{method}")

    def notes(self, kind: str) -> str:
        known = {each.type: each.code_notes for each in self._directory.known()}
        return known.get(kind, "")

    async def _found(self, kind: str) -> Connector:
        found = await self._directory.of_type(kind)
        if found is None:
            raise UnknownSourceType(kind)
        return found
