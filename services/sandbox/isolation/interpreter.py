"""Which Python runs inside: the first that the sandbox's account can start and that is complete.

A virtual environment may link to an interpreter in somebody's home folder, which other accounts
cannot reach; the system's own Python of the same minor version then does, with the environment's
packages. Of the same minor version, because their compiled parts fit no other."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.sandbox.errors import TierUnavailable
from services.sandbox.isolation.port import Account, Interpreter

_NEEDED = ("IPython", "matplotlib_inline", "numpy", "pandas", "pyarrow", "matplotlib", "duckdb")
_TRY = """
import importlib, importlib.util, json, os, sys
missing = [n for n in sys.argv[1:] if importlib.util.find_spec(n) is None]
broken = ""
if not missing:
    try:
        importlib.import_module("numpy")
    except Exception as exc:
        broken = f"{type(exc).__name__}: {exc}"[:300]
prefixes = sorted({sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix})
real = os.path.realpath(sys.executable)
print(json.dumps({"version": sys.version_info[:2], "missing": missing, "broken": broken,
                  "executable": sys.executable, "real": real, "prefixes": prefixes}))
"""
_TRY_S = 60
# of the stage that drops privileges: what it was to start could not be
_NO_EXEC = 126


@dataclass(frozen=True)
class _Tried:
    interpreter: Interpreter | None
    why_not: str = ""
    # it could not even be started
    unreachable: bool = False


def choose(configured: Path | None, account: Account) -> Interpreter:
    """Raises TierUnavailable, which tells for each candidate why not."""
    reasons = []
    for candidate in _candidates(configured):
        tried = _try(candidate, account)
        if tried.interpreter is not None:
            return tried.interpreter
        reasons.append(f"{candidate}: {tried.why_not}")
    raise TierUnavailable(
        "any",
        f"no Python can be run as uid {account.uid}: " + "; ".join(reasons),
        f"install Python {_minor()} where every account can reach it (apt install "
        f"python{_minor()}) and keep the environment's packages readable, or name one with "
        "IPython, pandas, pyarrow, matplotlib and duckdb in ISOBATH_SANDBOX_PYTHON",
    )


def _candidates(configured: Path | None) -> Iterator[Path]:
    if configured is not None:
        yield configured
        return
    yield Path(sys.executable)
    for folder in ("/usr/bin", "/usr/local/bin"):
        yield Path(folder, f"python{_minor()}")


def _minor() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _try(candidate: Path, account: Account) -> _Tried:
    """With its own packages, else with those of this service."""
    tried = _try_with(candidate, (), account)
    if tried.interpreter is not None or tried.unreachable:
        return tried
    return _try_with(candidate, _packages(), account)


def _packages() -> tuple[Path, ...]:
    """Where this service's own packages lie."""
    places = []
    for name in _NEEDED:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin:
            path = Path(found.origin)
            places.append(path.parent.parent if path.stem == "__init__" else path.parent)
    return tuple(dict.fromkeys(places))


def _try_with(candidate: Path, packages: tuple[Path, ...], account: Account) -> _Tried:
    try:
        told = subprocess.run(  # noqa: S603
            account.command([str(candidate), "-P", "-s", "-B", "-c", _TRY, *_NEEDED]),
            env={"PYTHONPATH": ":".join(map(str, packages)), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            cwd="/",
            timeout=_TRY_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return _Tried(None, f"no answer in {_TRY_S} s")
    except OSError as exc:
        return _Tried(None, _unreachable(candidate, exc.strerror or str(exc)), unreachable=True)
    if told.returncode == _NO_EXEC and account.switch:
        return _Tried(None, _unreachable(candidate, told.stderr.strip()), unreachable=True)
    if told.returncode != 0:
        return _Tried(None, told.stderr.strip().rpartition("\n")[2][:300] or "it failed")
    return _judge(json.loads(told.stdout), packages)


def _unreachable(candidate: Path, why: str) -> str:
    """Where a link leads is half of the answer."""
    real = candidate.resolve()
    return why.lower() + (f" ({real})" if real != candidate else "")


def _judge(told: dict[str, object], packages: tuple[Path, ...]) -> _Tried:
    if told["version"] != list(sys.version_info[:2]):
        return _Tried(None, f"not Python {_minor()}")
    if told["missing"]:
        where = " readable in " + ", ".join(map(str, packages)) if packages else ""
        return _Tried(None, f"it has no {', '.join(map(str, _listed(told['missing'])))}{where}")
    if told["broken"]:
        return _Tried(None, str(told["broken"]))
    # links keep their own name: an environment is known by where its python lies
    executable, real = Path(str(told["executable"])), Path(str(told["real"]))
    prefixes = [Path(str(each)) for each in _listed(told["prefixes"])]
    return _Tried(Interpreter(executable, _roots(executable, real, prefixes), packages))


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _roots(executable: Path, real: Path, prefixes: list[Path]) -> tuple[Path, ...]:
    """Prefixes hold bin/ and lib/; what lies elsewhere is shown by the folder it is in."""
    roots = list(dict.fromkeys([*prefixes, *(prefix.resolve() for prefix in prefixes)]))
    for path in (executable, real):
        if not any(path.is_relative_to(root) for root in (*roots, Path("/usr"))):
            roots.append(path.parent)
    return tuple(roots)
