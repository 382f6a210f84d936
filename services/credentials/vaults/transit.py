"""Envelope encryption: the keys of the store lie beside it, wrapped by a key that never leaves
Vault. https://developer.hashicorp.com/vault/api-docs/secret/transit
"""

import base64
from dataclasses import dataclass

from servicekit.secrets import Secret
from services.credentials.errors import StoreUnusable, VaultFault
from services.credentials.keys import Place
from services.credentials.vaults import hashicorp
from services.credentials.vaults.session import Session

_FILE = "store.wrapped"


@dataclass
class TransitKeys:
    """Vault is asked at the start and at each rotation only."""

    home: Place
    place: hashicorp.Place
    mount: str
    name: str

    def held(self) -> tuple[Secret, ...]:
        if self.home.kept(_FILE) is None:
            self.home.require_new(_FILE)
            self._write([self._new()])
        return self._unwrapped()

    def begin(self) -> tuple[Secret, ...]:
        self._write([self._new(), *self._lines()])
        return self._unwrapped()

    def finish(self) -> tuple[Secret, ...]:
        self._write(self._lines()[:1])
        return self._unwrapped()

    def _new(self) -> str:
        def ask(session: Session) -> str:
            answer = session.call(
                lambda client: client.secrets.transit.generate_data_key(
                    self.name, "wrapped", mount_point=self.mount
                )
            )
            return str(answer["data"]["ciphertext"])

        try:
            with hashicorp.translating(), hashicorp.signed_in(self.place) as session:
                return ask(session)
        except VaultFault as exc:
            raise StoreUnusable(f"the store's key cannot be made: {exc}") from exc

    def _unwrapped(self) -> tuple[Secret, ...]:
        try:
            with hashicorp.translating(), hashicorp.signed_in(self.place) as session:
                return tuple(self._open(session, line) for line in self._lines())
        except VaultFault as exc:
            raise StoreUnusable(f"the store's key cannot be unwrapped: {exc}") from exc

    def _open(self, session: Session, line: str) -> Secret:
        answer = session.call(
            lambda client: client.secrets.transit.decrypt_data(
                self.name, line, mount_point=self.mount
            )
        )
        raw = base64.b64decode(answer["data"]["plaintext"])
        return Secret(base64.urlsafe_b64encode(raw))

    def _lines(self) -> list[str]:
        return (self.home.kept(_FILE) or b"").decode().split()

    def _write(self, lines: list[str]) -> None:
        self.home.keep(_FILE, "".join(line + "\n" for line in lines).encode())
