"""Adapters on every replica or on none: over real gRPC, with an engine that the test steps itself."""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.certs import OPERATOR, Certificates, issue
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit.ports import free_port
from servicekit.server import Server, ServerSettings
from servicekit.testing import running
from servicekit.tls import TlsSettings
from services.inference.engines.vllm.folder import following
from services.inference.errors import AdapterUnfit
from services.inference.models import Model
from services.inference.servicer import ALLOW, SERVICE, STATUSES, InferenceServicer
from tests.inference.scripted import Scripted, replica
from training.serving import placing, replicas
from training.serving.operator import Operator, operator
from training.serving.replicas import NotDone

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.req("T4")


class Picky(Scripted):
    """Refuses every adapter, or answers none, where it is told to."""

    refuses = False
    hides = False

    async def load_adapter(self, name: str, path: Path) -> Model:
        if self.refuses:
            raise AdapterUnfit("its rank is too large", path=str(path), remedy="A larger RANK.")
        return await super().load_adapter(name, path)

    def models(self) -> tuple[Model, ...]:
        found = tuple(super().models())
        return found[:1] if self.hides else found


@dataclass
class Fleet:
    engines: list[Picky]
    where: Operator

    def served(self) -> list[set[str]]:
        return [set(each.loaded) for each in self.engines]


@asynccontextmanager
async def fleet(count: int = 2) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        engines = [Picky() for _ in range(count)]
        servers = [await stack.enter_async_context(replica(each)) for each in engines]
        yield Fleet(engines, Operator(",".join(each.address for each in servers)))


async def load(found: Fleet, path: Path, name: str = "ours") -> dict[str, bool]:
    async with replicas.reached(found.where) as reached:
        return await replicas.load(reached, name, str(path), seconds=10)


async def test_every_replica_serves_it_and_a_second_time_changes_nothing(tmp_path, no_leaks):
    async with fleet() as found:
        assert list((await load(found, tmp_path)).values()) == [True, True]
        assert found.served() == [{"ours"}, {"ours"}]
        assert [each.seen[-1].model for each in found.engines] == ["ours", "ours"], "asked by name"
        assert list((await load(found, tmp_path)).values()) == [False, False]


@pytest.mark.parametrize("fault", ["refuses", "hides"])
async def test_one_that_fails_undoes_the_others(tmp_path, no_leaks, fault):
    async with fleet(3) as found:
        setattr(found.engines[1], fault, True)
        with pytest.raises(NotDone) as failed:
            await load(found, tmp_path)
        assert found.served() == [set()] * 3 and failed.value.undone
        at = found.where.inference.split(",")[1]
        assert [each.address for each in failed.value.failures] == [at]
        assert ("ADAPTER_UNFIT" in str(failed.value)) == (fault == "refuses")


async def test_what_a_replica_served_before_stays_when_another_fails(tmp_path, no_leaks):
    async with fleet() as found:
        await found.engines[0].load_adapter("ours", tmp_path)
        found.engines[1].refuses = True
        with pytest.raises(NotDone):
            await load(found, tmp_path)
        assert found.served() == [{"ours"}, set()]


async def test_replica_that_is_away_is_found_before_any_loads(tmp_path, no_leaks):
    async with fleet(1) as found:
        where = Operator(f"{found.where.inference},127.0.0.1:{free_port()}")
        with pytest.raises(NotDone, match="not all replicas tell their models"):
            await load(Fleet(found.engines, where), tmp_path)
        assert found.served() == [set()]


async def test_name_of_another_adapter_and_path_that_is_not_there_say_what_to_do(
    tmp_path, no_leaks
):
    (tmp_path / "other").mkdir()
    async with fleet() as found:
        await load(found, tmp_path)
        with pytest.raises(NotDone, match=r"CONFLICT(.|\n)*Unload"):
            await load(found, tmp_path / "other")
        assert found.served() == [{"ours"}, {"ours"}]
        with pytest.raises(NotDone, match=r"PATH_NOT_FOUND(.|\n)*--folder"):
            await load(found, tmp_path / "nowhere", "theirs")


