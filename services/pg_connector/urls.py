"""Connection URLs, as libpq's manual has them (34.1.1.2), as the fields of a source."""

from urllib.parse import parse_qsl, unquote

from grants.claims import Json
from servicekit.status import InvalidField

FIELD = "config.url"
# those that a URL gives, so that none may stand beside one
GIVEN = ("host", "port", "database", "user", "sslmode", "target_session_attrs", "connect_timeout_s")
_SCHEMES = ("postgresql", "postgres")
_PARAMETERS = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "user",
    "sslmode": "sslmode",
    "target_session_attrs": "target_session_attrs",
    "connect_timeout": "connect_timeout_s",
}
_ELSEWHERE = {
    "password": "Put the password among the secrets of the data source.",
    "sslrootcert": "Give the CA itself as ca_certificate.",
    "sslcert": "Give the certificate itself as client_certificate among the secrets.",
    "sslkey": "Give the key itself as client_key among the secrets.",
}


def fields_of(url: str) -> dict[str, Json]:
    """ "postgresql://ann@db1,db2:5433/shop?sslmode=require" → host "db1,db2:5433", user "ann", …

    Raises InvalidField, which never shows the URL: there may be a password in it.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _SCHEMES:
        raise InvalidField(FIELD, "a URL begins with postgresql://")
    rest, _, query = rest.partition("?")
    authority, _, database = rest.partition("/")
    user, _, hosts = authority.rpartition("@")
    if ":" in user:
        raise _elsewhere("password")
    given = {"user": unquote(user), "host": unquote(hosts), "database": unquote(database)}
    fields: dict[str, Json] = {name: value for name, value in given.items() if value}
    for name, value in parse_qsl(query, keep_blank_values=True):
        fields[_field(name)] = value
    fields.setdefault("database", fields.get("user"))
    return {name: _counted(name, value) for name, value in fields.items() if value is not None}


def _field(name: str) -> str:
    if name in _ELSEWHERE:
        raise _elsewhere(name)
    if name not in _PARAMETERS:
        known = ", ".join(_PARAMETERS)
        raise InvalidField(FIELD, f"the URL's parameter {name} is none of {known}")
    return _PARAMETERS[name]


def _elsewhere(name: str) -> InvalidField:
    return InvalidField(FIELD, f"{name} does not belong into the URL", remedy=_ELSEWHERE[name])


def _counted(name: str, value: Json) -> Json:
    if name not in ("port", "connect_timeout_s"):
        return value
    if not str(value).isdecimal():
        raise InvalidField(FIELD, f"{name} is a whole number")
    return int(str(value))
