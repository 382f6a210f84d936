"""Claims on pods that are kept ready: SandboxClaim of kubernetes-sigs/agent-sandbox, v1beta1."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config.config_exception import ConfigException

from servicekit import logs
from servicekit.settings import SettingsError
from services.sandbox.errors import ClaimRefused, NoPod, OutOfReach
from services.sandbox.settings import PodSettings

GROUP, VERSION, PLURAL, KIND = (
    *("extensions.agents.x-k8s.io", "v1beta1", "sandboxclaims"),
    "SandboxClaim",
)
_log = logs.get(__name__)
_LOOK_S, _LONGEST_LOOK_S = 0.05, 1.0
_TIMEOUT_S = 10.0
_TRIES = 4
_ABSENT, _THERE, _FORBIDDEN, _TOO_MANY = 404, 409, 403, 429
T = TypeVar("T")


@dataclass(frozen=True)
class Claim:
    """`host` of its pod once that is ready, else "" and `why`; `gone`: on its way out, or ended."""

    name: str
    uid: str
    host: str
    why: str
    gone: bool
    ends: datetime


class Claims:
    """`async with Claims(settings) as claims`. Every method raises OutOfReach when the API does not
    answer, after some tries, and ClaimRefused for what it will not do."""

    def __init__(self, settings: PodSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._api: Any = None

    async def __aenter__(self) -> Self:
        made: Any = client.Configuration()
        try:
            if self._settings.kubeconfig is not None:
                await config.load_kube_config(
                    config_file=str(self._settings.kubeconfig), client_configuration=made
                )
            else:
                config.load_incluster_config(client_configuration=made)  # type: ignore[no-untyped-call]
        except ConfigException as exc:
            raise SettingsError(
                [f"DRIVER=pods needs a service account or PODS_KUBECONFIG: {exc}"]
            ) from exc
        opened = await self._stack.enter_async_context(client.ApiClient(made))
        self._api = client.CustomObjectsApi(opened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def require(self) -> None:
        """Raises SettingsError where claims cannot be looked at, which tells why."""
        try:
            await self._tried(lambda: self._api.list_namespaced_custom_object(*self._kind, limit=1))
        except (ClaimRefused, OutOfReach) as exc:
            raise SettingsError([f"DRIVER=pods: {exc}. {exc.remedy}"]) from exc

    async def create(self, name: str, ends: datetime) -> Claim:
        """The claim of that name: a new one, or the one that is there."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "isobath"}},
            "spec": {
                "warmPoolRef": {"name": self._settings.warm_pool},
                "lifecycle": {"shutdownTime": _text(ends), "shutdownPolicy": "Delete"},
            },
        }
        made = await self._tried(
            lambda: self._api.create_namespaced_custom_object(*self._kind, body), bears=_THERE
        )
        found = _claim(made) if made is not None else await self.get(name)
        # one that was there, and has gone between the two calls
        return found or await self.create(name, ends)

    async def get(self, name: str) -> Claim | None:
        found = await self._tried(
            lambda: self._api.get_namespaced_custom_object(*self._kind, name), bears=_ABSENT
        )
        return _claim(found) if found is not None else None

    async def extend(self, name: str, ends: datetime) -> None:
        """One that has gone stays so."""
        patch = {"spec": {"lifecycle": {"shutdownTime": _text(ends)}}}
        await self._tried(
            lambda: self._api.patch_namespaced_custom_object(
                *self._kind, name, patch, _content_type="application/merge-patch+json"
            ),
            bears=_ABSENT,
        )

    async def delete(self, name: str) -> bool:
        """Its pod ends with it. Whether it was there."""
        deleted = await self._tried(
            lambda: self._api.delete_namespaced_custom_object(*self._kind, name), bears=_ABSENT
        )
        return deleted is not None

    async def ready(self, name: str, within_s: float) -> Claim:
        """Once its pod can be called. Raises NoPod."""
        claim: Claim = await self._once(name, within_s, lambda claim: bool(claim and claim.host))
        return claim

    async def ended(self, name: str, within_s: float) -> None:
        """Once there is no claim of that name any more. Raises NoPod."""
        await self._once(name, within_s, lambda claim: claim is None)

    async def _once(self, name: str, within_s: float, holds: Callable[[Claim | None], bool]) -> Any:
        wait_s, claim = _LOOK_S, None
        try:
            async with asyncio.timeout(within_s):
                while not holds(claim := await self.get(name)):
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, _LONGEST_LOOK_S)
        except TimeoutError:
            raise NoPod(self._settings.warm_pool, claim.why if claim else "") from None
        return claim

    @property
    def _kind(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self._settings.namespace, PLURAL

    async def _tried(self, call: Callable[[], Awaitable[T]], *, bears: int = 0) -> T | None:
        """None for the status that is borne."""
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_LOOK_S * 4**number)
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    return await call()
            except ApiException as exc:
                if exc.status == bears:
                    return None
                if exc.status < 500 and exc.status != _TOO_MANY:
                    raise _refusal(exc) from exc
                away: Exception = exc
            except (aiohttp.ClientError, TimeoutError, OSError) as exc:
                away = exc
            _log.warning("kubernetes_away", why=f"{type(away).__name__}: {away}"[:300])
        raise OutOfReach("the Kubernetes API does not answer") from away


def _claim(found: Mapping[str, Any]) -> Claim:
    meta, status = found["metadata"], found.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready, finished = conditions.get("Ready", {}), conditions.get("Finished", {})
    hosts = (status.get("sandbox") or {}).get("podIPs") or [""]
    ends = ((found.get("spec") or {}).get("lifecycle") or {}).get("shutdownTime")
    return Claim(
        name=meta["name"],
        uid=meta["uid"],
        host=hosts[0] if ready.get("status") == "True" else "",
        why=" ".join(filter(None, (ready.get("reason"), ready.get("message")))),
        gone=bool(meta.get("deletionTimestamp")) or finished.get("status") == "True",
        ends=datetime.fromisoformat(ends) if ends else datetime.max.replace(tzinfo=UTC),
    )


def _refusal(error: ApiException) -> Exception:
    said = _message(error)
    if error.status == _FORBIDDEN and "exceeded quota" in said:
        return NoPod("the namespace", said)
    return ClaimRefused(error.status, said)


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "{}").get("message", ""))[:300]
    except (ValueError, AttributeError):
        return str(error.reason or "")[:300]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
