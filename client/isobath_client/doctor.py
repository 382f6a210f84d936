"""What is well with a platform, and what is not: everything that a client can see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.errors import IsobathError
from isobath_client.sync.client import Isobath

Verdict = Literal["ok", "warning", "problem"]
_TIERS = {
    "pod-vm": "each session has a machine of its own",
    "namespaces": "each session has a file system of its own, and no network",
    "landlock": "no network; names of other files can be seen",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` where there is something to do."""

    what: str
    verdict: Verdict
    told: str
    remedy: str = ""


def findings(client: Isobath) -> Iterator[Finding]:
    """The gateway first: without it nothing else is tried."""
    try:
        status = client.status()
    except IsobathError as refused:
        yield _problem("gateway", refused)
        return
    yield Finding("gateway", "ok", "answers, and knows the key")
    yield from _readiness(status)
    yield from map(_service, status.services)
    yield _tier(status.tier)
    yield from _tried("models", lambda: _models(client))
    yield from _tried("sources", lambda: list(_sources(client)))


_READINESS: dict[str, Verdict] = {"ready": "ok", "degraded": "warning", "unready": "problem"}


def _readiness(status: messages.GetStatusResponse) -> Iterator[Finding]:
    """As its /readyz says; an older gateway does not say it."""
    if verdict := _READINESS.get(status.readiness):
        remedy = "See to that service; its log says more." if status.reason else ""
        told = f"{status.readiness}: {status.reason}" if status.reason else "requests are welcome"
        yield Finding("readiness", verdict, told, remedy)


def _service(service: messages.ServiceStatus) -> Finding:
    if service.state == "SERVING":
        return Finding(service.name, "ok", "serves")
    name = service.name.split()[0].upper()
    remedies = {
        "UNREACHABLE": f"Start it, or correct ISOBATH_GATEWAY_{name}{'S' * (name == 'CONNECTOR')}.",
        "NOT_SERVING": "It starts, stops, or has lost what it needs: see its log.",
    }
    return Finding(service.name, "problem", service.state, remedies.get(service.state, ""))


def _tier(tier: str) -> Finding:
    if tier in _TIERS:
        return Finding("isolation", "ok", f"{tier}: {_TIERS[tier]}")
    if tier == "none":
        remedy = "Set ISOBATH_SANDBOX_TIER to auto; none is for development."
        return Finding("isolation", "warning", "none: programs can do what the service can", remedy)
    return Finding("isolation", "problem", "the sandbox does not say", "See the sandbox's log.")


def _models(client: Isobath) -> list[Finding]:
    found = [each for each in client.models() if each.is_agent]
    return [Finding("model", "ok", f"{each.id}: {each.description}") for each in found]


def _sources(client: Isobath) -> Iterator[Finding]:
    none = True
    for source in client.sources.list():
        none = False
        yield from _tried(f"source {source.name}", partial(_source, client, source))
    if none:
        remedy = "Add one: isobath sources add --help."
        yield Finding("sources", "warning", "there are none", remedy)


def _source(client: Isobath, source: messages.DataSource) -> list[Finding]:
    name, result = f"source {source.name}", client.sources.check(source.id)
    failed = next((step for step in result.check.steps if not step.passed), None)
    if failed is not None:
        return [Finding(name, "problem", f"{failed.name}: {failed.message}", failed.remedy)]
    if result.check.warnings:
        told = "; ".join(result.check.warnings)
        return [Finding(name, "warning", told, result.check.advice)]
    passed = ", ".join(step.name for step in result.check.steps)
    server = f" ({result.check.server_version})" if result.check.server_version else ""
    return [Finding(name, "ok", passed + server)]


def _tried(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except IsobathError as refused:
        return [_problem(what, refused)]


def _problem(what: str, refused: IsobathError) -> Finding:
    return Finding(what, "problem", refused.message, refused.remedy)
