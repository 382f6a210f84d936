from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from servicekit.status import InvalidField
from services.credentials.wishes import Wish, secret_looking

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WISH = Wish(
    owner="owner-1",
    caller="key-1",
    source_id="ds-1",
    source_type="postgresql",
    source_version=1,
    config={"host": "db"},
    operations=frozenset({"read"}),
    scopes=("public.*",),
    max_rows=0,
    max_bytes=0,
    max_seconds=0,
    run_id="",
    thread_id="",
    lifetime=None,
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("owner", ""),
        ("owner", "o" * 257),
        ("source_id", ""),
        ("source_id", "../ds"),
        ("source_id", "a/b"),
        ("source_id", "-x"),
        ("source_type", ""),
        ("operations", frozenset()),
        ("operations", frozenset({"read", "drop"})),
        ("scopes", ("",)),
        ("scopes", ("sales/../x",)),
        ("scopes", ("x",) * 101),
        ("max_rows", -1),
        ("max_seconds", -0.5),
        ("lifetime", timedelta(0)),
        ("lifetime", timedelta(hours=24, microseconds=1)),
        ("config", {"host": "x" * 20_000}),
    ],
)
@pytest.mark.req("D5")
def test_wish_that_cannot_be_granted_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        replace(WISH, **{field: value}).check()
    assert refused.value.field == field


@pytest.mark.parametrize(
    "config",
    [
        {"password": "x"},
        {"dbPassword": "x"},
        {"account_key": "x"},
        {"accountKey": "x"},
        {"key": "x"},
        {"sas_token": "x"},
        {"sas": "x"},
        {"api-key": "x"},
        {"connection_string": "x"},
        {"client_secret": "x"},
        {"tls": {"private_key": "x"}},
        {"secrets": {"any": "x"}},
        {"passwords": ["x"]},
        {"host": "postgres://user:pass@db/shop"},
        {"account_url": "https://a.blob.core.windows.net/?sv=1&sig=abc"},
        {"account_url": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc=="},
        {"options": "host=db password=x"},
        {"ca": "-----BEGIN PRIVATE KEY-----\nx"},
    ],
)
@pytest.mark.req("D2")
def test_config_that_holds_a_secret_is_refused_without_showing_it(config: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        replace(WISH, config=config).check()
    assert refused.value.field.startswith("config.")
    assert "pass@" not in str(refused.value)
    assert "abc" not in str(refused.value)


def test_ordinary_config_holds_nothing_that_looks_like_a_secret() -> None:
    config: Any = {
        "host": "/run/postgresql",
        "port": 5432,
        "user": "analyst",
        "sslmode": "verify-full",
        "ca": "-----BEGIN CERTIFICATE-----\nx",
        "schemas": ["public", "keys"],
        "account_url": "https://acct.blob.core.windows.net",
        "container": "passwords",
        "prefix": "monkey/",
        "primary": {"monkey": "x", "keyspace": "y"},
        "use_token": True,
        "password": "",
    }
    assert list(secret_looking(config)) == []


def test_grant_takes_over_what_was_wished() -> None:
    grant = replace(WISH, lifetime=timedelta(seconds=90)).grant("g-1", NOW)
    assert (grant.issued_at, grant.expires_at) == (NOW, NOW + timedelta(seconds=90))
    assert WISH.grant("g-2", NOW).expires_at == NOW + timedelta(minutes=10)
    assert (grant.owner, grant.config, grant.scopes) == ("owner-1", {"host": "db"}, ("public.*",))
