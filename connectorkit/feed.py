"""Following the credential service: its public keys, and what it revokes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from grants.revocations import Kind, Revocation, Revocations
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit import logs
from servicekit.channels import calling, faults, streaming
from servicekit.status import RemoteFault

_log = logs.get(__name__)

_KINDS: Mapping[str, Kind] = {
    "grant_id": "grant",
    "source_id": "source",
    "run_id": "run",
    "owner": "owner",
}


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, each thing is waited for."""

    # the first catching up, before the gate opens anyway and refuses everything
    start_s: float = 5.0
    # one call
    call_s: float = 5.0
    # three heartbeats of the credential service
    silence_s: float = 15.0
    retry_first_s: float = 0.1
    retry_longest_s: float = 5.0
    # Keys are published well before they sign (ISOBATH_CREDENTIALS_KEY_LEAD_S, 30 s by default).
    keys_every_s: float = 10.0
    keys_gap_s: float = 1.0


def waits(patience: Patience, draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Exponential, with full jitter above the first half, for ever."""
    ceiling = patience.retry_first_s
    while True:
        yield ceiling * (0.5 + draw() / 2)
        ceiling = min(ceiling * 2, patience.retry_longest_s)


class Feed:
    """What the credential service last said. `run` follows it until cancelled.

    `on_news` is called with the revocations that were not known before, after they hold here.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        patience: Patience,
        on_news: Callable[[Iterable[Revocation]], None],
    ) -> None:
        self._stub = rpc.CredentialServiceStub(channel)
        self._patience = patience
        self._on_news = on_news
        self._keys_wanted = asyncio.Event()
        self._heard_at = 0.0
        self.caught_up = asyncio.Event()
        self.keys: Mapping[str, Ed25519PublicKey] = {}
        self.revocations = Revocations()

    def silent_for_s(self) -> float:
        """Seconds since the stream last said anything."""
        return asyncio.get_running_loop().time() - self._heard_at

    def ask_for_keys(self) -> None:
        """Has them fetched soon; how often is bounded."""
        self._keys_wanted.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="revocations")
            tasks.create_task(self._renew_keys(), name="grant keys")

    async def _follow(self) -> None:
        waiting = waits(self._patience)
        while True:
            before = self._heard_at
            await self._follow_once()
            if self._heard_at > before:
                waiting = waits(self._patience)
            await asyncio.sleep(next(waiting))

    async def _follow_once(self) -> None:
        try:
            await self._fetch_keys()
            async with streaming(self._stub.WatchRevocations(pb.WatchRevocationsRequest())) as call:
                await self._take(faults(call))
            _log.warning("revocations_ended")
        except (RemoteFault, TimeoutError) as exc:
            _log.warning("revocations_lost", why=str(exc) or "silence")

    async def _take(self, events: AsyncIterator[pb.WatchRevocationsResponse]) -> None:
        """The whole list counts only once it is whole; from then on each counts as it comes."""
        backlog: list[Revocation] | None = []
        while (event := await self._next(events)) is not None:
            kind = event.WhichOneof("event")
            if kind == "caught_up":
                self._apply(backlog or [])
                backlog = None
                self.caught_up.set()
            elif kind == "revocation":
                self._revoked(event.revocation, backlog)
            if backlog is None:
                self._heard_at = asyncio.get_running_loop().time()

    async def _next(
        self, events: AsyncIterator[pb.WatchRevocationsResponse]
    ) -> pb.WatchRevocationsResponse | None:
        async with asyncio.timeout(self._patience.silence_s):
            return await anext(events, None)

    def _revoked(self, said: pb.Revocation, backlog: list[Revocation] | None) -> None:
        revocation = _revocation(said)
        if revocation is None:
            _log.error("revocation_not_understood")
        elif backlog is None:
            self._apply([revocation])
        else:
            backlog.append(revocation)

    def _apply(self, revocations: list[Revocation]) -> None:
        news = [new for new in revocations if not self.revocations.knows(new)]
        self.revocations = self.revocations.adding(news).prune(datetime.now(UTC))
        if news:
            self._on_news(news)

    async def _renew_keys(self) -> None:
        while True:
            await asyncio.sleep(self._patience.keys_gap_s)
            await self._wanted_or_due()
            try:
                await self._fetch_keys()
            except RemoteFault as exc:
                _log.warning("grant_keys_unread", why=str(exc))

    async def _wanted_or_due(self) -> None:
        try:
            async with asyncio.timeout(self._patience.keys_every_s):
                await self._keys_wanted.wait()
        except TimeoutError:
            pass

    async def _fetch_keys(self) -> None:
        self._keys_wanted.clear()
        answer = await calling(
            self._stub.GrantKeys(pb.GrantKeysRequest(), timeout=self._patience.call_s)
        )
        self.keys = {
            key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in answer.keys
        }


def _revocation(said: pb.Revocation) -> Revocation | None:
    kind = said.WhichOneof("what")
    if kind not in _KINDS:
        return None
    return Revocation(_KINDS[kind], getattr(said, kind), said.at.ToDatetime(tzinfo=UTC))
