"""How the service signs in to Vault.

https://developer.hashicorp.com/vault/docs/auth; a token is given, the others are logged in for and
give a token that lives for a while.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import hvac
from hvac import exceptions as refused

from servicekit.secrets import Secret
from services.credentials.errors import VaultRefused

Method = Literal["token", "approle", "kubernetes", "jwt"]


@dataclass(frozen=True)
class Token:
    """`lives_s` and `renewable` as Vault said; 0 = without end, or not known."""

    value: Secret
    lives_s: float = 0.0
    renewable: bool = False


class Login(Protocol):
    @property
    def again(self) -> bool:
        """Whether another login may give another token."""

    def token(self, client: hvac.Client) -> Token:
        """Raises what hvac raises, and VaultRefused."""


@dataclass(frozen=True)
class GivenToken:
    value: Secret
    again: bool = False

    def token(self, client: hvac.Client) -> Token:
        client.token = self.value.reveal()
        try:
            told = client.auth.token.lookup_self()["data"]
        except refused.Forbidden:
            return Token(self.value)  # its policy keeps it from looking, or each call will say so
        return Token(self.value, float(told.get("ttl") or 0), bool(told.get("renewable")))


@dataclass
class AppRole:
    """A secret id may come wrapped: then it is unwrapped once, which nobody else can have done
    before without being noticed."""

    role_id: str
    secret_id: Secret | None
    wrapped: Secret | None
    mount: str
    again: bool = True
    _unwrapped: Secret | None = field(default=None, repr=False)

    def token(self, client: hvac.Client) -> Token:
        secret_id = self.secret_id or self._unwrapped or self._unwrap(client)
        answer = client.auth.approle.login(
            self.role_id, secret_id.reveal(), use_token=False, mount_point=self.mount
        )
        return _token(answer)

    def _unwrap(self, client: hvac.Client) -> Secret:
        assert self.wrapped is not None
        try:
            client.token = self.wrapped.reveal()
            answer = client.sys.unwrap()
        except (refused.InvalidRequest, refused.Forbidden) as exc:
            raise VaultRefused(
                "the wrapped secret id has been unwrapped before or is too old",
                remedy="Issue a new one; if nobody unwrapped it on purpose, destroy the old one.",
            ) from exc
        self._unwrapped = Secret(answer["data"]["secret_id"])
        return self._unwrapped


@dataclass(frozen=True)
class SignedIn:
    """Kubernetes and JWT: with a token of the platform in a file, which is renewed there."""

    method: Literal["kubernetes", "jwt"]
    role: str
    file: Path
    mount: str
    again: bool = True

    def token(self, client: hvac.Client) -> Token:
        try:
            jwt = Secret(self.file.read_text().strip())
        except OSError as exc:
            raise VaultRefused(f"{self.file} cannot be read: {exc.strerror}") from exc
        if self.method == "kubernetes":
            login = client.auth.kubernetes.login
            return _token(login(self.role, jwt.reveal(), use_token=False, mount_point=self.mount))
        login = client.auth.jwt.jwt_login
        return _token(login(self.role, jwt.reveal(), use_token=False, path=self.mount))


def _token(answer: Any) -> Token:
    auth = answer["auth"]
    return Token(
        Secret(auth["client_token"]), float(auth["lease_duration"]), bool(auth["renewable"])
    )
