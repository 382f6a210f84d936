"""Whether what a statement names on this very server only reads: functions, operators, casts and
types are looked up in its catalog, and so is what views, policies and functions call in turn."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from services.pg_connector.bodies import Unreadable, pieces_of
from services.pg_connector.errors import QueryNotReadOnly
from services.pg_connector.guard import Statement
from services.pg_connector.judging import refusal, remedy, takes
from services.pg_connector.kept import Kept
from services.pg_connector.mentions import Mention
from services.pg_connector.named import ANYWHERE, Key, Named, key_of, named
from services.pg_connector.reading import Reading

# How deep views may stand on views and functions, and how many objects there may be.
_MOST_LEVELS = 16
_MOST_OBJECTS = 500
# A database's own functions may be changed meanwhile; not for long is that overlooked.
_KEPT_S = 10.0


@dataclass(frozen=True)
class _Asked:
    """A mention, and the one in the caller's own text that leads to it."""

    mention: Mention
    cause: Mention


_ByKey = Mapping[Key, Sequence[_Asked]]


class Resolver:
    """Keeps for ten seconds what was found harmless."""

    def __init__(self) -> None:
        self._kept = Kept[bool](_KEPT_S, asyncio.get_running_loop().time)

    async def require(self, reading: Reading, statement: Statement, of: tuple[str, ...]) -> None:
        """Raises QueryNotReadOnly, PgFault. `of` names the database and who asks it."""
        calls = sorted({(*key_of(each), str(each.arguments)) for each in statement.mentions})
        key = (*of, *(part for call in calls for part in call))
        if self._kept.get(key) is None:
            await _Search(reading, statement).run()
            self._kept.put(key, True)


class _Search:
    """Level by level: what the statement names, what that names, and so on."""

    def __init__(self, reading: Reading, statement: Statement) -> None:
        self._reading, self._statement = reading, statement
        self._asked = set[tuple[Key, int]]()
        self._seen = set[tuple[str, int]]()

    async def run(self) -> None:
        waiting = self._fresh(_Asked(each, each) for each in self._statement.mentions)
        for depth in range(_MOST_LEVELS):
            if not waiting:
                return
            # a body works on values that its caller gives
            found = await named(self._reading, waiting, of_any_type=depth > 0)
            waiting = self._fresh(self._below(found, waiting, nested=depth > 0))
        raise self._refused(
            next(iter(waiting.values()))[0].cause, "", "is built of too many others"
        )

    def _fresh(self, asked: Iterable[_Asked]) -> _ByKey:
        waiting = defaultdict[Key, list[_Asked]](list)
        for each in asked:
            key = key_of(each.mention)
            if (key, each.mention.arguments) not in self._asked:
                self._asked.add((key, each.mention.arguments))
                waiting[key].append(each)
        return waiting

    def _below(self, found: Iterable[Named], asked: _ByKey, *, nested: bool) -> Iterator[_Asked]:
        for each in found:
            called = asked[each.key]
            if not takes(each, frozenset(call.mention.arguments for call in called)):
                continue
            cause = called[0].cause
            if why := refusal(each, nested=nested):
                raise self._refused(cause, each.told, why)
            known = each.of_extension or (each.what, each.oid) in self._seen
            if each.text and not known:
                self._seen.add((each.what, each.oid))
                yield from self._named_in(each, cause)

    def _named_in(self, found: Named, cause: Mention) -> Iterator[_Asked]:
        if len(self._seen) > _MOST_OBJECTS:
            raise self._refused(cause, "", "is built of too many others")
        try:
            pieces = pieces_of(found)
        except Unreadable as exc:
            raise self._refused(cause, found.told, str(exc)) from exc
        except QueryNotReadOnly as exc:
            raise self._refused(cause, found.told, f"uses {exc.construct}") from exc
        for mention in (each for piece in pieces for each in piece):
            where = ANYWHERE if found.own_path and not mention.schema else mention.schema
            yield _Asked(replace(mention, schema=where), cause)

    def _refused(self, cause: Mention, told: str, why: str) -> QueryNotReadOnly:
        """In the words of the caller's text: which of its names leads to what."""
        named_so = f"the {cause.kind} {cause.name}"
        leads = told and told.rpartition(".")[2] != cause.name
        what = f"{named_so} leads to {told}, which" if leads else named_so
        return QueryNotReadOnly(
            f"{what} {why}: only reading statements are run",
            construct=named_so,
            sql=self._statement.text,
            position=cause.position,
            remedy=remedy(why),
        )
