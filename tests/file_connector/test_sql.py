"""SQL over files that lie on the same machine as what must not be read."""

import asyncio

import pytest

from isobath.connector.v1 import connector_pb2 as pb
from tests.connectorkit.sql_attacks import ATTACKS
from tests.connectorkit.trap import REFUSED, Trap, trap
from tests.file_connector.conftest import Shelf, fault_of

__all__ = ["trap"]


# all that name a file of this machine, and some of each other kind: each one has been tried on the
# layers alone
TRIED = [attack for at, attack in enumerate(ATTACKS) if "local" in attack.name or at % 6 == 2]


@pytest.mark.req("P8", "X4", "D11")
@pytest.mark.timeout(240)
async def test_attacks_are_refused_and_reach_nothing(shelf: Shelf, trap: Trap) -> None:
    """Also those that name a file which the account of the connector could read."""
    shelf.put("a.csv", "a\n1\n")
    grant = await shelf.grant("list", "read")
    for attack in TRIED:
        fault = await fault_of(shelf.query(trap.spring(attack.sql), grant=grant))
        assert fault.reason in REFUSED, (attack.name, fault)
        assert trap.sprung(str(fault)) == "", attack.name


@pytest.mark.req("X4", "D11")
@pytest.mark.parametrize("name", ["secret.csv", "way/secret.csv", "in/up/trap/secret.csv"])
async def test_link_in_the_folder_gives_a_query_nothing(
    shelf: Shelf, trap: Trap, name: str
) -> None:
    shelf.put("in/a.csv", "a\n1\n")
    (shelf.root / "secret.csv").symlink_to(trap.folder / "secret.csv")
    (shelf.root / "way").symlink_to(trap.folder)
    (shelf.root / "in" / "up").symlink_to(trap.folder.parent)
    for sql in (f"FROM '{name}'", f"FROM read_text('{name}')", f"FROM read_csv(['{name}'])"):
        fault = await fault_of(shelf.query(sql))
        assert fault.reason in ("PATH_NOT_FOUND", "SOURCE_FORBIDDEN")
    found = await shelf.query("SELECT file FROM glob('**')")
    assert [path.rpartition("://")[2] for path in found["file"].to_pylist()] == ["in/a.csv"]


@pytest.mark.req("P6", "C7", "D11")
async def test_query_is_stopped_by_its_time_and_by_its_caller(shelf: Shelf) -> None:
    shelf.put("a.csv", "a\n1\n")
    endless = (
        "SELECT count(*) FROM 'a.csv', range(10000000000) b(i), range(1000) c(j) WHERE i % 7 = j"
    )
    limits = pb.Limits()
    limits.timeout.FromMilliseconds(300)
    selection = pb.Selection(query=pb.Query(sql=endless))
    request = pb.FetchRequest(grant=await shelf.grant(), selection=selection, limits=limits)

    async def fetched(request: pb.FetchRequest) -> list[pb.FetchResponse]:
        return [event async for event in shelf.stub.Fetch(request)]

    assert (await fault_of(fetched(request))).reason == "QUERY_TIMEOUT"
    request.ClearField("limits")
    waiting = asyncio.ensure_future(fetched(request))
    await asyncio.sleep(1.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    # that its process is gone is seen by the fixture


@pytest.mark.req("P9", "D11")
async def test_rows_of_a_query_are_limited_and_counted(shelf: Shelf) -> None:
    shelf.put("a.csv", "a\n" + "1\n" * 50)
    selection = pb.Selection(query=pb.Query(sql="FROM 'a.csv'"))
    grant = await shelf.grant()
    request = pb.PreviewRequest(grant=grant, selection=selection, rows=7)
    shown = await shelf.stub.Preview(request)
    assert shown.truncated and [column.name for column in shown.columns] == ["a"]
    limits = pb.Limits(max_rows=20)
    fetch = pb.FetchRequest(grant=grant, selection=selection, limits=limits)
    events = [event async for event in shelf.stub.Fetch(fetch)]
    (summary,) = (event.summary for event in events if event.HasField("summary"))
    assert (summary.rows, summary.truncated_by) == (20, "row limit of 20")
