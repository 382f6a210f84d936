"""Sessions, each in a pod of its own: claimed, reached, kept as long as it is used, given back.

Nothing here has to survive this process: a claim's name follows from owner and thread, so that any
replica finds the pod of a session, and Kubernetes ends what nobody used for its time."""

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from isobath.sandbox.v1 import relay_pb2_grpc as relay_rpc
from isobath.sandbox.v1 import sandbox_pb2 as pb
from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from servicekit import context, logs
from servicekit.channels import calling, channel
from servicekit.secrets import Secret
from servicekit.status import RemoteFault
from servicekit.tls import Tls
from services.sandbox.approvals import Wish
from services.sandbox.connectors import Connectors
from services.sandbox.errors import OutOfReach, TierUnavailable, UnknownSession
from services.sandbox.pods.carrier import Carrier
from services.sandbox.pods.claims import Claim, Claims
from services.sandbox.sessions import key_of
from services.sandbox.settings import PodSettings

_log = logs.get(__name__)
TIER = "pod-vm"
# the one session of a pod
_INSIDE = "pod"
_ANSWER_S, _AGAIN_S = 5.0, 0.2
_SWEEP_S = 60.0
# of the time that the service has to stop: for programs that run then
_LEAVE_S = 30.0
# a claim is made to last for longer when this share of its time is over
_WORN = 0.25


@dataclass
class Pod:
    """One that answers. `session_id` is the inner one."""

    claim: Claim
    stub: rpc.SandboxServiceStub
    carrier: Carrier
    stack: AsyncExitStack
    ends: datetime
    idle: timedelta
    session_id: str = ""
    # by run
    handles: dict[str, list[str]] = field(default_factory=dict)
    # what its program waits for, by the id of the approval
    asked: dict[str, Wish] = field(default_factory=dict)

    @property
    def outer_id(self) -> str:
        return f"{self.claim.name}.{self.claim.uid}"

    async def detach(self, run_id: str) -> None:
        await self.carrier.forget(self.handles.pop(run_id, ()))


@dataclass(frozen=True)
class Reach:
    """What is shown to pods, and what they reach through this service."""

    connectors: Connectors
    token: Secret | None
    tls: Tls | None


