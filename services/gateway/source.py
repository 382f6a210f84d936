"""A data source as a value: made, changed, and as the table keeps it."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.gateway.callers import Caller
from services.gateway.guards import NONE, Guards, guards_of, words_of
from services.gateway.guide import Guide, guide_of
from services.gateway.store.tables import SourceRow, now_ms


@dataclass(frozen=True)
class Source:
    """A data source as its owner sees it. `secrets_set` are names of fields, never values."""

    id: str
    owner: str
    name: str
    type: str
    description: str
    config: Mapping[str, Any]
    secrets_set: tuple[str, ...]
    version: int
    created_ms: int
    updated_ms: int
    # whose members may see and ask it
    teams: tuple[str, ...] = ()
    guide: Guide = field(default_factory=Guide)
    # what a run may do with it only after an approval
    approval: Guards = NONE


@dataclass(frozen=True)
class Draft:
    """A source to be made."""

    name: str
    type: str
    config: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    description: str = ""
    teams: tuple[str, ...] = ()
    guide: Guide = field(default_factory=Guide)
    approval: Guards = NONE


@dataclass(frozen=True)
class Change:
    """What to change; None and empty leave things as they are."""

    name: str | None = None
    description: str | None = None
    config: Mapping[str, Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    clear_secrets: tuple[str, ...] = ()
    teams: tuple[str, ...] | None = None
    guide: Guide | None = None
    approval: Guards | None = None

    @property
    def is_declarable(self) -> bool:
        """Whether it touches what the operator's file says of a declared source."""
        given = (self.name, self.description, self.config)
        return bool(self.secrets or self.clear_secrets) or any(each is not None for each in given)


def new(caller: Caller, draft: Draft) -> Source:
    """A draft as a source."""
    return Source(
        id="ds-" + secrets.token_hex(8),
        owner=caller.owner,
        name=draft.name,
        type=draft.type,
        description=draft.description,
        config=draft.config,
        secrets_set=tuple(sorted(draft.secrets)),
        version=1,
        created_ms=now_ms(),
        updated_ms=now_ms(),
        teams=tuple(sorted({*draft.teams})),
        guide=draft.guide,
        approval=draft.approval,
    )


def changed(source: Source, change: Change) -> Source:
    """What the source becomes; new settings or secrets make a new version."""
    kept = (set(source.secrets_set) | set(change.secrets)) - set(change.clear_secrets)
    renewed = change.config is not None or change.secrets or change.clear_secrets
    return replace(
        source,
        name=change.name if change.name is not None else source.name,
        description=change.description if change.description is not None else source.description,
        config=change.config if change.config is not None else source.config,
        secrets_set=tuple(sorted(kept)),
        version=source.version + 1 if renewed else source.version,
        updated_ms=now_ms(),
        teams=source.teams if change.teams is None else tuple(sorted({*change.teams})),
        guide=source.guide if change.guide is None else change.guide,
        approval=source.approval if change.approval is None else change.approval,
    )


def row_of(source: Source) -> SourceRow:
    """As the table keeps it."""
    return SourceRow(
        id=source.id,
        owner=source.owner,
        name=source.name,
        type=source.type,
        description=source.description,
        config_json=json.dumps(dict(source.config)),
        secrets_set=json.dumps(source.secrets_set),
        guide_json=json.dumps(source.guide.as_dict()),
        approval=" ".join(words_of(source.approval)),
        version=source.version,
        created_ms=source.created_ms,
        updated_ms=source.updated_ms,
    )


def source_of(row: SourceRow, teams: tuple[str, ...]) -> Source:
    """As the table keeps it, with the teams that it is shared with."""
    return Source(
        id=row.id,
        owner=row.owner,
        name=row.name,
        type=row.type,
        description=row.description,
        config=json.loads(row.config_json),
        secrets_set=tuple(json.loads(row.secrets_set)),
        version=row.version,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        teams=teams,
        guide=guide_of(json.loads(row.guide_json)),
        approval=guards_of(row.approval.split()),
    )
