"""The gate of a connector: what a caller's grant allows, and the secret that it stands for."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import grpc

from connectorkit.bounds import Bounds
from connectorkit.feed import Feed, Patience, waits
from connectorkit.leases import Lease, Leases
from connectorkit.refusals import (
    STATUSES,
    GateClosed,
    InvalidGrant,
    OutsideGrant,
    Refusal,
    RevokedGrant,
    refusing,
)
from connectorkit.spending import Share, share
from grants import tokens
from grants.claims import Grant
from grants.errors import KeyUnknown
from grants.revocations import Revocation
from grants.scope import allow
from grants.spending import Amount
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit import context, logs, tracing
from servicekit.channels import calling, channel
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls

__all__ = ["STATUSES", "Gate", "Grace", "Patience"]

_log = logs.get(__name__)

Closer = Callable[[str], Awaitable[None] | None]

_REDEEM_TRIES = 5
# of the credential service: what may be processed twice. Not SpendGrant, which would count twice
_REPEATABLE = frozenset({"RedeemGrant", "GrantKeys", "WatchRevocations"})
# Old grants are swept out whenever this many are known.
_SWEEP_AT = 1024


@dataclass(frozen=True)
class Grace:
    """How long, in seconds, the gate stays open while the credential service is silent."""

    # for a grant that was not seen before
    new_s: float = 15.0
    # for one that passed already; after that even a revocation that went unheard has its effect
    known_s: float = 300.0


_PATIENCE = Patience()
_GRACE = Grace()


@dataclass(frozen=True)
class _Known:
    grant: Grant
    token: str


class Gate:
    """`async with Gate("127.0.0.1:50051", token, "postgresql") as gate`.

    Entering waits until the revocations are caught up, but not for long: without the credential
    service the gate opens nonetheless and refuses everything until it comes. Leaving stops what
    runs in the background. Raises connectorkit.refusals, which STATUSES maps.
    """

    def __init__(
        self,
        credentials: str,
        token: Secret | None,
        source_type: str,
        *,
        tls: Tls | None = None,
        patience: Patience = _PATIENCE,
        grace: Grace = _GRACE,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._address = credentials
        self._token = token
        self._tls = tls
        self._source_type = source_type
        self._patience = patience
        self._grace = grace
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._closers: list[Closer] = []
        self._background: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._leases = Leases(self._redeem, clock)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            link = await stack.enter_async_context(
                channel(self._address, token=self._token, tls=self._tls, repeatable=_REPEATABLE)
            )
            self._stub = rpc.CredentialServiceStub(link)
            self._feed = Feed(link, self._patience, self._withdraw)
            self._tasks = await asyncio.TaskGroup().__aenter__()
            stack.push_async_callback(self._join)
            stack.push_async_callback(self._leases.aclose)
            stack.callback(self._stop_background)
            self._spawn(self._feed.run(), "feed")
            await self._first_catching_up()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def ready(self) -> bool:
        """Whether keys and revocations are known, so that anything can be admitted."""
        return self._feed.caught_up.is_set()

    def admit(self, token: str, operation: str, path: str | None = None) -> Grant:
        """The grant in a token, if it stands and allows the operation there. Offline.

        The path must be spelled as the source itself spells it; it may be a pattern or a prefix
        (see grants.scope). None asks for the operation alone: for calls that have no path, and for
        queries, whose relations are each to be checked with `check`. A grant that is signed with a
        key not known here is refused with RetryInfo, and the keys are fetched meanwhile.

        Raises InvalidGrant, ExpiredGrant, RevokedGrant, OutsideGrant, GateClosed.
        """
        if not self.ready:
            raise GateClosed("the connector waits for the credential service")
        grant = self._verify(token)
        self._require_news(grant)
        # before it is refused: the log tells on whose behalf
        context.tell(user=grant.owner, source_id=grant.source_id, operation=operation)
        tracing.tell(
            {"isobath.source.id": grant.source_id, "isobath.source.type": grant.source_type}
        )
        self.check(grant, operation, path)
        self._remember(grant, token)
        return grant

    def check(self, grant: Grant, operation: str, path: str | None = None) -> None:
        """For more paths of an admitted grant, and now and then in a long stream: whether it still
        stands and allows this. Raises RevokedGrant, OutsideGrant."""
        with refusing():
            self._feed.revocations.check(grant)
            allow(grant, operation, path)

    async def secrets(self, grant: Grant) -> Mapping[str, Secret]:
        """The secret fields of an admitted grant's source; none where the source has no secret.

        Kept until their lease ends, so ask again for each use instead of keeping them. Raises
        RevokedGrant, GateClosed, and as RemoteFault what the credential service answered.
        """
        return (await self.lease(grant)).fields

    async def other_secrets(
        self, grant: Grant, refused: Mapping[str, Secret]
    ) -> Mapping[str, Secret]:
        """For fields that `secrets` gave and the source did not take: they may have been replaced.
        The same again where they were not. Raises as `secrets` does."""
        self._leases.forget(grant, refused)
        return await self.secrets(grant)

    async def lease(self, grant: Grant) -> Lease:
        """The same, with when the source stops taking them: the connections of a pool are to be
        replaced by such as were made with the fields of a later lease before that."""
        lease = await self._leases.lease(grant)
        with refusing():
            self._feed.revocations.check(grant)
        return lease

    def share(self, grant: Grant, bounds: Bounds) -> AbstractAsyncContextManager[Share]:
        """`async with gate.share(grant, bounds) as mine`: what the grant has left for this call,
        counted by the credential service over all calls. Raises OutsideGrant when it is used up,
        RevokedGrant, GateClosed."""
        return share(self, grant, bounds)

    async def take(self, grant: Grant, wanted: Amount) -> Amount:
        answer = await self._spend(grant, rows=wanted.rows, bytes=wanted.bytes)
        return Amount(answer.rows, answer.bytes)

    async def hand_back(self, grant: Grant, unused: Amount) -> None:
        """What does not arrive stays spent."""
        try:
            await self._spend(grant, unused_rows=unused.rows, unused_bytes=unused.bytes)
        except (GateClosed, Refusal) as exc:
            _log.info("unused_share_lost", why=str(exc), grant_id=grant.grant_id)

    async def _spend(self, grant: Grant, **amounts: int) -> pb.SpendGrantResponse:
        known = self._known.get(grant.grant_id)
        if known is None:
            raise RevokedGrant("the grant was withdrawn, or never admitted here")
        request = pb.SpendGrantRequest(grant=known.token, **amounts)
        try:
            return await calling(self._stub.SpendGrant(request, timeout=self._patience.call_s))
        except RemoteFault as fault:
            if fault.reason == "BEYOND_GRANT":
                raise OutsideGrant(fault.message, "read", "") from fault
            if fault.reason == "GRANT_REVOKED":
                raise RevokedGrant(fault.message) from fault
            _raise_closed(fault)
            raise

    def on_close(self, close: Closer) -> None:
        """Has `close(source_id)` called, and awaited in the background, when a source is revoked:
        its connections are to be closed. It may be called for a source that is not open here."""
        self._closers.append(close)

    def _verify(self, token: str) -> Grant:
        keys = self._feed.keys
        with refusing():
            try:
                grant = tokens.verify(token, keys, self._clock())
            except KeyUnknown:
                self._feed.ask_for_keys()
                raise
        if grant.source_type != self._source_type:
            raise InvalidGrant(
                f"the grant is for a source of type {grant.source_type}, not {self._source_type}"
            )
        return grant

    def _require_news(self, grant: Grant) -> None:
        known = grant.grant_id in self._known
        allowed_s = self._grace.known_s if known else self._grace.new_s
        if self._feed.silent_for_s() > allowed_s:
            raise GateClosed("the connector has lost the credential service")

    def _remember(self, grant: Grant, token: str) -> None:
        if len(self._known) >= _SWEEP_AT and grant.grant_id not in self._known:
            now = self._clock()
            living = {i: k for i, k in self._known.items() if k.grant.expires_at > now}
            self._known = living
        self._known[grant.grant_id] = _Known(grant, token)

    async def _first_catching_up(self) -> None:
        try:
            async with asyncio.timeout(self._patience.start_s):
                await self._feed.caught_up.wait()
        except TimeoutError:
            _log.warning("credentials_not_there", address=self._address)

    async def _redeem(self, grant: Grant) -> Lease:
        known = self._known.get(grant.grant_id)
        if known is None:
            raise RevokedGrant("the grant was withdrawn, or never admitted here")
        request = pb.RedeemGrantRequest(grant=known.token)
        waiting = waits(self._patience)
        for _ in range(_REDEEM_TRIES - 1):
            try:
                return await self._redeem_once(grant, request)
            except GateClosed:
                await asyncio.sleep(next(waiting))
        return await self._redeem_once(grant, request)

    async def _redeem_once(self, grant: Grant, request: pb.RedeemGrantRequest) -> Lease:
        call_s = self._patience.call_s
        try:
            answer = await calling(self._stub.RedeemGrant(request, timeout=call_s))
        except RemoteFault as fault:
            return _lease_without_secret(grant, fault)
        fields = {name: Secret(value) for name, value in answer.fields.items()}
        return Lease(
            fields,
            answer.lease_expires_at.ToDatetime(tzinfo=UTC),
            renew_at=_time(answer, "renew_after"),
            expires_at=_time(answer, "credentials_expire_at"),
        )

    def _withdraw(self, news: Iterable[Revocation]) -> None:
        """Lets go of what was revoked: tokens, secrets, and by `on_close` the connections."""
        sources: set[str] = set()
        for revocation in news:
            sources |= self._sources_of(revocation)
        self._known = {
            i: known
            for i, known in self._known.items()
            if not self._feed.revocations.is_revoked(known.grant)
        }
        for source_id in sorted(sources):
            self._close(source_id)

    def _sources_of(self, revocation: Revocation) -> set[str]:
        subject = revocation.subject
        if revocation.kind == "source":
            self._leases.drop(lambda _, source_id: source_id == subject)
            return {subject}
        if revocation.kind == "owner":
            self._leases.drop(lambda owner, _: owner == subject)
            grants = (known.grant for known in self._known.values())
            return {grant.source_id for grant in grants if grant.owner == subject}
        return set()

    def _close(self, source_id: str) -> None:
        for closer in self._closers:
            self._spawn(_closed(closer, source_id), f"close {source_id}")

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self._tasks.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _join(self) -> None:
        """What the connector itself raised is not the tasks' to know: it would come out of their
        group wrapped."""
        await self._tasks.__aexit__(None, None, None)

    def _stop_background(self) -> None:
        for task in self._background:
            task.cancel()


async def _closed(closer: Closer, source_id: str) -> None:
    try:
        closing = closer(source_id)
        if inspect.isawaitable(closing):
            await closing
    except Exception:
        # One pool that does not close must not end the gate of all the others.
        _log.exception("close_failed", source_id=source_id)


def _time(answer: pb.RedeemGrantResponse, name: str) -> datetime | None:
    """None where it is not set."""
    if not answer.HasField(name):
        return None
    told: datetime = getattr(answer, name).ToDatetime(tzinfo=UTC)
    return told


def _lease_without_secret(grant: Grant, fault: RemoteFault) -> Lease:
    """A source may have no secret; the rest of what the credential service says is a failure."""
    if fault.code is grpc.StatusCode.NOT_FOUND:
        return Lease({}, grant.expires_at)
    _raise_closed(fault)
    raise fault


def _raise_closed(fault: RemoteFault) -> None:
    """Raises GateClosed where the credential service is away, or does not know this connector."""
    if fault.fields.get("service") == "vault":
        raise GateClosed(f"the secrets cannot be had now: {fault.message}") from fault
    if fault.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise GateClosed("the credential service does not answer") from fault
    if fault.reason in ("UNAUTHENTICATED", "CALLER_NOT_ALLOWED"):
        _log.error("credentials_refuse_this_connector", why=str(fault))
        raise GateClosed("the credential service does not know this connector") from fault
