"""Azurite's blob service as a child process: a free port, an account of its own, everything in
memory."""

import asyncio
import base64
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from dev.azurite.install import installed, node
from dev.child import Child, Command, minimal_environment, start, tail

READY_S = 60.0
GRACE_S = 3.0  # it waits for idle keep-alive connections, which hold nothing that would be lost
LISTENS = re.compile(r"successfully listens on https?://127\.0\.0\.1:(\d+)")


class AzuriteFailed(RuntimeError):
    """It did not come up; the message ends with the last lines of its log."""


@dataclass(frozen=True, kw_only=True)
class Azurite:
    """A running Azurite. `key` is the account's key, base64 as Azure has it."""

    port: int
    account: str
    key: str = field(repr=False)
    pid: int
    scheme: str = "http"

    @property
    def account_url(self) -> str:
        """The account stands in the path, not in the host: Azurite's form for an address without
        DNS."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{self.account}"

    @property
    def connection_string(self) -> str:
        fields = {
            "DefaultEndpointsProtocol": self.scheme,
            "AccountName": self.account,
            "AccountKey": self.key,
            "BlobEndpoint": self.account_url,
        }
        return ";".join(f"{name}={value}" for name, value in fields.items())

    @asynccontextmanager
    async def service(self) -> AsyncIterator[BlobServiceClient]:
        """A client of the whole account, closed on leaving."""
        async with BlobServiceClient.from_connection_string(self.connection_string) as client:
            yield client

    @asynccontextmanager
    async def container(self, prefix: str = "test") -> AsyncIterator[ContainerClient]:
        """Make an empty container of a name of its own, give a client of it, and delete it with all
        it holds."""
        async with self.service() as service:
            client = service.get_container_client(f"{prefix}-{secrets.token_hex(4)}")
            await client.create_container()
            try:
                yield client
            finally:
                await _deleted(client)


async def _deleted(client: ContainerClient) -> None:
    try:
        await client.delete_container()
    except ResourceNotFoundError:
        return  # the test deleted it


@asynccontextmanager
async def azurite(folder: Path, *, pem: Path | None = None) -> AsyncIterator[Azurite]:
    """Start Azurite with its log in `folder` (made here, gone on exit), stop it on leaving. Call it
    on the main thread. With a `pem` of certificate and key it speaks TLS and takes tokens of
    Microsoft Entra, whose claims it checks, but no signature.

    Installs it first where it is not there (`dev.azurite.install`). Raises AzuriteFailed or
    InstallFailed.
    """
    program = await installed()
    account, key = (
        f"isobath{secrets.token_hex(4)}",
        base64.b64encode(secrets.token_bytes(64)).decode(),
    )
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    try:
        child = start(_command(program, folder, f"{account}:{key}", pem))
        try:
            port = await asyncio.wait_for(_listening(child, folder / "azurite.log"), READY_S)
            scheme = "https" if pem else "http"
            yield Azurite(port=port, account=account, key=key, pid=child.pid, scheme=scheme)
        finally:
            await child.stop(GRACE_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(program: Path, folder: Path, accounts: str, pem: Path | None) -> Command:
    # --skipApiVersionCheck: client libraries speak newer versions than the emulator knows.
    flags = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]
    flags += ["--silent", "--skipApiVersionCheck", "--disableProductStyleUrl", "--disableTelemetry"]
    if pem is not None:
        flags += ["--oauth", "basic", "--cert", str(pem), "--key", str(pem)]
    return Command(
        arguments=[str(node()), str(program / "dist" / "src" / "blob" / "main.js"), *flags],
        environment=minimal_environment(AZURITE_ACCOUNTS=accounts),
        log=folder / "azurite.log",
        folder=folder,
    )


async def _listening(child: Child, log: Path) -> int:
    """The port, once it says on which it listens."""
    while child.exit_code is None:
        said = LISTENS.search(tail(log))
        if said is not None:
            return int(said[1])
        await asyncio.sleep(0.05)
    raise AzuriteFailed(f"Azurite ended with {child.exit_code}:\n{tail(log)}")
