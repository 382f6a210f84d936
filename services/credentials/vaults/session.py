"""A token for Vault that is kept alive: renewed at two thirds of its time, and logged in for anew
when it cannot be renewed or was taken away. Used in threads."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import hvac
from hvac import exceptions as refused

from servicekit import logs
from services.credentials.vaults.login import Login, Token

T = TypeVar("T")
_log = logs.get(__name__)
# Vault's own advice; the rest is for it to be away
_RENEW_AT = 2 / 3


@dataclass(frozen=True)
class _SignedIn:
    client: hvac.Client
    token: Token
    renew_at: float | None
    ends_at: float | None


class Session:
    """`session.call(lambda client: …)`. Each token has a client of its own, so that none changes
    under a call that is on its way; however many find that there is none, one logs in."""

    def __init__(
        self,
        new_client: Callable[[], hvac.Client],
        login: Login,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_client, self._login, self._clock = new_client, login, clock
        self._lock = Lock()
        self._now: _SignedIn | None = None

    def call(self, work: Callable[[hvac.Client], T]) -> T:
        """Raises what hvac raises, and VaultRefused."""
        signed = self._signed_in()
        try:
            return work(signed.client)
        except refused.Forbidden:
            # It may have been revoked; a policy that forbids will say so again.
            if not self._login.again:
                raise
            return work(self._signed_in(but=signed).client)

    def keep(self) -> float:
        """Renews when it is time; seconds until it will be again."""
        with self._lock:
            now = self._now
            if now is not None and now.renew_at is not None and now.renew_at <= self._clock():
                self._now = now = self._renewed(now)
            if now is None or now.renew_at is None:
                return 60.0
            return max(0.0, now.renew_at - self._clock())

    def is_now(self, client: hvac.Client) -> bool:
        """Whether a client given to `call` is that of the token in use."""
        with self._lock:
            return self._now is not None and self._now.client is client

    def ends_at(self, client: hvac.Client) -> float:
        """When its token ends, and with it all leases that hang on it: at once, where it is not
        known any more."""
        with self._lock:
            now = self._now
            if now is None or now.client is not client:
                return self._clock()
            return now.ends_at if now.ends_at is not None else math.inf

    def _signed_in(self, but: _SignedIn | None = None) -> _SignedIn:
        with self._lock:
            now = self._now
            if now is None or now is but or self._is_over(now):
                self._now = now = self._logged_in()
            return now

    def _is_over(self, now: _SignedIn) -> bool:
        over = now.ends_at is not None and now.ends_at <= self._clock()
        return over and self._login.again

    def _logged_in(self) -> _SignedIn:
        token = self._login.token(self._new_client())
        client = self._new_client()
        client.token = token.value.reveal()
        _log.info("vault_signed_in", lives_s=token.lives_s)
        return self._timed(client, token)

    def _renewed(self, now: _SignedIn) -> _SignedIn | None:
        """None where it cannot be: the next call logs in, or tells why not."""
        try:
            if not now.token.renewable:
                return self._logged_in() if self._login.again else self._later(now)
            auth = now.client.auth.token.renew_self()["auth"]
        except (refused.InvalidRequest, refused.Forbidden) as exc:
            _log.warning("vault_token_not_renewed", why=type(exc).__name__)
            return None
        lives_s, renewable = float(auth["lease_duration"]), bool(auth["renewable"])
        return self._timed(now.client, Token(now.token.value, lives_s, renewable))

    def _timed(self, client: hvac.Client, token: Token) -> _SignedIn:
        if not token.lives_s:
            return _SignedIn(client, token, None, None)
        at = self._clock()
        return _SignedIn(client, token, at + token.lives_s * _RENEW_AT, at + token.lives_s)

    def _later(self, now: _SignedIn) -> _SignedIn:
        return _SignedIn(now.client, now.token, None, now.ends_at)
