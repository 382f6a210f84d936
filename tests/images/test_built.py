"""What is in the built images, and that the services run from them (`make images-check`)."""

import json
import re
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet
import pytest
import pytest_asyncio

from dev import compose_secrets
from dev.postgres import Postgres
from dev.question import DATA, MODEL, QUESTION, lacking
from dev.samples import Company, facts, generate
from dev.samples.load import DATABASE, Login, load_postgres
from tests.images.containers import Engine
from tests.images.platform import USER, Platform, platform
from tests.images.stages import SERVICES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TARGETS = pytest.mark.parametrize("target", SERVICES)
VOLUMES = ("var/lib/isobath", "tmp")
# what installs, builds or fetches, and tests
UNWANTED = re.compile(
    r"(^|/)s?bin/(pip[0-9.]*|gcc|cc|c99|ld|make|git|curl|wget)$"
    r"|(site|dist)-packages/(pip|setuptools|wheel|pytest|hypothesis)$"
    r"|lib/python3[.\d]*/(ensurepip|test|idlelib)$"
    r"|(^|/)tests/(.*/)?test_[^/]*\.py$|^app/code/.*(test|conftest)[^/]*\.py$"
)
SITE = "app/lib/python3.11/site-packages"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def roots(engine: Engine, images: dict[str, str]) -> Iterator[dict[str, Path]]:
    with ExitStack() as stack:
        yield {target: stack.enter_context(engine.files(image)) for target, image in images.items()}


def walked(root: Path) -> Iterator[tuple[str, Path, Any]]:
    for path in root.rglob("*"):
        yield str(path.relative_to(root)), path, path.lstat()


def distributions(root: Path) -> dict[str, str]:
    found = (PathDistribution(path) for path in (root / SITE).glob("*.dist-info"))
    return {_plain(each): each.version for each in found}


