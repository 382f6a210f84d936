"""The secrets that declared sources refer to, read when they are asked for, so that a secret that
is changed where it lies needs no word here."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hvac import exceptions as refused

from servicekit.limits import Limiter
from servicekit.secrets import Secret
from services.credentials.declared import Entry, Problem, Reference
from services.credentials.errors import VaultRefused
from services.credentials.vaults.hashicorp import Connection

_MAX_BYTES = 64 * 1024


class References:
    def __init__(
        self, environ: Mapping[str, str], vault: Connection | None, threads: Limiter
    ) -> None:
        self._environ, self._vault, self._threads = environ, vault, threads

    async def resolved(self, entry: Entry) -> dict[str, Secret]:
        """Raises VaultFault."""
        return {name: await self.read(each) for name, each in entry.secrets.items()}

    async def problems(self, entries: Sequence[Entry]) -> list[Problem]:
        """What cannot be resolved as far as can be told without Vault, which may be away."""
        return await self._threads.run(lambda: list(self._problems(entries)))

    async def read(self, reference: Reference) -> Secret:
        """As it is now. Raises VaultFault."""
        if reference.kind == "vault":
            if self._vault is None:
                raise _unresolved(reference, "no Vault is set")
            return await self._vault.run(self._from_vault, self._vault, reference)
        if reference.kind == "env":
            return self._from_environment(reference)
        return await self._threads.run(_from_file, reference)

    def _from_environment(self, reference: Reference) -> Secret:
        value = self._environ.get(reference.place)
        if not value:
            raise _unresolved(reference, "the variable is not set")
        return Secret(value)

    def _from_vault(self, vault: Connection, reference: Reference) -> Secret:
        mount, _, path = reference.place.partition("/")
        try:
            answer: Any = vault.session.call(
                lambda client: client.secrets.kv.v2.read_secret_version(
                    path=path, mount_point=mount, raise_on_deleted_version=True
                )
            )
        except refused.InvalidPath as exc:
            raise _unresolved(reference, "there is no such secret in Vault") from exc
        value = answer["data"]["data"].get(reference.field)
        if not isinstance(value, str) or not value:
            raise _unresolved(reference, "the secret in Vault has no such text")
        return Secret(value)

    def _problems(self, entries: Sequence[Entry]) -> Iterator[Problem]:
        for entry in entries:
            for reference in entry.secrets.values():
                try:
                    self._try(reference)
                except VaultRefused as problem:
                    yield Problem(reference.line, str(problem))

    def _try(self, reference: Reference) -> None:
        if reference.kind == "env":
            self._from_environment(reference)
        elif reference.kind == "file":
            _from_file(reference)
        elif self._vault is None:
            raise _unresolved(reference, "no Vault is set")


def _from_file(reference: Reference) -> Secret:
    """Without the newline that editors leave at its end."""
    try:
        with Path(reference.place).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode()
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else "it cannot be read"
        raise _unresolved(reference, why) from exc
    except UnicodeDecodeError:
        raise _unresolved(reference, "it is no text in UTF-8") from None
    if len(content) > _MAX_BYTES or not text.strip():
        raise _unresolved(reference, f"a secret has 1 to {_MAX_BYTES} bytes")
    return Secret(text.removesuffix("\n").removesuffix("\r"))


def _unresolved(reference: Reference, why: str) -> VaultRefused:
    return VaultRefused(
        f"{reference} cannot be had: {why}", remedy="Correct the reference, or what it names."
    )
