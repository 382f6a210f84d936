"""compose.yaml as Compose reads it: variables filled in, the files of one project laid over another."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*))?\})")


def read(name: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One file, with its variables from `environ`, or as they are by default."""
    filled: dict[str, Any] = _filled(yaml.safe_load((ROOT / name).read_text()), environ or {})
    return filled


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    def fill(found: "re.Match[str]") -> str:
        if found["name"] is None:
            return "$"
        return environ.get(found["name"]) or found["default"] or ""

    if isinstance(value, dict):
        return {key: _filled(each, environ) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environ) for each in value]
    return _VARIABLE.sub(fill, value) if isinstance(value, str) else value


def project(*names: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Several files: mappings are merged, lists appended, other values replaced."""
    merged: dict[str, Any] = {}
    for name in names or ("compose.yaml",):
        merged = _laid(merged, read(name, environ))
    return merged


def _laid(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        both = {key: _laid(below[key], above[key]) for key in below.keys() & above.keys()}
        return {**below, **above, **both}
    if isinstance(below, list) and isinstance(above, list):
        return [*below, *above]
    return above


def variables() -> set[str]:
    """Those that a person may set, of all files."""
    texts = [(ROOT / name).read_text() for name in ("compose.yaml", "compose.vault.yaml")]
    return {found["name"] for text in texts for found in _VARIABLE.finditer(text) if found["name"]}
