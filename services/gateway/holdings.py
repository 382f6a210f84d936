"""What a source holds, told to a model that is to query it live: relations or files, in few lines.

Of many, those are told that the question speaks of, then the largest; how many more there are is
said too, and how to see them.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from isobath.connector.v1 import connector_pb2 as connector
from services.gateway.clients import call
from services.gateway.data import SERVICE_OF
from services.gateway.prompt import Holdings

# lines of some 25 tokens
MOST = 40
# of so many the columns are told too, each relation's in one line
DETAILED = 12
MAX_COLUMNS = 40
# listed at most: pages of a thousand
MAX_LISTED = 5_000
_PAGE = 1_000
_AT_ONCE = 4
_FOLDERS = (connector.ENTRY_KIND_SCHEMA,)
_RELATIONS = (
    connector.ENTRY_KIND_TABLE,
    connector.ENTRY_KIND_VIEW,
    connector.ENTRY_KIND_MATERIALIZED_VIEW,
    connector.ENTRY_KIND_PARTITIONED_TABLE,
    connector.ENTRY_KIND_FOREIGN_TABLE,
)
_WORD = re.compile(r"[^\W_]+")


async def holdings(stub: Any, source_type: str, grant: str, question: str) -> Holdings:
    """Asks the connector. Raises what it raises."""
    service = SERVICE_OF.format(source_type)
    entries = await _listed(stub, service, grant, "")
    folders = [each for each in entries if each.kind in _FOLDERS]
    for folder in folders:
        if len(entries) - len(folders) >= MAX_LISTED:
            break
        entries += await _listed(stub, service, grant, folder.path)
    found = [each for each in entries if each.kind not in _FOLDERS and each.readable]
    told = relevant(found, question, MOST)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def columns_of(entry: connector.Entry) -> str:
        async with slots:
            request = connector.InspectRequest(grant=grant, path=entry.path)
            return columns(await call(service, stub.Inspect(request)))

    # of a lake the files are too many, and of too many kinds, to be opened one by one
    detailed = [each for each in told[:DETAILED] if each.kind in _RELATIONS]
    async with asyncio.TaskGroup() as group:
        asked = {each.path: group.create_task(columns_of(each)) for each in detailed}
    known = {path: task.result() for path, task in asked.items()}
    lines = [line(each, known.get(each.path, "")) for each in told]
    return Holdings(lines, len(found) - len(told))


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


def relevant(entries: Sequence[connector.Entry], question: str, most: int) -> list[connector.Entry]:
    """At most so many: those with the most of the question's words in their name and comment come
    first, of those with as many the largest."""
    asked = _stems(question)

    def order(entry: connector.Entry) -> tuple[int, int, str]:
        shared = len(asked & _stems(f"{entry.path} {entry.comment}"))
        return -shared, -max(entry.row_estimate, entry.size_bytes), entry.path

    return sorted(entries, key=order)[:most]


def _stems(text: str) -> set[str]:
    """Words without the endings that most plurals have, short ones left out."""
    words = (word.lower() for word in _WORD.findall(text))
    return {word.removesuffix("s").removesuffix("e") for word in words if len(word) > 2}


def columns(told: connector.InspectResponse) -> str:
    """Names and types; what points to another relation says where."""
    foreign = {
        constraint.columns[0]: constraint.references_path
        for constraint in told.constraints
        if constraint.kind == connector.CONSTRAINT_KIND_FOREIGN_KEY and len(constraint.columns) == 1
    }
    parts = [
        f"{each.name} {each.type}" + (f" -> {foreign[each.name]}" if each.name in foreign else "")
        for each in told.columns[:MAX_COLUMNS]
    ]
    left = len(told.columns) - MAX_COLUMNS
    return ", ".join([*parts, f"… {left} more"] if left > 0 else parts)


def line(entry: connector.Entry, its_columns: str = "") -> str:
    """One entry: path, how much it is, its comment, its columns."""
    facts = []
    if entry.kind == connector.ENTRY_KIND_PREFIX:
        facts.append("folder")
    if entry.HasField("row_estimate") and entry.row_estimate >= 0:
        facts.append(f"about {entry.row_estimate:,} rows")
    elif entry.HasField("size_bytes"):
        facts.append(f"{entry.size_bytes:,} bytes")
    text = f"{entry.path} ({', '.join(facts)})" if facts else entry.path
    text += f" -- {' '.join(entry.comment.split())[:200]}" if entry.comment else ""
    return f"{text}: {its_columns}" if its_columns else text
