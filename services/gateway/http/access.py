"""/v1/keys, /v1/caller and /v1/usage: who may call, and what was used."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from servicekit.status import InvalidField
from services.gateway.access.keys import Key, KeyChange, KeyDraft, quota_of
from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import WORDS, Scope
from services.gateway.access.usage import Line, Used, total
from services.gateway.gateway import Gateway
from services.gateway.http.asking import (
    authenticated,
    body_of,
    mapping,
    number,
    string,
    word,
    words,
)
from services.gateway.http.edge import Json
from services.gateway.http.sources import listing


def routes(gateway: Gateway) -> APIRouter:
    """All routes of this family."""
    router = APIRouter(tags=["access"])

    @router.get("/v1/caller")
    async def who(request: Request) -> Json:
        """Who is calling, and what this caller may use."""
        caller = await authenticated(gateway, request)
        return Json(
            {
                "object": "caller",
                "owner": caller.owner,
                "key_id": caller.key_id,
                "scope": caller.scope.word,
                "teams": list(caller.teams),
                "quota": caller.quota.as_dict(),
                "today": _used_json(await gateway.usage.of_today(caller)),
            }
        )

    @router.post("/v1/keys", status_code=201)
    async def create(request: Request) -> Json:
        """Make an API key; it is shown this once."""
        caller = await authenticated(gateway, request, Scope.ADMIN)
        draft = _draft(await body_of(request), caller.owner)
        made, secret = await gateway.keys.create(draft)
        return Json({**key_json(made), "key": secret}, 201)

    @router.get("/v1/keys")
    async def listed(request: Request) -> Json:
        """Keys, newest first: all for an admin, those of the owner for others."""
        caller = await authenticated(gateway, request)
        page = await gateway.keys.page(
            None if caller.is_admin else caller.owner,
            number(request, "page_size"),
            word(request, "page_token"),
            ended=word(request, "ended") == "true",
        )
        return Json(listing([key_json(each) for each in page.items], page.next_page_token))

    @router.patch("/v1/keys/{id}")
    async def update(request: Request, id: str) -> Json:
        """Change a key's name, teams or quota."""
        await authenticated(gateway, request, Scope.ADMIN)
        return Json(key_json(await gateway.keys.update(id, _change(await body_of(request)))))

    @router.delete("/v1/keys/{id}")
    async def revoke(request: Request, id: str) -> Json:
        """Revoke a key, from the next request on; a key may revoke itself."""
        caller = await authenticated(gateway, request, Scope.READ_ONLY)
        return Json(key_json(await gateway.revoke_key(caller, id)))

    @router.get("/v1/usage")
    async def usage(request: Request) -> Json:
        """What was used, by day, owner and key; `everybody=true` for an admin."""
        everybody = word(request, "everybody") == "true"
        caller = await authenticated(
            gateway, request, Scope.ADMIN if everybody else Scope.READ_ONLY
        )
        lines = await gateway.usage.lines(
            None if everybody else caller.owner, word(request, "from"), word(request, "to")
        )
        return Json({**listing([_line_json(each) for each in lines]), "total": _sum(lines)})

    return router


def key_json(key: Key) -> dict[str, Any]:
    """A key as HTTP shows it; times are seconds since 1970, null = never."""
    return {
        "id": key.id,
        "object": "api_key",
        "owner": key.owner,
        "name": key.name,
        "scope": key.scope.word,
        "teams": list(key.teams),
        "quota": key.quota.as_dict(),
        "created_at": key.created_ms // 1000,
        "last_used_at": _seconds(key.last_used_ms),
        "expires_at": _seconds(key.expires_ms),
        "revoked_at": _seconds(key.revoked_ms),
    }


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000


def _used_json(used: Used) -> dict[str, Any]:
    told = asdict(used)
    run_seconds = told.pop("run_ms") / 1000
    return {**told, "run_seconds": run_seconds}


def _line_json(line: Line) -> dict[str, Any]:
    return {"day": line.day, "owner": line.owner, "key_id": line.key_id, **_used_json(line.used)}


def _sum(lines: Any) -> dict[str, Any]:
    return _used_json(total(lines))


def _draft(body: dict[str, Any], owner: str) -> KeyDraft:
    scope = string(body, "scope") or Scope.ANALYST.word
    if scope not in WORDS:
        raise InvalidField("scope", f"scope must be one of {', '.join(WORDS)}")
    return KeyDraft(
        owner=string(body, "owner") or owner,
        name=string(body, "name"),
        scope=WORDS[scope],
        teams=words(body, "teams"),
        quota=_quota(body),
        lifetime_s=_lifetime(body),
    )


def _change(body: dict[str, Any]) -> KeyChange:
    return KeyChange(
        name=string(body, "name") if "name" in body else None,
        teams=words(body, "teams") if "teams" in body else None,
        quota=_quota(body) if "quota" in body else None,
    )


def _quota(body: dict[str, Any]) -> Quota:
    given = mapping(body, "quota")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidField(f"quota.{name}", f"quota.{name} must be a whole number, 0 for none")
    return quota_of(given)


def _lifetime(body: dict[str, Any]) -> float | None:
    found = body.get("lifetime_s")
    if found is not None and (isinstance(found, bool) or not isinstance(found, int | float)):
        raise InvalidField("lifetime_s", "lifetime_s must be a number of seconds")
    return found
