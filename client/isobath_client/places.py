"""Where files of any name go on this machine."""

from collections.abc import Collection
from pathlib import Path, PurePosixPath

NAMELESS = "file"


def placed(into: Path, name: str) -> Path:
    """`into`, or under its own last name in it where that is a folder."""
    return into / (PurePosixPath(name).name or NAMELESS) if into.is_dir() else into


def inside(folder: Path, name: str, taken: Collection[Path] = ()) -> Path:
    """With the folders of its name: never outside `folder`, nor over one that is `taken`."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..")]
    target = wanted = folder.joinpath(*parts or [NAMELESS])
    number = 1
    while target in taken:
        number += 1
        target = wanted.with_stem(f"{wanted.stem}-{number}")
    return target
