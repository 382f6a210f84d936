"""Which grants are void before their time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from grants.claims import MAX_LIFETIME, Grant
from grants.errors import GrantRevoked

Kind = Literal["grant", "source", "run", "owner"]
KINDS: tuple[Kind, ...] = ("grant", "source", "run", "owner")

# A grant lives at most this long, and a verifier may take it for a little longer still.
KEPT_FOR = MAX_LIFETIME + timedelta(minutes=5)


@dataclass(frozen=True)
class Revocation:
    """Grants of `subject` that were issued at or before `at` are void."""

    kind: Kind
    subject: str
    at: datetime


@dataclass(frozen=True)
class Revocations:
    """A set of revocations, as a value: every change makes another one."""

    _at: Mapping[tuple[Kind, str], datetime] = field(default_factory=lambda: MappingProxyType({}))

    def __iter__(self) -> Iterator[Revocation]:
        return (Revocation(kind, subject, at) for (kind, subject), at in self._at.items())

    def __len__(self) -> int:
        return len(self._at)

    def knows(self, revocation: Revocation) -> bool:
        """Whether it adds nothing: this set holds it, or a later one of the same subject."""
        held = self._at.get((revocation.kind, revocation.subject))
        return held is not None and held >= revocation.at

    def adding(self, revocations: Iterable[Revocation]) -> "Revocations":
        at = dict(self._at)
        for new in revocations:
            key = (new.kind, new.subject)
            at[key] = max(at.get(key, new.at), new.at)
        return Revocations(MappingProxyType(at))

    def prune(self, now: datetime) -> "Revocations":
        """Without those that no living grant can fall under any more."""
        kept = {key: at for key, at in self._at.items() if at + KEPT_FOR > now}
        return Revocations(MappingProxyType(kept)) if len(kept) < len(self._at) else self

    def revoker(self, grant: Grant) -> Revocation | None:
        """The revocation that the grant falls under."""
        for kind, subject in subjects_of(grant):
            at = self._at.get((kind, subject))
            if at is not None and grant.issued_at <= at:
                return Revocation(kind, subject, at)
        return None

    def is_revoked(self, grant: Grant) -> bool:
        return self.revoker(grant) is not None

    def check(self, grant: Grant) -> None:
        """Raises GrantRevoked."""
        if by := self.revoker(grant):
            raise GrantRevoked(by.kind, by.at)


def subjects_of(grant: Grant) -> tuple[tuple[Kind, str], ...]:
    """Whose revocation voids the grant."""
    return (
        ("grant", grant.grant_id),
        ("source", grant.source_id),
        ("run", grant.run_id),
        ("owner", grant.owner),
        *(("grant", parent) for parent in grant.parents),
    )
