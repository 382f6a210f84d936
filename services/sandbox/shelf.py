"""Workspaces without a session: until when each is kept, and whether another replica has it."""

from dataclasses import dataclass
from pathlib import Path

from services.sandbox.workspace import remove_tree


@dataclass
class Kept:
    """`moved_without`: it came from another replica since its last session, and so many things did
    not. `export_id`: another replica has, or may have, all of it: nobody opens it here."""

    ends: float
    moved_without: int | None = None
    export_id: str = ""


class Shelf:
    """One thread's place among them, for whoever holds its lock."""

    def __init__(
        self, key: str, folder: Path, all_kept: dict[str, Kept], ends: float, *, in_use: bool
    ) -> None:
        self.folder = folder
        self._key, self._all, self._ends, self._in_use = key, all_kept, ends, in_use

    @property
    def is_home(self) -> bool:
        """It is here, and nobody else has it."""
        return self._in_use or (self._key in self._all and not self.was_exported)

    @property
    def was_exported(self) -> bool:
        kept = self._all.get(self._key)
        return kept is not None and bool(kept.export_id)

    def exported(self, export_id: str) -> None:
        """All of it was sent."""
        self._all[self._key].export_id = export_id

    def returned(self) -> None:
        """It is nowhere else after all."""
        self._all[self._key].export_id = ""

    def put(self, coming: Path) -> None:
        """In place of what is here, which was exported. Blocking."""
        remove_tree(self.folder)
        coming.rename(self.folder)

    def withdraw(self) -> None:
        """What was put here is another's still. Blocking."""
        self._all.pop(self._key, None)
        remove_tree(self.folder)

    def arrived(self, without: int) -> None:
        """It is this replica's from here on."""
        self._all[self._key] = Kept(self._ends, moved_without=without)