def _plain(each: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower()


@pytest.mark.req("K2")
@TARGETS
def test_only_what_runs_is_in_it(target: str, roots: dict[str, Path]) -> None:
    root = roots[target]
    entries = list(walked(root))
    assert [name for name, _, _ in entries if UNWANTED.search(name)] == []
    size = sum(info.st_size for _, _, info in entries if stat.S_ISREG(info.st_mode))
    print(f"{target}: {size / MIB:.0f} MiB, of which packages {_size(root / SITE) / MIB:.0f} MiB")
    others = {path.name for path in (root / "app/code/services").iterdir()}
    assert others - {"__pycache__"} == {SERVICES[target]}


def _size(folder: Path) -> int:
    return sum(info.st_size for _, _, info in walked(folder) if stat.S_ISREG(info.st_mode))


@pytest.mark.req("K2")
@TARGETS
def test_nobody_gains_rights_or_leaves_anything(target: str, roots: dict[str, Path]) -> None:
    privileged, writable, keys = [], [], []
    for name, path, info in walked(roots[target]):
        if stat.S_ISREG(info.st_mode) and info.st_mode & (stat.S_ISUID | stat.S_ISGID):
            privileged.append(name)
        if _can_write(info) and not name.startswith(("dev/", *VOLUMES)):
            writable.append(name)
        if _may_hold_key(name, info) and b"PRIVATE KEY-----\n" in path.read_bytes():
            keys.append(name)
    assert privileged == []
    # folders of Debian's for everybody, which a read-only root closes
    assert set(writable) <= {"var/tmp", "run/lock"}
    assert keys == []


def _can_write(info: Any) -> bool:
    if stat.S_ISLNK(info.st_mode):
        return False
    return bool(info.st_mode & stat.S_IWOTH) or USER in (info.st_uid, info.st_gid)


def _may_hold_key(name: str, info: Any) -> bool:
    small = stat.S_ISREG(info.st_mode) and info.st_size < MIB
    return small and name.endswith((".pem", ".key", ".env", ".json", ".conf", ".txt"))


@pytest.mark.req("K2")
@TARGETS
def test_bill_of_materials_names_what_is_installed(target: str, roots: dict[str, Path]) -> None:
    bill = json.loads((roots[target] / f"usr/share/sbom/isobath-{target}.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == f"isobath-{target}"
    listed = {re.sub(r"[-_.]+", "-", c["name"]).lower(): c["version"] for c in bill["components"]}
    assert listed == distributions(roots[target])


@pytest.mark.req("K2")
@TARGETS
def test_labels_say_what_it_is(target: str, engine: Engine, images: dict[str, str]) -> None:
    labels = engine.inspect(images[target])["Labels"]
    names = ("title", "description", "version", "revision", "source", "licenses")
    assert all(labels[f"org.opencontainers.image.{name}"] for name in names)


@pytest.fixture(scope="module")
def company() -> Company:
    return generate()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(postgres: Postgres, company: Company) -> AsyncIterator[Login]:
    yield await load_postgres(postgres, company, lambda *_: None)
    await postgres.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def state(postgres: Postgres) -> AsyncIterator[str]:
    """A database of the gateway's, by the socket that its container has."""
    async with postgres.database("state") as name:
        user = f"{postgres.user}:{quote(postgres.password, safe='')}"
        yield f"postgresql+asyncpg://{user}@/{name}?host=/run/postgresql&port={postgres.port}"


@pytest.fixture(scope="module")
def running(
    engine: Engine,
    images: dict[str, str],
    postgres: Postgres,
    state: str,
    company: Company,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    compose_secrets.write(folder / "secrets")
    (folder / "secrets" / "gateway" / "database-url").write_text(state)
    lake = folder / "files" / "shipments"
    lake.mkdir(parents=True)
    for month, table in company.shipments.items():
        pyarrow.parquet.write_table(table, lake / f"{month}.parquet")
    # the account of the containers is not that of the server
    postgres.socket_folder.chmod(0o711)
    next(postgres.socket_folder.glob(".s.PGSQL.[0-9]*[0-9]")).chmod(0o777)
    socket = (f"{postgres.socket_folder}:/run/postgresql",)
    mounts = {"pg-connector": socket, "gateway": socket}
    with platform(engine, folder, images, mounts) as made:
        yield made


@pytest.mark.req("K2")
@TARGETS
def test_a_service_serves_from_its_image(target: str, running: Platform) -> None:
    assert running.healthy(target).code == 0
    told = running.exec(target, "python", "-P", "-c", _TOLD).out
    assert json.loads(told) == {"uid": USER, "gid": USER, "root_is_writable": False, "caps": 0}


_TOLD = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/1/status") if ":" in line)
print(json.dumps({"uid": int(status["Uid"].split()[0]), "gid": int(status["Gid"].split()[0]),
                  "root_is_writable": os.access("/", os.W_OK) or os.access("/app", os.W_OK),
                  "caps": int(status["CapEff"], 16)}))
"""


@pytest.mark.req("K2")
@pytest.mark.asyncio(loop_scope="session")
async def test_a_question_is_answered_by_the_images(
    running: Platform, shop: Login, postgres: Postgres, company: Company
) -> None:
    sales = {"host": "/run/postgresql", "port": postgres.port, "database": DATABASE}
    for source in (
        {
            "name": "sales",
            "type": "postgresql",
            "config": {**sales, "user": shop.user},
            "secrets": {"password": shop.password},
        },
        {"name": "lake", "type": "local_file", "config": {"root": "files"}, "secrets": {}},
    ):
        made = running.call("POST", "/v1/data-sources", source)
        assert running.call("POST", f"/v1/data-sources/{made['id']}/test")["ok"]
    messages = [{"role": "user", "content": QUESTION}]
    asked = {"model": MODEL, "messages": messages, "data_sources": list(DATA)}
    answer = running.call("POST", "/v1/chat/completions", asked)
    assert lacking(answer["choices"][0]["message"]["content"], facts(company)) == []
    health = running.call("GET", "/health")
    assert health["status"] == "ok", health


@pytest.mark.req("K2")
def test_programs_are_isolated_in_a_container_too(running: Platform) -> None:
    """Without a capability, and with the engine's own seccomp filter: no namespaces can be had."""
    told = [json.loads(line) for line in running.logs("sandbox").splitlines() if line[:1] == "{"]
    assert [each["name"] for each in told if each["event"] == "tier"] == ["landlock"]


@pytest.mark.req("K2")
@TARGETS
def test_a_service_stops_at_a_signal(target: str, running: Platform) -> None:
    """The last test: what was stopped stays so."""
    assert running.stop(target) == 0
    assert '"stopped"' in running.logs(target)
