"""What a vault is, and what a change does to the secret in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from servicekit.secrets import Secret
from servicekit.status import InvalidField
from services.credentials.errors import VersionConflict


@dataclass(frozen=True)
class Description:
    source_id: str
    owner: str
    version: int
    fields_set: tuple[str, ...]
    updated_at: datetime


@dataclass(frozen=True)
class Record:
    source_id: str
    owner: str
    version: int
    fields: Mapping[str, Secret]
    updated_at: datetime
    # grants.binding of the type and settings that the secret may be used with
    binding: str

    @property
    def description(self) -> Description:
        names = tuple(sorted(self.fields))
        return Description(self.source_id, self.owner, self.version, names, self.updated_at)


@dataclass(frozen=True)
class Change:
    """`expected_version`: None = whatever is there, 0 = nothing may be there."""

    source_id: str
    owner: str
    fields: Mapping[str, Secret] = field(default_factory=dict)
    clear: frozenset[str] = frozenset()
    expected_version: int | None = None
    binding: str = ""


class Vault(Protocol):
    """Each raises VaultUnavailable, VaultRefused or StoreDamaged beside what it names."""

    async def put(self, change: Change, now: datetime) -> Description:
        """Raises VersionConflict, and InvalidField when the secret is another owner's."""

    async def get(self, source_id: str) -> Record:
        """Raises SecretNotFound."""

    async def describe(self, source_id: str) -> Description:
        """Raises SecretNotFound."""

    async def delete(self, source_id: str) -> bool:
        """Every version of it; says whether there was one."""


def changed(held: Record | None, change: Change, now: datetime) -> Record:
    """The record after the change: `held` itself when the change was made already.

    Raises VersionConflict, InvalidField.
    """
    if held is not None and held.owner != change.owner:
        raise InvalidField("owner", "the secret of this source belongs to another owner")
    after = _merged(held, change)
    stored = held.version if held else 0
    if change.expected_version not in (None, stored):
        if held is not None and _is_retry(held, change, after):
            return held
        raise VersionConflict(change.source_id, change.expected_version, stored)
    _require_anew(held, change)
    return Record(change.source_id, change.owner, stored + 1, after, now, change.binding)


def _merged(held: Record | None, change: Change) -> dict[str, Secret]:
    before = held.fields if held else {}
    kept = {name: value for name, value in before.items() if name not in change.clear}
    return {**kept, **change.fields}


def _is_retry(held: Record, change: Change, after: Mapping[str, Secret]) -> bool:
    """The first try went through and only its answer was lost."""
    same = dict(held.fields) == after and held.binding == change.binding
    return same and held.version - 1 == change.expected_version


def _require_anew(held: Record | None, change: Change) -> None:
    """A secret that stays may not follow its source to where it connects from now on: the gateway
    says where that is, and it never had the secret."""
    if held is None or held.binding == change.binding:
        return
    for name in sorted(held.fields.keys() - change.clear - change.fields.keys()):
        raise InvalidField(
            f"fields.{name}",
            f"changing where a source connects needs its secret again: {name} is missing",
            remedy=f"Give {name} together with the new settings, or clear it.",
        )
