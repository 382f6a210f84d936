"""Where a source is, as its public settings say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from grants.claims import Json
from servicekit.status import InvalidField
from services.pg_connector import urls
from services.pg_connector.addresses import hosts_of
from services.pg_connector.faults import Doing
from services.pg_connector.securing import MODES

# libpq's
TARGETS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")


@dataclass(frozen=True)
class Place:
    """A database and who asks it. Grants write whole numbers as floats."""

    host: str
    port: int
    database: str
    user: str
    sslmode: str = "prefer"
    schemas: tuple[str, ...] = ()
    connect_timeout_s: float = 0.0
    statement_timeout_s: float = 0.0
    ca_certificate: str = ""
    # tried in this order after the first
    others: tuple[tuple[str, int], ...] = ()
    target_session_attrs: str = "any"
    # a pooler stands in between that gives each transaction another session
    pgbouncer: bool = False

    @property
    def source(self) -> str:
        """host:port,…/database, for people."""
        hosts = ((self.host, self.port), *self.others)
        return f"{','.join(f'{host}:{port}' for host, port in hosts)}/{self.database}"

    def each(self) -> tuple["Place", ...]:
        """The same at each of its hosts alone."""
        hosts = ((self.host, self.port), *self.others)
        return tuple(replace(self, host=host, port=port, others=()) for host, port in hosts)

    def entered_by(self, user: str) -> "Place":
        """By somebody else, if one is named."""
        return replace(self, user=user) if user else self

    def doing(self, **more: Any) -> Doing:
        return Doing(source=self.source, identity=self.user, **more)


def place_of(config: Mapping[str, Json]) -> Place:
    """Raises InvalidField."""
    config = _with_url(config)
    schemas = config.get("schemas") or []
    sslmode = str(config.get("sslmode") or "prefer")
    if sslmode not in MODES:
        raise InvalidField("config.sslmode", f"sslmode is one of {', '.join(MODES)}")
    target = str(config.get("target_session_attrs") or "any")
    if target not in TARGETS:
        raise InvalidField(
            "config.target_session_attrs", f"target_session_attrs is one of {', '.join(TARGETS)}"
        )
    (host, port), *others = _hosts(config)
    return Place(
        host=host,
        port=port,
        others=tuple(others),
        target_session_attrs=target,
        database=_text(config, "database"),
        # with a role of Vault the user comes with the secret
        user="" if config.get("vault_role") else _text(config, "user"),
        sslmode=sslmode,
        schemas=tuple(str(name) for name in schemas) if isinstance(schemas, list) else (),
        connect_timeout_s=_number(config, "connect_timeout_s", 0),
        statement_timeout_s=_number(config, "statement_timeout_s", 0),
        ca_certificate=str(config.get("ca_certificate") or ""),
        pgbouncer=config.get("pgbouncer") is True,
    )


def _with_url(config: Mapping[str, Json]) -> Mapping[str, Json]:
    """A field beside a URL would leave open which of the two was looked at by whom: hosts are held
    against lists of allowed ones in more than one place."""
    url = config.get("url")
    if url is None:
        return config
    beside = [name for name in (*urls.GIVEN, "vault_role") if name in config]
    if beside or not isinstance(url, str):
        raise InvalidField(urls.FIELD, f"url stands alone, without {', '.join(beside) or 'others'}")
    return {**config, **urls.fields_of(url)}


def _hosts(config: Mapping[str, Json]) -> tuple[tuple[str, int], ...]:
    given = config.get("host")
    hosts = [str(each) for each in given] if isinstance(given, list) else _text(config, "host")
    try:
        if not hosts:
            raise ValueError("the data source has no host")
        return hosts_of(hosts, int(_number(config, "port", 5432)))
    except ValueError as exc:
        raise InvalidField("config.host", str(exc)) from exc


def _text(config: Mapping[str, Json], name: str) -> str:
    value = config.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidField(f"config.{name}", f"the data source has no {name}")
    return value


def _number(config: Mapping[str, Json], name: str, unset: float) -> float:
    value = config.get(name, unset)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InvalidField(f"config.{name}", f"{name} is a number, not below 0")
    return float(value)
