"""What schemas are drawn from: `themes.toml`."""

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

Names = tuple[str, ...]
_FILE = Path(__file__).with_name("themes.toml")


class Part(StrEnum):
    """`train` is trained on; `kin`: other schemas of its themes; `strange`: of themes of its own,
    whose words no conversation of the others has."""

    TRAIN = "train"
    KIN = "kin"
    STRANGE = "strange"


@dataclass(frozen=True)
class Numbers:
    """Of a column: its names, a typical value, and how many decimals it has."""

    names: Names
    typical: float
    decimals: int


@dataclass(frozen=True)
class Groups:
    """Of a column: its names, and the values it takes."""

    names: Names
    values: Names


@dataclass(frozen=True)
class Parent:
    """A table that rows point to: its names, those of the column that names its rows, and these."""

    tables: Names
    labels: Names
    names: Names
    groups: tuple[Groups, ...]


@dataclass(frozen=True)
class Theme:
    """What happens somewhere, in words."""

    name: str
    strange: bool
    tables: Names
    dates: Names
    numbers: tuple[Numbers, ...]
    groups: tuple[Groups, ...]
    flags: Names
    parents: tuple[Parent, ...]


@cache
def themes(part: Part) -> tuple[Theme, ...]:
    """Those of a part, in the file's order."""
    every = tomllib.loads(_FILE.read_text())
    found = (_theme(name, told) for name, told in every.items())
    return tuple(each for each in found if each.strange == (part is Part.STRANGE))


def _theme(name: str, told: dict[str, Any]) -> Theme:
    return Theme(
        name=name,
        strange=told.get("strange", False),
        tables=_names(told["rows"]),
        dates=_names(told["dates"]),
        numbers=tuple(Numbers(_names(n), *rest) for n, rest in told["numbers"].items()),
        groups=_groups(told["groups"]),
        flags=_names(told["flags"]),
        parents=tuple(map(_parent, told["parents"])),
    )


def _parent(told: dict[str, Any]) -> Parent:
    return Parent(
        _names(told["rows"]), _names(told["label"]), tuple(told["names"]), _groups(told["groups"])
    )


def _groups(told: dict[str, list[str]]) -> tuple[Groups, ...]:
    return tuple(Groups(_names(name), tuple(values)) for name, values in told.items())


def _names(told: str) -> Names:
    return tuple(told.split("/"))
