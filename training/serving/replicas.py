"""All replicas of the inference service, for adapters that all of them are to serve or none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.channels import calling, channel, faults, streaming
from servicekit.names import listed, look_up
from servicekit.status import RemoteFault
from servicekit.tls import Tls
from training.serving.operator import Operator

T = TypeVar("T")

_POLL_S = 0.5
_ASK_S = 10.0
_PROBE = pb.Message(role=pb.ROLE_USER, content="1 + 1")
_PROBE_TOKENS = 8
_NOT_THERE = (
    "The path is one of the inference service's own disk: put the adapter where all replicas see "
    "it, and name that place with --path; or give the folder that they follow with --folder."
)


@dataclass(frozen=True)
class Replica:
    address: str
    stub: rpc.InferenceServiceStub


@dataclass(frozen=True)
class Failure:
    """What one replica answered instead."""

    address: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.address}: {self.message}"


class NotDone(Exception):
    """Some replica failed. `undone` tells whether the others are as they were before."""

    def __init__(self, what: str, failures: Sequence[Failure], *, undone: bool = True) -> None:
        super().__init__(what)
        self.failures, self.undone = tuple(failures), undone

    def __str__(self) -> str:
        remedies = dict.fromkeys(each.remedy for each in self.failures if each.remedy)
        state = "" if self.undone else "Some replicas may have changed all the same: --list tells."
        lines = (str(self.args[0]), *map(str, self.failures), *remedies, state)
        return "\n".join(line for line in lines if line)


@asynccontextmanager
async def reached(where: Operator) -> AsyncIterator[list[Replica]]:
    """A channel to each replica, closed on leaving. Raises NotDone where there is none."""
    places: dict[str, str] = {}
    for each in listed(where.inference):
        places.update(await look_up(each))
    if not places:
        raise NotDone("no inference service is known", [Failure(where.inference, "not found")])
    tls = Tls(where.tls) if where.tls.cert_file else None
    async with AsyncExitStack() as stack:
        replicas = []
        for address, name in places.items():
            opened = await stack.enter_async_context(
                channel(address, token=where.token, tls=tls, tls_name=name)
            )
            replicas.append(Replica(address, rpc.InferenceServiceStub(opened)))
        yield replicas


async def models(replicas: Sequence[Replica]) -> dict[str, list[pb.Model]]:
    """What each serves, by address; its model first. Raises NotDone."""

    async def ask(replica: Replica) -> list[pb.Model]:
        request = pb.ListModelsRequest()
        return list((await calling(replica.stub.ListModels(request, timeout=_ASK_S))).models)

    return await _each("not all replicas tell their models", replicas, ask)


async def load(
    replicas: Sequence[Replica], name: str, path: str, *, seconds: float
) -> dict[str, bool]:
    """Serves the adapter at `path` of the replicas' own disks on all of them, or on none that did
    not serve it before; True where it did not. Raises NotDone."""
    before = await models(replicas)
    new = [each for each in replicas if not _serves(before[each.address], name)]

    async def ask(replica: Replica) -> None:
        request = pb.LoadAdapterRequest(name=name, path=path)
        await calling(replica.stub.LoadAdapter(request, timeout=seconds))

    try:
        await _each(f"{name} cannot be served", replicas, ask)
        await verify(replicas, name, seconds=seconds)
    except NotDone as failed:
        failed.undone = await _undone(new, name, seconds)
        raise
    except asyncio.CancelledError:
        await _undone(new, name, seconds)
        raise
    return {each.address: each in new for each in replicas}


async def unload(replicas: Sequence[Replica], name: str, *, seconds: float) -> dict[str, bool]:
    """Takes it away everywhere; True where it was. Answers that use it end first. Raises NotDone,
    with the others done."""

    async def ask(replica: Replica) -> bool:
        request = pb.UnloadAdapterRequest(name=name)
        return bool((await calling(replica.stub.UnloadAdapter(request, timeout=seconds))).existed)

    return await _each(f"{name} is not unloaded everywhere", replicas, ask)


async def verify(replicas: Sequence[Replica], name: str, *, seconds: float) -> None:
    """Each lists it as an adapter, and answers by its name. Raises NotDone."""
    told = await models(replicas)
    if missing := [at for at, served in told.items() if not _serves(served, name)]:
        raise NotDone(f"{name} is not served", [Failure(at, "does not list it") for at in missing])

    async def ask(replica: Replica) -> None:
        request = pb.GenerateRequest(
            model=name,
            messages=[_PROBE],
            sampling=pb.Sampling(temperature=0, max_tokens=_PROBE_TOKENS),
        )
        async with streaming(replica.stub.Generate(request, timeout=seconds)) as call:
            async for _ in faults(call):
                pass

    await _each(f"{name} does not answer", replicas, ask)


async def followed(replicas: Sequence[Replica], name: str, *, there: bool, seconds: float) -> None:
    """Waits until all of them serve what a folder has for them, or have let it go. Raises NotDone
    with those that did not in time."""
    until = asyncio.get_running_loop().time() + seconds
    while True:
        told = await models(replicas)
        late = [at for at, served in told.items() if _serves(served, name) != there]
        if not late:
            return
        if asyncio.get_running_loop().time() > until:
            done = "served" if there else "let go"
            why = (
                f"Is that the VLLM_ADAPTERS_FOLDER that they follow? If so, their logs tell why "
                f"(adapter_refused), or answers by {name} are still under way."
            )
            failures = [Failure(at, f"not after {seconds:g} s", why) for at in late]
            raise NotDone(f"{name} is not {done}", failures)
        await asyncio.sleep(_POLL_S)


def _serves(served: Iterable[pb.Model], name: str) -> bool:
    return any(each.id == name and each.is_adapter for each in served)


async def _undone(replicas: Sequence[Replica], name: str, seconds: float) -> bool:
    try:
        await unload(replicas, name, seconds=seconds)
    except NotDone:
        return False
    return True


async def _each(
    what: str, replicas: Sequence[Replica], ask: Callable[[Replica], Awaitable[T]]
) -> dict[str, T]:
    """All at once; by address. Raises NotDone when all have answered and some have failed."""

    async def one(replica: Replica) -> T | Failure:
        try:
            return await ask(replica)
        except RemoteFault as fault:
            return _failure(replica.address, fault)

    told = await asyncio.gather(*(one(each) for each in replicas))
    if failures := [each for each in told if isinstance(each, Failure)]:
        raise NotDone(what, failures)
    return _by_address(replicas, told)


def _by_address(replicas: Sequence[Replica], told: Sequence[T | Failure]) -> dict[str, T]:
    return {
        replica.address: each
        for replica, each in zip(replicas, told, strict=True)
        if not isinstance(each, Failure)
    }


def _failure(address: str, fault: RemoteFault) -> Failure:
    remedy = _NOT_THERE if fault.reason == "PATH_NOT_FOUND" else fault.remedy
    return Failure(address, f"{fault.reason}: {fault.message}", remedy)


def differences(told: Mapping[str, Sequence[pb.Model]]) -> list[str]:
    """Names that some replicas serve and others do not."""
    names = [{each.id for each in served} for served in told.values()]
    everywhere = set.intersection(*names) if names else set()
    return sorted(set().union(*names) - everywhere)
