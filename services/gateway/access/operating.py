"""Keys by the command line of who runs the gateway, in its own database."""

import argparse
import datetime
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from services.gateway.access.keys import Key, KeyDraft, Keys, hash_key
from services.gateway.access.scopes import WORDS
from services.gateway.gateway import database_url, folder
from services.gateway.settings import Settings
from services.gateway.store import database

_DAY_S = 24 * 60 * 60


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Keys]:
    home = folder(settings.home)
    async with database.opened(database_url(settings), settings.schema_wait_s) as store:
        keys = Keys(store, hash_key(settings.key_hash, home))
        await keys.seal()
        yield keys


async def create(settings: Settings, given: argparse.Namespace) -> list[str]:
    """The key."""
    draft = KeyDraft(
        given.owner,
        name=given.name,
        scope=WORDS[given.scope],
        teams=tuple(given.team),
        lifetime_s=None if given.days is None else given.days * _DAY_S,
    )
    async with _opened(settings) as keys:
        _, secret = await keys.create(draft)
    return [secret]


async def listed(settings: Settings, given: argparse.Namespace) -> list[str]:
    """A line for each key."""
    found: list[str] = []
    token = ""
    async with _opened(settings) as keys:
        while True:
            page = await keys.page(None, token=token, ended=given.ended)
            found += [_line(key) for key in page.items]
            if not (token := page.next_page_token):
                return found


async def revoke(settings: Settings, given: argparse.Namespace) -> list[str]:
    """What was revoked."""
    async with _opened(settings) as keys:
        return [_line(await keys.revoke(given.id))]


ACTIONS: Mapping[str, Callable[[Settings, argparse.Namespace], Coroutine[Any, Any, list[str]]]] = {
    "create": create,
    "list": listed,
    "revoke": revoke,
}


def _line(key: Key) -> str:
    made = datetime.datetime.fromtimestamp(key.created_ms / 1000, datetime.UTC)
    state = "revoked" if key.revoked_ms else "expires" if key.expires_ms else "valid"
    return "\t".join((key.id, key.owner, key.scope.word, state, f"{made:%Y-%m-%d}", key.name))