async def test_cancelled_half_way_it_is_undone(tmp_path, no_leaks):
    async with fleet() as found:
        begun, go_on = asyncio.Event(), asyncio.Event()
        ready = found.engines[1].load_adapter

        async def slow(name: str, path: Path) -> Model:
            begun.set()
            await go_on.wait()
            return await ready(name, path)

        found.engines[1].load_adapter = slow  # type: ignore[method-assign]
        task = asyncio.create_task(load(found, tmp_path))
        await asyncio.wait_for(begun.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert found.served() == [set(), set()]


async def test_unload_and_differences(tmp_path, no_leaks):
    async with fleet() as found, replicas.reached(found.where) as reached:
        await found.engines[0].load_adapter("ours", tmp_path)
        assert replicas.differences(await replicas.models(reached)) == ["ours"]
        told = await replicas.unload(reached, "ours", seconds=10)
        assert list(told.values()) == [True, False]
        assert replicas.differences(await replicas.models(reached)) == []


def adapter(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / placing.CONFIG).write_text("{}")
    (folder / placing.WEIGHTS[0]).write_bytes(weights)
    (folder / placing.TEMPLATE).write_text("{{ messages }}")
    (folder / "optimizer.pt").write_bytes(b"not for serving")
    (folder / "checkpoint-10").mkdir(exist_ok=True)
    return folder


def test_place_copies_what_is_served_once(tmp_path):
    made, shared = adapter(tmp_path / "made"), tmp_path / "shared"
    with pytest.raises(placing.CannotPlace, match="is no folder"):
        placing.place(made, shared, "ours")
    shared.mkdir()
    assert placing.place(made, shared, "ours")
    assert sorted(each.name for each in (shared / "ours").iterdir()) == sorted(
        [placing.CONFIG, placing.WEIGHTS[0], placing.TEMPLATE]
    )
    assert not placing.place(made, shared, "ours")
    with pytest.raises(placing.CannotPlace, match="new name"):
        placing.place(adapter(tmp_path / "other", b"others"), shared, "ours")
    (made / placing.TEMPLATE).write_text("another")
    with pytest.raises(placing.CannotPlace, match="new name"):
        placing.place(made, shared, "ours")
    assert [each.name for each in shared.iterdir()] == ["ours"], "nothing half done is left"
    assert placing.remove(shared, "ours") and not placing.remove(shared, "ours")
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("missing", [placing.CONFIG, placing.WEIGHTS[0]])
def test_place_of_what_is_no_adapter_leaves_nothing(tmp_path, missing):
    made, shared = adapter(tmp_path / "made"), tmp_path / "shared"
    (made / missing).unlink()
    shared.mkdir()
    with pytest.raises(placing.CannotPlace, match=missing):
        placing.place(made, shared, "ours")
    assert list(shared.iterdir()) == []


def test_copy_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    made, shared = adapter(tmp_path / "made"), tmp_path / "shared"
    shared.mkdir()

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.serving.placing.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        placing.place(made, shared, "ours")
    assert list(shared.iterdir()) == []


async def command(*words: str, module: str = "training.push", **environ: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", **environ},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_command_loads_lists_and_unloads(tmp_path, no_leaks):
    made = adapter(tmp_path / "made")
    async with fleet() as found:
        at = found.where.inference
        code, said = await command(
            "--adapter", str(made), "--name", "v1", ISOBATH_OPERATOR_INFERENCE=at
        )
        assert code == 0 and said.count("serves it now") == 2, said
        await found.engines[0].load_adapter("v2", made)
        code, said = await command("--list", "--inference", at)
        assert code == 0 and "v1, v2" in said and "not on all replicas: v2" in said, said
        found.engines[1].refuses = True
        code, said = await command("--path", "/elsewhere", "--name", "v3", "--inference", at)
        assert code == 1 and "PATH_NOT_FOUND" in said and "ADAPTER_UNFIT" in said, said
        code, said = await command("--unload", "--name", "v1", "--inference", at)
        assert code == 0 and found.served() == [{"v2"}, set()], said


async def test_command_puts_it_into_the_folder_that_replicas_follow(tmp_path, no_leaks):
    made, shared = adapter(tmp_path / "made"), tmp_path / "shared"
    shared.mkdir()
    words = ("--folder", str(shared), "--name", "v1", "--wait", "5")
    async with fleet() as found, AsyncExitStack() as stack:
        at = ("--inference", found.where.inference)
        for each in found.engines:
            await stack.enter_async_context(following(each, shared, 0.05))
        code, said = await command("--adapter", str(made), *words, *at)
        assert code == 0 and found.served() == [{"v1"}, {"v1"}], said
        code, said = await command("--adapter", str(made), *words, *at)
        assert code == 0 and "lies already" in said, said
        code, said = await command("--unload", *words, *at)
        assert code == 0 and found.served() == [set(), set()], said
        found.engines[1].refuses = True
        code, said = await command("--adapter", str(made), *words[:-1], "1", *at)
        assert code == 1 and "adapter_refused" in said, said
        assert list(shared.iterdir()) == [], "on none, where not on all"


async def test_command_without_replicas_puts_it_into_the_folder_only(tmp_path, no_leaks):
    made, shared = adapter(tmp_path / "made"), tmp_path / "shared"
    shared.mkdir()
    words = ("--folder", str(shared), "--name", "v1")
    code, said = await command("--adapter", str(made), *words)
    assert code == 0 and "was not asked" in said and (shared / "v1").is_dir(), said
    code, said = await command("--unload", *words)
    assert code == 0 and "gone" in said and list(shared.iterdir()) == [], said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--list",), "ISOBATH_OPERATOR_INFERENCE"),
        (("--inference", "nowhere", "--list"), "host:port"),
        (("--inference", "a:1", "--name", "a/b", "--path", "/x"), "letters, digits"),
        (("--inference", "a:1", "--name", "a"), "give --adapter"),
        (("--inference", "a:1", "--name", "a", "--folder", "/x"), "--adapter"),
    ],
)
async def test_command_that_cannot_be_understood(words, told):
    code, said = await command(*words)
    assert code == 2 and told in said, said