class Pods:
    """`async with Pods(…) as pods`. On leaving, pods are left to whoever comes next."""

    def __init__(
        self, claims: Claims, settings: PodSettings, reach: Reach, idle: timedelta
    ) -> None:
        self._claims, self._settings, self._reach, self._idle = claims, settings, reach, idle
        self._carrier = f"carrier-{secrets.token_hex(6)}"
        self._pods: dict[str, Pod] = {}
        self._changing: dict[str, asyncio.Lock] = {}
        self._sweeping: asyncio.Task[None] | None = None
        # no new sessions; then no programs of runs either
        self._draining = self.leaving = False
        # that run now, through this service
        self.programs = 0

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._sweep(), name="sweep of pods")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping
        await asyncio.gather(*(self._leave(name) for name in list(self._pods)))

    @property
    def held(self) -> int:
        """Pods that are driven from here."""
        return len(self._pods)

    @property
    def busy(self) -> int:
        """Of these, the ones that a run holds."""
        return sum(bool(pod.handles) for pod in self._pods.values())

    def may_open(self, owner: str, thread_id: str) -> bool:
        """What a run holds stays here until this service stops for it too; all else may be driven
        by another replica at once."""
        pod = self._pods.get(_name(owner, thread_id))
        held = pod is not None and bool(pod.handles)
        return not self.leaving and (held or not self._draining)

    async def linger(self, seconds: float) -> None:
        """When the service is to stop: until no run holds a pod. A run that still does then goes on
        through another replica, in the same pod."""
        self._draining = True
        last_s = min(seconds / 2, _LEAVE_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - last_s):
                while self.busy:  # noqa: ASYNC110
                    await asyncio.sleep(_AGAIN_S)
        self.leaving = True
        with suppress(TimeoutError):
            async with asyncio.timeout(last_s):
                while self.programs:  # noqa: ASYNC110
                    await asyncio.sleep(_AGAIN_S)

    async def open(
        self, owner: str, thread_id: str, limits: pb.SessionLimits, idle: timedelta | None
    ) -> tuple[Pod, pb.OpenSessionResponse]:
        """The pod of a thread, claimed if it has none, and what it says. Raises NoPod,
        ClaimRefused, OutOfReach, TierUnavailable."""
        name = _name(owner, thread_id)
        idle = min(idle or self._idle, self._idle)
        async with self._lock(name):
            try:
                return await self._opened(name, limits, idle)
            except OutOfReach as lost:
                # a claim whose pod has died, or a connection to one: another pod
                _log.warning("pod_lost", claim=name, why=str(lost))
                await self._discard(name)
                return await self._opened(name, limits, idle)

    async def of_thread(self, owner: str, thread_id: str) -> str | None:
        """The id of a thread's session, whoever opened it."""
        claim = await self._claims.get(_name(owner, thread_id))
        return f"{claim.name}.{claim.uid}" if claim and not claim.gone else None

    async def get(self, session_id: str) -> Pod:
        """Raises UnknownSession."""
        name, _, uid = session_id.partition(".")
        pod = self._pods.get(name)
        if pod is None or pod.claim.uid != uid:
            async with self._lock(name):
                pod = await self._found(name, uid)
        await self._keep(pod)
        return pod

    async def close(self, session_id: str) -> bool:
        """Gives the pod back with all that is in it. Whether it was there."""
        name, _, uid = session_id.partition(".")
        async with self._lock(name):
            claim = await self._claims.get(name)
            if claim is None or claim.uid != uid:
                return False
            await self._leave(name)
            return await self._claims.delete(name)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._changing.setdefault(name, asyncio.Lock())

    async def _opened(
        self, name: str, limits: pb.SessionLimits, idle: timedelta
    ) -> tuple[Pod, pb.OpenSessionResponse]:
        ends = datetime.now(UTC) + idle
        claim = await self._claims.create(name, ends)
        if claim.gone:
            await self._discard(name)
            claim = await self._claims.create(name, ends)
        pod = self._pods.get(name)
        if pod is None or pod.claim.uid != claim.uid:
            await self._leave(name)
            try:
                claim = await self._claims.ready(name, self._settings.ready_s)
            except BaseException:
                # nobody would take it up, and it would wait for its pod all the same
                await asyncio.shield(self._claims.delete(name))
                raise
            pod = await self._reached(claim, idle)
        pod.idle = idle
        answer = await self._asked(pod, limits)
        await self._keep(pod)
        return pod, answer

    async def _found(self, name: str, uid: str) -> Pod:
        """That of a session which another replica opened."""
        pod = self._pods.get(name)
        if pod is not None and pod.claim.uid == uid:
            return pod
        claim = await self._claims.get(name)
        if claim is None or claim.uid != uid or claim.gone or not claim.host:
            await self._leave(name)
            raise UnknownSession(f"{name}.{uid}"[:100])
        pod = await self._reached(claim, self._idle)
        await self._asked(pod, pb.SessionLimits())
        return pod

    async def _reached(self, claim: Claim, idle: timedelta) -> Pod:
        async with AsyncExitStack() as stack:
            reach = self._reach
            opened = await stack.enter_async_context(
                channel(
                    _address(claim.host, self._settings.port),
                    token=reach.token,
                    tls=reach.tls,
                    tls_name=self._settings.tls_name,
                )
            )
            relay = relay_rpc.RelayServiceStub(opened)
            carrier = Carrier(self._carrier, relay, reach.connectors)
            with context.detached():
                running = asyncio.create_task(carrier.run(), name=f"carrier of {claim.name}")
            stack.push_async_callback(_over, running)
            stub = rpc.SandboxServiceStub(opened)
            pod = Pod(claim, stub, carrier, stack.pop_all(), claim.ends, idle)
        self._pods[claim.name] = pod
        return pod

    async def _asked(self, pod: Pod, limits: pb.SessionLimits) -> pb.OpenSessionResponse:
        """Opens the pod's session, or takes it up. Raises OutOfReach, TierUnavailable."""
        request = pb.OpenSessionRequest(thread_id=_INSIDE, owner=_INSIDE, limits=limits)
        request.limits.ClearField("idle")
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await self._answer(pod, request)
        except TimeoutError:
            raise OutOfReach("a pod does not answer") from None
        if answer.tier != TIER:
            await self._leave(pod.claim.name)
            await self._claims.delete(pod.claim.name)
            raise TierUnavailable(
                TIER,
                f"the pods of {self._settings.warm_pool} hold the tier {answer.tier!r}",
                f"set ISOBATH_SANDBOX_TIER={TIER} in the SandboxTemplate",
            )
        pod.session_id = answer.session_id
        return answer

    async def _answer(self, pod: Pod, request: pb.OpenSessionRequest) -> pb.OpenSessionResponse:
        """A pod is ready for Kubernetes a moment before its service can be reached from here."""
        while True:
            try:
                answer: pb.OpenSessionResponse = await calling(pod.stub.OpenSession(request))
            except RemoteFault as exc:
                if exc.reason != "SERVICE_UNAVAILABLE":
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return answer

    async def _keep(self, pod: Pod) -> None:
        """Makes the claim last for as long again, now that it is used."""
        now = datetime.now(UTC)
        if pod.ends - now < pod.idle * (1 - _WORN):
            pod.ends = now + pod.idle
            await self._claims.extend(pod.claim.name, pod.ends)

    async def _discard(self, name: str) -> None:
        await self._leave(name)
        await self._claims.delete(name)
        await self._claims.ended(name, self._settings.ready_s)

    async def _leave(self, name: str) -> None:
        pod = self._pods.pop(name, None)
        if pod is not None:
            await pod.stack.aclose()

    async def _sweep(self) -> None:
        """Forgets the pods whose time is over."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            await self.forget_ended(datetime.now(UTC))

    async def forget_ended(self, now: datetime) -> None:
        await self._leave_all(name for name, pod in list(self._pods.items()) if pod.ends < now)
        for name, lock in list(self._changing.items()):
            if not lock.locked() and name not in self._pods:
                del self._changing[name]

    async def _leave_all(self, names: Iterable[str]) -> None:
        for name in names:
            async with self._lock(name):
                await self._leave(name)


def _name(owner: str, thread_id: str) -> str:
    """Of a thread's claim."""
    return f"isobath-{key_of(owner, thread_id)}"


async def _over(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
