"""Data sources by the client, before a real gateway."""

import pytest

from isobath_client import Isobath
from isobath_client.errors import Conflict, InvalidRequest, Refused
from tests.client.test_asking import asyncio_client, blocking
from tests.gateway.conftest import Platform


@pytest.mark.req("D1", "P3", "P10")
async def test_query_and_preview_are_data_frames(platform: Platform) -> None:
    await platform.source()

    def work(isobath: Isobath) -> None:
        frame = isobath.query("shop", "SELECT $1", params=["north"]).to_pandas()
        assert frame.to_dict("records") == [{"sql": "SELECT $1", "bound": "['north']"}]
        first = isobath.preview("shop", "public.orders", rows=1)
        assert first.to_arrow().to_pylist() == [{"region": "north", "count": 3}]
        assert first.truncated and "north" in (first._repr_html_() or "")
        with pytest.raises(Refused) as refused:
            isobath.query("shop", "SELECT FORM")
        assert refused.value.fields["sqlstate"] == "42601"
        with pytest.raises(TypeError, match="bound"):
            isobath.query("shop", "SELECT $1", params=[object()])  # type: ignore[list-item]

    await blocking(platform, work)


@pytest.mark.req("P9")
async def test_table_tells_what_cut_it(platform: Platform) -> None:
    await platform.source()
    async with asyncio_client(platform) as isobath:
        cut = await isobath.query("shop", "SELECT 1", max_rows=1)
        assert cut.truncated and "cut by" in repr(cut)
        # whoever knows Arrow's C stream takes it as it is
        import pyarrow

        assert pyarrow.table(cut).num_rows == 1


@pytest.mark.req("D1", "D5")
async def test_source_is_added_changed_checked_and_removed(platform: Platform) -> None:
    def work(isobath: Isobath) -> None:
        secrets = {"password": "planted"}
        made = isobath.sources.add("shop", "double", config={"host": "db"}, secrets=secrets)
        assert isobath.sources.get("shop").id == made.id
        with pytest.raises(Conflict):
            isobath.sources.add("shop", "double", config={"host": "db"}, secrets=secrets)
        with pytest.raises(InvalidRequest) as wrong:
            isobath.sources.add("other", "double", config={}, secrets=secrets)
        assert wrong.value.fields["field"].startswith("config")
        changed = isobath.sources.update("shop", name="store", description="of the tests")
        assert (changed.name, changed.description) == ("store", "of the tests")
        assert isobath.sources.check("store").ok
        assert isobath.sources.statistics("store", "public.orders").columns[0].mean == 3.5
        assert isobath.sources.types()[0].type == "double"
        isobath.sources.remove("store")
        assert list(isobath.sources.list()) == []

    await blocking(platform, work)


async def test_what_is_chosen_is_streamed(platform: Platform) -> None:
    await platform.source()

    def work(isobath: Isobath) -> bytes:
        events = isobath.sources.fetch("shop:public.orders", format="csv")
        return b"".join(event.piece for event in events)

    assert await blocking(platform, work) == b"region,count\nnorth,3\nsouth,4\n"
    with pytest.raises(ValueError, match="SOURCE:PATH"):
        await blocking(platform, lambda isobath: list(isobath.sources.fetch("shop")))
