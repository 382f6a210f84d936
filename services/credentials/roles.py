"""Which sources may name a role of Vault's database engine.

A source says itself where it connects, so whoever may make one could have the credentials of any
role sent to a host of his own. The service's own settings say which owner may have which role at
which host.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grants.claims import Json
from servicekit.status import InvalidField

FIELD = "vault_role"
_HOW = "OWNER:MOUNT/ROLE@HOST, with * for every owner"


@dataclass(frozen=True)
class Allowed:
    """`owner` is "*" for everybody. `host` as a source says it, with or without a port."""

    owner: str
    role: str
    host: str

    def fits(self, owner: str, role: str, host: str) -> bool:
        return self.owner in ("*", owner) and self.role == role and self.host in _ways(host)


def allowed(text: str) -> Allowed:
    """ "*:database/analyst@db.internal". Raises ValueError."""
    before, _, host = text.rpartition("@")
    owner, _, role = before.rpartition(":")
    mount, _, name = role.rpartition("/")
    if not (owner and mount and name and host):
        raise ValueError(f"{text} is not {_HOW}")
    return Allowed(owner, role, host)


def role_of(config: Mapping[str, Json]) -> str | None:
    """None for a source that keeps its secret here. Raises InvalidField."""
    role = config.get(FIELD)
    if role is None:
        return None
    if not isinstance(role, str) or not all(role.rpartition("/")):
        raise InvalidField(f"config.{FIELD}", f"{FIELD} is mount/role of Vault's database engine")
    return role


def require_allowed(
    entries: Sequence[Allowed], owner: str, config: Mapping[str, Json]
) -> str | None:
    """The role that a source names, if it does. Raises InvalidField."""
    role = role_of(config)
    if role is None:
        return None
    hosts = _hosts(config.get("host"))
    for host in hosts or [""]:
        if not any(entry.fits(owner, role, host) for entry in entries):
            raise InvalidField(
                f"config.{FIELD}",
                f"{role} is not allowed for this owner at {host or 'no host'}",
                remedy="Have the operator add it to VAULT_ROLES of the credential service.",
            )
    return role


def _hosts(host: Json) -> list[str]:
    given = host if isinstance(host, list) else str(host or "").split(",")
    return [str(each).strip() for each in given if str(each).strip()]


def _ways(host: str) -> tuple[str, ...]:
    """An entry without a port allows each."""
    name, colon, port = host.rpartition(":")
    return (host, name) if colon and port.isdecimal() and ":" not in name else (host,)
