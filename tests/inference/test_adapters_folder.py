"""Adapters in a folder that a service follows: what is done about each change, and on real files."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from servicekit.limits import Limiter
from servicekit.settings import SettingsError
from services.inference.engines.vllm.folder import Changes, Followed, Stamp, changes, following
from services.inference.errors import AdapterUnfit
from services.inference.models import Model
from services.inference.settings import Settings
from tests.inference.scripted import Scripted

pytestmark = pytest.mark.req("T4")


def stamp(number: int) -> Stamp:
    return ((number, 1, 1),)


ONE, TWO = stamp(1), stamp(2)


@pytest.mark.parametrize(
    ("found", "before", "taken", "expected"),
    [
        ({}, {}, {}, Changes()),
        ({"a": ONE}, {}, {}, Changes()),  # new: it may still be written to
        ({"a": TWO}, {"a": ONE}, {}, Changes()),  # it was
        ({"a": ONE}, {"a": ONE}, {}, Changes(come=["a"])),
        ({"a": ONE}, {"a": ONE}, {"a": ONE}, Changes()),
        ({"a": TWO}, {"a": ONE}, {"a": ONE}, Changes()),
        ({"a": TWO}, {"a": TWO}, {"a": ONE}, Changes(gone=["a"], come=["a"])),
        ({}, {"a": ONE}, {"a": ONE}, Changes(gone=["a"])),
        ({"b": ONE, "c": ONE}, {"b": ONE, "c": ONE}, {"a": ONE}, Changes(["a"], ["b", "c"])),
    ],
)
def test_changes(found, before, taken, expected):
    assert changes(found, before, taken) == expected


looks = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3).map(stamp)), max_size=8)


@given(looks)
def test_after_two_equal_looks_what_lies_there_is_taken_and_nothing_else(seen):
    before: dict[str, Stamp] = {}
    taken: dict[str, Stamp] = {}
    for found in [*seen, *seen[-1:]]:
        told = changes(found, before, taken)
        assert set(told.gone) <= set(taken) and set(told.come) <= set(found)
        for name in told.gone:
            del taken[name]
        for name in told.come:
            assert name not in taken, "one that is replaced goes first"
            taken[name] = found[name]
        before = found
    assert taken == (seen[-1] if seen else {})


class Picky(Scripted):
    """Refuses those whose weights say so."""

    async def load_adapter(self, name: str, path: Path) -> Model:
        if (path / "adapter_model.safetensors").read_bytes() == b"bad":
            raise AdapterUnfit("its weights are bad", path=str(path), remedy="Make it anew.")
        return await super().load_adapter(name, path)


def adapter(folder: Path, name: str, weights: bytes = b"good") -> Path:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "adapter_config.json").write_text("{}")
    (folder / name / "adapter_model.safetensors").write_bytes(weights)
    return folder / name


async def test_folder_is_served_and_followed(tmp_path: Path, no_leaks):
    engine = Picky()
    adapter(tmp_path, "sales-v1")
    adapter(tmp_path, ".on-its-way")
    (tmp_path / "empty").mkdir()
    async with Limiter("adapters", 1) as threads:
        followed = Followed(engine, tmp_path, threads)
        await followed.start()
        assert engine.loaded == {"sales-v1": tmp_path / "sales-v1"}, "at the start without waiting"

        adapter(tmp_path, "sales-v2")
        (tmp_path / "empty" / "adapter_config.json").write_text("{}")
        await followed.look()
        assert set(engine.loaded) == {"sales-v1"}, "it may still be written to"
        await followed.look()
        assert set(engine.loaded) == {"sales-v1", "sales-v2"}

        shutil.rmtree(tmp_path / "sales-v1")
        await followed.look()
        assert set(engine.loaded) == {"sales-v2"}


@pytest.mark.parametrize(
    "changed", ["adapter_config.json", "adapter_model.safetensors", "chat_template.jinja"]
)
async def test_one_that_was_replaced_is_loaded_anew(tmp_path: Path, no_leaks, changed):
    engine = Picky()
    told: list[str] = []
    load, unload = engine.load_adapter, engine.unload_adapter

    async def loading(name: str, path: Path) -> Model:
        told.append(f"load {name}")
        return await load(name, path)

    async def unloading(name: str) -> bool:
        told.append(f"unload {name}")
        return await unload(name)

    engine.load_adapter, engine.unload_adapter = loading, unloading  # type: ignore[method-assign]
    adapter(tmp_path, "ours")
    async with Limiter("adapters", 1) as threads:
        followed = Followed(engine, tmp_path, threads)
        await followed.start()
        (tmp_path / "ours" / changed).write_bytes(b"something else")
        for _ in range(3):
            await followed.look()
    assert told == ["load ours", "unload ours", "load ours"]


async def test_one_that_is_refused_is_told_once_and_tried_again_when_it_changes(
    tmp_path: Path, no_leaks
):
    engine = Picky()
    adapter(tmp_path, "ours", b"bad")
    adapter(tmp_path, "theirs")
    adapter(tmp_path, "no name")
    with capture_logs() as logs:
        async with Limiter("adapters", 1) as threads:
            followed = Followed(engine, tmp_path, threads)
            await followed.start()
            for _ in range(3):
                await followed.look()
            assert set(engine.loaded) == {"theirs"}
            refused = [each for each in logs if each["event"] == "adapter_refused"]
            assert sorted(each["adapter"] for each in refused) == ["no name", "ours"]
            assert all(each["why"] and each["remedy"] for each in refused)
            adapter(tmp_path, "ours", b"mended")
            await followed.look()
            await followed.look()
    assert set(engine.loaded) == {"theirs", "ours"}


async def test_what_a_call_loaded_is_left_alone(tmp_path: Path, no_leaks):
    engine = Picky()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").mkdir()
    await engine.load_adapter("ours", adapter(tmp_path / "elsewhere", "ours"))
    adapter(tmp_path / "folder", "ours")
    async with Limiter("adapters", 1) as threads:
        followed = Followed(engine, tmp_path / "folder", threads)
        with capture_logs() as logs:
            await followed.start()
        assert [each["event"] for each in logs] == ["adapter_refused"]
        shutil.rmtree(tmp_path / "folder" / "ours")
        await followed.look()
    assert engine.loaded == {"ours": tmp_path / "elsewhere" / "ours"}


async def test_folder_that_is_away_for_a_while_changes_nothing(tmp_path: Path, no_leaks):
    engine = Picky()
    folder = tmp_path / "folder"
    folder.mkdir()
    adapter(folder, "ours")
    async with Limiter("adapters", 1) as threads:
        followed = Followed(engine, folder, threads)
        await followed.start()
        folder.rename(tmp_path / "away")
        with capture_logs() as logs:
            for _ in range(3):
                await followed.look()
        assert [each["event"] for each in logs] == ["adapters_folder_unreadable"]
        (tmp_path / "away").rename(folder)
        await followed.look()
    assert set(engine.loaded) == {"ours"}


async def test_following_looks_by_itself_and_ends(tmp_path: Path, no_leaks):
    engine = Picky()
    async with following(engine, tmp_path, 0.01):
        adapter(tmp_path, "ours")
        await until(lambda: "ours" in engine.loaded)
        shutil.rmtree(tmp_path / "ours")
        await until(lambda: not engine.loaded)


async def test_one_that_failed_is_tried_again_and_the_others_are_served(tmp_path: Path, no_leaks):
    engine = Picky()
    load, failed = engine.load_adapter, asyncio.Event()

    async def fails_once(name: str, path: Path) -> Model:
        if not failed.is_set():
            failed.set()
            raise OSError("a disk that fails")
        return await load(name, path)

    engine.load_adapter = fails_once  # type: ignore[method-assign]
    with capture_logs() as logs:
        async with following(engine, tmp_path, 0.01):
            adapter(tmp_path, "first")
            await asyncio.wait_for(failed.wait(), 5)
            adapter(tmp_path, "second")
            await until(lambda: set(engine.loaded) == {"first", "second"})
    assert "adapter_not_loaded" in [each["event"] for each in logs]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


async def test_folder_that_is_not_there_at_the_start_is_a_settings_error(tmp_path: Path, no_leaks):
    with pytest.raises(SettingsError, match=r"VLLM_ADAPTERS_FOLDER .*No such file"):
        async with following(Picky(), tmp_path / "nowhere", 1):
            pass


@pytest.mark.parametrize("changed", [{"engine": "rules"}, {"engine": "vllm", "vllm_adapters": 0}])
def test_folder_without_an_engine_for_it_is_refused(tmp_path: Path, changed):
    with pytest.raises(ValueError, match="VLLM_ADAPTERS_FOLDER is for ENGINE=vllm"):
        Settings(vllm_adapters_folder=tmp_path, **changed)
