"""The libraries of programs: loaded before the first one comes, and told how much there is."""

import functools
import importlib
import importlib.metadata
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_LOADED = ("numpy", "pandas", "pyarrow.ipc", "matplotlib.pyplot", "duckdb")
_TOLD = ("numpy", "pandas", "pyarrow", "matplotlib", "duckdb")
# of the image; imported by the programs that want them
_TOO = ("polars", "scipy", "scikit-learn", "statsmodels", "seaborn")
# after the first, for what that lacks: whichever of them the machine has
_CJK = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "PingFang SC", "Microsoft YaHei"),
)
FONTS = "fonts"


def prepare(settings: Mapping[str, Any]) -> None:
    _fonts(Path(settings["library"]) / FONTS, Path(settings["scratch"]) / ".matplotlib")
    load()
    _bound_arrow(settings["threads"])
    _bound_duckdb(settings["memory_bytes"] // 2, settings["threads"])


def load() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    _speak_cjk()
    versions()


def _speak_cjk() -> None:
    """Labels in Chinese, Japanese and Korean, where the machine has letters for them."""
    import matplotlib
    from matplotlib import font_manager

    known = set(font_manager.get_font_names())
    wanted = [name for name in _CJK if name in known]
    # of each entry the best font is taken, and letters that it lacks are taken from the next
    matplotlib.rcParams["font.family"] = ["sans-serif", *wanted]


@functools.cache
def versions() -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in _TOLD}
    for name in _TOO:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


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
