"""Each target of the Dockerfile holds what its service imports and nothing else, and says how it is
run. Built and run they are by `make images-check`."""

import functools
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions

import pytest

from hatch_build import _FLAGS, LIBRARY, SOURCE
from servicekit.settings import load
from tests.images.closure import needed
from tests.images.stages import ROOT, SERVICES, Stage, stages

CODE = "/app/code/"
# what a service does without where it is not there, and says so
OPTIONAL = {
    # psutil comes with vLLM
    "inference": {"vllm", "transformers", "torch", "psutil"},
}


@pytest.fixture(scope="module")
def found() -> dict[str, Stage]:
    return stages()


def packages(stage: Stage) -> set[str]:
    """Ours that are copied to where Python finds them."""
    there = (target.removeprefix(CODE) for target in stage.copied() if target.startswith(CODE))
    return {name.split("/")[0] for name in there}


@functools.cache
def distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def locked(target: str) -> set[str]:
    text = (ROOT / "requirements" / f"{target}.txt").read_text()
    return {name.lower() for name in re.findall(r"(?m)^([A-Za-z0-9_.-]+)==", text)}


@pytest.mark.req("K2")
def test_every_service_has_a_target(found: dict[str, Stage]) -> None:
    services = {path.parent.name for path in ROOT.glob("services/*/__init__.py")}
    assert set(SERVICES.values()) == services
    assert set(SERVICES) <= set(found)


@pytest.mark.req("K2")
def test_all_that_is_copied_is_there(found: dict[str, Stage]) -> None:
    paths = [path for stage in found.values() for path in stage.sources()]
    assert "servicekit" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert [path for path in paths if not _let_in(path, kept)] == []


def _let_in(path: str, lines: list[str]) -> bool:
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    return any(path == each or path.startswith(f"{each}/") for each in allowed)


@pytest.mark.req("K2")
@pytest.mark.parametrize("target", SERVICES)
def test_an_image_has_our_packages_that_its_service_imports(
    target: str, found: dict[str, Stage]
) -> None:
    service = SERVICES[target]
    ours, _ = needed(service)
    assert packages(found[target]) == ours | {"isobath"}
    copied = [path for path in found[target].copied() if path.startswith(f"{CODE}services/")]
    assert copied == [f"{CODE}services/{service}"]


@pytest.mark.req("K2")
@pytest.mark.parametrize("target", SERVICES)
def test_a_lock_has_what_its_service_imports(target: str) -> None:
    _, imported = needed(SERVICES[target])
    known = distributions()
    have = {name.replace("_", "-") for name in locked(target)}
    missing = {
        name
        for name in imported - set(sys.stdlib_module_names) - OPTIONAL.get(target, set())
        if not {each.lower().replace("_", "-") for each in known.get(name, ["?"])} & have
    }
    assert missing == set(), "name them in the extra of pyproject.toml, then `make locks`"


@pytest.mark.req("K2")
@pytest.mark.parametrize("target", SERVICES)
def test_an_image_says_how_it_is_run(target: str, found: dict[str, Stage]) -> None:
    stage, service = found[target], SERVICES[target]
    assert stage.base == "runtime"
    assert stage.values("USER") == ["10001:10001"]
    assert stage.command("ENTRYPOINT") == ["python", "-P", "-m", f"services.{service}"]
    checked = stage.command("HEALTHCHECK")
    assert checked[:5] == ["python", "-P", "-m", "servicekit.probe", service]
    assert stage.command("VOLUME") == ["/var/lib/isobath", "/tmp"]
    assert found["runtime"].values("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.req("K2")
@pytest.mark.parametrize("target", SERVICES)
def test_an_image_listens_at_its_services_ports(target: str, found: dict[str, Stage]) -> None:
    service = SERVICES[target]
    settings = importlib.import_module(f"services.{service}.settings").Settings
    prefix = f"ISOBATH_{service.upper()}_"
    given = found[target].environment()
    assert all(name.startswith(prefix) for name in given)
    shown, default = load(settings, given, prefix=prefix), settings()
    ports = [value.server.bind.rpartition(":")[2] for value in (shown, default)]
    assert ports[0] == ports[1]
    assert ports[0] in found[target].values("EXPOSE")[0].split()


@pytest.mark.req("K2")
def test_what_comes_from_outside_can_be_pinned(found: dict[str, Stage]) -> None:
    bases = {stage.base for stage in found.values()} - set(found) - {"scratch"}
    text = (ROOT / "Dockerfile").read_text()
    assert bases == {"${PYTHON_IMAGE}", "${BUILD_IMAGE}", "${VLLM_IMAGE}"}
    for name in ("PYTHON_IMAGE", "VLLM_IMAGE"):
        assert re.search(rf"(?m)^ARG {name}=\S+:\S+$", text)
    assert "latest" not in text


@pytest.mark.req("K2")
def test_an_image_is_of_the_packages_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"\nARG VERSION={project['version']}\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.req("K2")
def test_the_loop_in_c_is_compiled_as_in_the_wheel(found: dict[str, Stage]) -> None:
    (build,) = (value for value in found["kernel"].values("RUN") if " cc " in value)
    assert " ".join(_FLAGS) in build
    folder, _, source = SOURCE.rpartition("/")
    assert f"cd {folder} " in build
    assert build.endswith(f"-o {LIBRARY.rpartition('/')[2]} {source}")


@pytest.mark.req("K2")
def test_nothing_of_this_folder_but_what_is_named_goes_into_a_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()
    sent = [path for path in tracked if _let_in(path, lines)]
    assert not [path for path in sent if path.startswith(("tests/", "bench/", "docs/", "k8s/"))]
