"""What a source holds, told to a model that is to query it live: relations or files, in few lines.

Of many, those are told that the question speaks of, then the largest; how many more there are is
said too, and how to see them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from isobath.connector.v1 import connector_pb2 as connector
from services.gateway.clients import call
from services.gateway.data import SERVICE_OF
from services.gateway.guide import Guide, stems
from services.gateway.prompt import Holdings

# lines of some 25 tokens
MOST = 40
# of so many the columns are told too, each relation's in one line
DETAILED = 12
# and of so many that those point to
NEIGHBOURS = 6
MAX_COLUMNS = 40
# listed at most: pages of a thousand
MAX_LISTED = 5_000
_PAGE = 1_000
_AT_ONCE = 4
NO_GUIDE = Guide()
NO_NOTES: Mapping[str, str] = {}
_FOLDERS = (connector.ENTRY_KIND_SCHEMA,)
_RELATIONS = (
    connector.ENTRY_KIND_TABLE,
    connector.ENTRY_KIND_VIEW,
    connector.ENTRY_KIND_MATERIALIZED_VIEW,
    connector.ENTRY_KIND_PARTITIONED_TABLE,
    connector.ENTRY_KIND_FOREIGN_TABLE,
)


async def holdings(
    stub: Any, source_type: str, grant: str, question: str, guide: Guide = NO_GUIDE
) -> Holdings:
    """Asks the connector. Raises what it raises."""
    service = SERVICE_OF.format(source_type)
    entries = await _listed(stub, service, grant, "")
    folders = [each for each in entries if each.kind in _FOLDERS]
    for folder in folders:
        if len(entries) - len(folders) >= MAX_LISTED:
            break
        entries += await _listed(stub, service, grant, folder.path)
    found = [each for each in entries if each.kind not in _FOLDERS and each.readable]
    told = relevant(found, question, MOST, guide)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def inspected(entry: connector.Entry) -> connector.InspectResponse:
        async with slots:
            request = connector.InspectRequest(grant=grant, path=entry.path)
            return await call(service, stub.Inspect(request))

    async def all_of(entries: Sequence[connector.Entry]) -> dict[str, connector.InspectResponse]:
        async with asyncio.TaskGroup() as group:
            asked = {each.path: group.create_task(inspected(each)) for each in entries}
        return {path: task.result() for path, task in asked.items()}

    # of a lake the files are too many, and of too many kinds, to be opened one by one
    detailed = [each for each in told[:DETAILED] if each.kind in _RELATIONS]
    known = await all_of(detailed)
    near = neighbours(known, found)
    known |= await all_of(near)
    told = kept_together(detailed, near, told)
    lines = [line(each, _columns(each, known, guide), guide.about(each.path)) for each in told]
    return Holdings(lines, len(found) - len(told))


def neighbours(
    known: Mapping[str, connector.InspectResponse], entries: Sequence[connector.Entry]
) -> list[connector.Entry]:
    """What the inspected relations point to by foreign keys, and is not among them: a join needs
    both sides."""
    wanted = {
        constraint.references_path
        for told in known.values()
        for constraint in told.constraints
        if constraint.kind == connector.CONSTRAINT_KIND_FOREIGN_KEY
    }
    return [each for each in entries if each.path in wanted - known.keys()][:NEIGHBOURS]


def kept_together(
    detailed: Sequence[connector.Entry],
    near: Sequence[connector.Entry],
    told: Sequence[connector.Entry],
) -> list[connector.Entry]:
    """The detailed ones, their neighbours, then the others: as many as were told."""
    ordered = {each.path: each for each in (*detailed, *near, *told)}
    return list(ordered.values())[: max(len(told), len(detailed) + len(near))]


def _columns(
    entry: connector.Entry, known: Mapping[str, connector.InspectResponse], guide: Guide
) -> str:
    told = known.get(entry.path)
    return columns(told, guide.columns(entry.path)) if told else ""


async def _listed(stub: Any, service: str, grant: str, path: str) -> list[connector.Entry]:
    found: list[connector.Entry] = []
    request = connector.BrowseRequest(grant=grant, path=path, page_size=_PAGE)
    while len(found) < MAX_LISTED:
        page = await call(service, stub.Browse(request))
        found += page.entries
        if not page.next_page_token or page.next_page_token == request.page_token:
            break
        request.page_token = page.next_page_token
    return found


def relevant(
    entries: Sequence[connector.Entry], question: str, most: int, guide: Guide = NO_GUIDE
) -> list[connector.Entry]:
    """At most so many: those with the most of the question's words in their name, comment and notes
    come first, of those with as many the largest."""
    asked = stems(question)

    def order(entry: connector.Entry) -> tuple[int, int, str]:
        notes = " ".join([guide.about(entry.path), *guide.columns(entry.path).values()])
        shared = len(asked & stems(f"{entry.path} {entry.comment} {notes}"))
        return -shared, -max(entry.row_estimate, entry.size_bytes), entry.path

    return sorted(entries, key=order)[:most]


def columns(told: connector.InspectResponse, notes: Mapping[str, str] = NO_NOTES) -> str:
    """Names and types; what points to another relation says where, and what its owner noted."""
    foreign = {
        constraint.columns[0]: constraint.references_path
        for constraint in told.constraints
        if constraint.kind == connector.CONSTRAINT_KIND_FOREIGN_KEY and len(constraint.columns) == 1
    }
    parts = [
        f"{each.name} {each.type}"
        + (f" -> {foreign[each.name]}" if each.name in foreign else "")
        + (f" ({_flat(notes[each.name])})" if each.name in notes else "")
        for each in told.columns[:MAX_COLUMNS]
    ]
    left = len(told.columns) - MAX_COLUMNS
    return ", ".join([*parts, f"… {left} more"] if left > 0 else parts)


def line(entry: connector.Entry, its_columns: str = "", note: str = "") -> str:
    """One entry: path, how much it is, its comment and its owner's note, its columns."""
    facts = []
    if entry.kind == connector.ENTRY_KIND_PREFIX:
        facts.append("folder")
    if entry.HasField("row_estimate") and entry.row_estimate >= 0:
        facts.append(f"about {entry.row_estimate:,} rows")
    elif entry.HasField("size_bytes"):
        facts.append(f"{entry.size_bytes:,} bytes")
    text = f"{entry.path} ({', '.join(facts)})" if facts else entry.path
    said = ". ".join(_flat(each) for each in (entry.comment, note) if each)
    text += f" -- {said}" if said else ""
    return f"{text}: {its_columns}" if its_columns else text


def _flat(text: str) -> str:
    """On one line, of 200 characters."""
    return " ".join(text.split())[:200]