@pytest.mark.req("S3")
async def test_operator_shows_certificate_and_token_and_others_are_refused(tmp_path, no_leaks):
    files = issue(tmp_path / "certs", ("inference", OPERATOR, "sandbox"))
    tokens = {who: f"token of {who}" for who in (OPERATOR, "sandbox")}
    callers = tmp_path / "callers.json"
    callers.write_text(
        json.dumps({w: hashlib.sha256(t.encode()).hexdigest() for w, t in tokens.items()})
    )
    settings = ServerSettings(tls=shown(files, "inference"), callers_file=callers, drain_s=2.0)
    engine = Picky()

    @asynccontextmanager
    async def mount(server: Server, _: None) -> AsyncIterator[None]:
        servicer = InferenceServicer(engine, server.draining, engine)
        server.register(
            SERVICE,
            lambda s: rpc.add_InferenceServiceServicer_to_server(servicer, s),
            statuses=STATUSES,
            allow=ALLOW,
        )
        yield

    async with running((mount, None), server_settings=settings) as server:
        for who, refusal in ((OPERATOR, ""), ("sandbox", "CALLER_NOT_ALLOWED")):
            told = {
                "INFERENCE": server.address, "TOKEN": tokens[who],
                "TLS_CERT_FILE": str(files.cert(who)), "TLS_KEY_FILE": str(files.key(who)),
                "TLS_CA_FILE": str(files.ca),
            }  # fmt: skip
            where = operator({f"ISOBATH_OPERATOR_{name}": each for name, each in told.items()})
            found = Fleet([engine], where)
            if not refusal:
                assert await load(found, tmp_path) == {server.address: True}
                continue
            with pytest.raises(NotDone, match=refusal):
                await load(found, tmp_path, "theirs")


def shown(files: Certificates, who: str) -> TlsSettings:
    return TlsSettings(files.cert(who), files.key(who), files.ca)
