"""Imports point one way, generated code is fresh, and names say what they hold."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/__init__.py"))
OURS = {"servicekit", "grants", "connectorkit", "services", "isobath_client", "dev", "isobath"}
# what each package may import of ours, beside itself
ALLOWED = {
    "servicekit": set[str](),
    "grants": set[str](),
    "connectorkit": {"grants", "servicekit", "isobath"},
    "services": {"connectorkit", "grants", "servicekit", "isobath"},
    "isobath_client": {"servicekit", "isobath"},
}
# modules of a service's core: values in, values out
PURE = (
    "grants",
    "services/gateway/tags.py",
    "services/gateway/conversation.py",
    "services/gateway/prompt.py",
    "services/pg_connector/binary",
    "services/pg_connector/guard.py",
    "connectorkit/files/patterns.py",
    "services/blob_connector/paths.py",
    "services/file_connector/paths.py",
    "services/inference/engines/rules",
)
IO_MODULES = {
    "asyncio",
    "socket",
    "grpc",
    "asyncpg",
    "aiohttp",
    "httpx",
    "sqlalchemy",
    "subprocess",
}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def sources(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def reads_environment(path: Path) -> Iterator[int]:
    """Lines that name `os.environ` or `os.getenv` in code, not in a text for another process."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in {"environ", "getenv"})


@pytest.mark.parametrize("package", ALLOWED)
def test_package_imports_only_what_it_may(package: str) -> None:
    place = "client/isobath_client" if package == "isobath_client" else package
    for path in sources(place):
        ours = {name.split(".")[0] for name in imports(path)} & OURS
        assert ours - {package} <= ALLOWED[package], path


@pytest.mark.parametrize("service", SERVICES)
def test_service_never_imports_another(service: str) -> None:
    for path in sources(f"services/{service}"):
        for name in imports(path):
            if name.startswith("services."):
                assert name.split(".")[1] == service, f"{path} imports {name}"


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_the_same_files(service: str) -> None:
    for name in ("__main__", "app", "settings", "servicer", "errors"):
        assert (ROOT / "services" / service / f"{name}.py").is_file()


@pytest.mark.parametrize("service", SERVICES)
def test_only_main_reads_the_environment(service: str) -> None:
    for path in sources(f"services/{service}"):
        if path.name != "__main__.py" and "kernel" not in path.parts:
            assert not set(reads_environment(path)), path


@pytest.mark.parametrize("place", PURE)
def test_core_does_no_io(place: str) -> None:
    for path in sources(place):
        if path.stem in {"engine", "__init__"}:
            continue
        heads = {name.split(".")[0] for name in imports(path)}
        assert not heads & IO_MODULES, path


def test_modules_are_named_for_nouns() -> None:
    tracked = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True).split()
    assert not [name for name in tracked if Path(name).stem in BANNED_NAMES]


def test_generated_code_is_fresh(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, ROOT / "dev/protos.py", tmp_path], check=True, stderr=subprocess.DEVNULL
    )
    made = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*.*") if p.is_file()}
    kept = {
        p.relative_to(ROOT / "gen"): p.read_text()
        for p in (ROOT / "gen").rglob("*.*")
        if "__pycache__" not in p.parts and p.is_file()
    }
    assert made == kept, "run `make protos`"


def test_locks_name_no_registry() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text(), lock
