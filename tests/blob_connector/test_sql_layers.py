"""The layers of SQL over files together, on a lake."""

import pytest

from isobath.connector.v1 import connector_pb2 as pb
from tests.blob_connector.conftest import Lake, fault_of
from tests.blob_connector.test_sql import put
from tests.connectorkit.sql_attacks import ATTACKS
from tests.connectorkit.trap import REFUSED, Trap, trap

__all__ = ["trap"]


@pytest.mark.req("P8", "X4")
@pytest.mark.timeout(240)
async def test_all_layers_together_refuse_attacks(lake: Lake, trap: Trap) -> None:
    """Of every kind; each one has been tried on the layers alone."""
    await put(lake, "a.csv", "a\n1\n")
    grant = await lake.grant("list", "read")
    for attack in ATTACKS[::4]:
        query = pb.Query(sql=trap.spring(attack.sql))
        request = pb.FetchRequest(grant=grant, selection=pb.Selection(query=query))

        async def fetched(request: pb.FetchRequest = request) -> str:
            return str([event async for event in lake.stub.Fetch(request)])

        fault = await fault_of(fetched())
        assert fault.reason in REFUSED, (attack.name, fault)
        assert trap.sprung(str(fault)) == "", attack.name


@pytest.mark.req("X4")
async def test_paths_beyond_the_grant_are_refused(lake: Lake) -> None:
    for name in ("in/a.csv", "out/b.csv"):
        await put(lake, name, "a\n1\n")
    grant = await lake.grant("list", "read", scopes=["in/"])
    for sql in (
        "FROM 'out/b.csv'",
        "FROM '*/*.csv'",
        "FROM '{in,out}/*.csv'",
        "FROM 'in/a.csv', 'out/b.csv'",
        "FROM read_csv(['in/a.csv', 'out/b.csv'])",
        "SELECT (SELECT count(*) FROM 'out/*.csv')",
        "FROM glob('**')",
    ):
        query = pb.Selection(query=pb.Query(sql=sql))
        call = lake.stub.Preview(pb.PreviewRequest(grant=grant, selection=query))
        assert (await fault_of(call)).reason == "BEYOND_GRANT", sql
    query = pb.Selection(query=pb.Query(sql="FROM 'in/*.csv'"))
    await lake.stub.Preview(pb.PreviewRequest(grant=grant, selection=query))
