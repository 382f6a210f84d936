"""The libraries of programs: loaded before the first one comes, and told how much there is."""

import functools
import importlib
import importlib.metadata
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LOADED = ("numpy", "pandas", "pyarrow.ipc", "matplotlib.pyplot", "duckdb")
_TOLD = ("numpy", "pandas", "pyarrow", "matplotlib", "duckdb")
FONTS = "fonts"


def prepare(settings: Mapping[str, Any]) -> None:
    _fonts(Path(settings["library"]) / FONTS, Path(settings["scratch"]) / ".matplotlib")
    load()
    _bound_arrow(settings["threads"])
    _bound_duckdb(settings["memory_bytes"] // 2, settings["threads"])


def load() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    versions()


@functools.cache
def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _TOLD}


def _fonts(kept: Path, wanted: Path) -> None:
    """Looking through the machine's fonts takes seconds: done once, outside of any session."""
    wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    if kept.is_dir():
        for file in kept.iterdir():
            shutil.copyfile(file, wanted / file.name)


def _bound_arrow(threads: int) -> None:
    import pyarrow

    pyarrow.set_cpu_count(threads)
    pyarrow.set_io_thread_count(threads)


def _bound_duckdb(memory_bytes: int, threads: int) -> None:
    """It would take 80% of the machine's memory, and a thread for each core."""
    import duckdb

    bounds: dict[str, Any] = {"memory_limit": f"{memory_bytes // 2**20}MiB", "threads": threads}
    connect = duckdb.connect

    @functools.wraps(connect)
    def bounded(database: Any = ":memory:", read_only: bool = False, config: Any = None) -> Any:
        return connect(database, read_only=read_only, config={**bounds, **(config or {})})

    duckdb.connect = bounded
    for name, value in bounds.items():
        duckdb.execute(f"SET {name} = '{value}'")
