"""Where installed packages lie that carry programs rather than Python code."""

from importlib.util import find_spec
from pathlib import Path


def folder_of(package: str) -> Path:
    """The folder of an installed package, without importing it (an import may write files, or
    warn)."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed; the extra `demo` brings it")
    return Path(spec.origin).parent
