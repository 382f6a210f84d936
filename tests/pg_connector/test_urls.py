"""A source by its connection URL."""

from typing import Any

import jsonschema
import pytest

from grants.claims import Json
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField
from services.pg_connector.describing import CONFIG_SCHEMA
from services.pg_connector.places import place_of
from tests.pg_connector.conftest import Platform

pytestmark = pytest.mark.req("P1")
_VALID = jsonschema.Draft202012Validator(CONFIG_SCHEMA)


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("postgresql://ann@db/shop", {"host": "db", "user": "ann", "database": "shop"}),
        ("postgres://ann@db:6432/shop", {"host": "db:6432", "user": "ann", "database": "shop"}),
        ("postgresql://ann@db", {"host": "db", "user": "ann", "database": "ann"}),
        (
            "postgresql://ann@db1,db2:5433/shop?target_session_attrs=standby&sslmode=require",
            {"host": "db1,db2:5433", "user": "ann", "database": "shop", "sslmode": "require",
             "target_session_attrs": "standby"},
        ),
        (
            "postgresql://a%40b@[2001:db8::1]:6432/my%20shop?connect_timeout=3",
            {"host": "[2001:db8::1]:6432", "user": "a@b", "database": "my shop",
             "connect_timeout_s": 3},
        ),
        (
            "postgresql:///shop?host=/run/postgresql&user=ann&port=5433",
            {"host": "/run/postgresql", "user": "ann", "database": "shop", "port": 5433},
        ),
        ("postgresql://ann@%2Frun%2Fpostgresql/shop",
         {"host": "/run/postgresql", "user": "ann", "database": "shop"}),
    ],
)  # fmt: skip
def test_url_says_the_same_as_the_fields(url: str, fields: dict[str, Json]) -> None:
    assert place_of({"url": url}) == place_of(fields)
    _VALID.validate({"url": url, "schemas": ["public"]})
    _VALID.validate(fields)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://ann@db/shop", "begins with postgresql"),
        ("postgresql://ann:s3cr3t-of-ann@db/shop", "password"),
        ("postgresql://ann@db/shop?password=s3cr3t-of-ann", "password"),
        ("postgresql://ann@db/shop?sslrootcert=/etc/ca.pem", "sslrootcert"),
        ("postgresql://ann@db/shop?options=-csearch_path", "options is none of"),
        ("postgresql://ann@db/shop?connect_timeout=soon", "whole number"),
        ("postgresql://ann@db/shop?sslmode=maybe", "sslmode"),
        ("postgresql://ann@/shop", "no host"),
        ("postgresql://db/shop", "no user"),
    ],
)
def test_url_that_cannot_be_taken_says_why_and_shows_no_password(url: str, says: str) -> None:
    with pytest.raises(InvalidField, match=says) as caught:
        place_of({"url": url})
    assert "s3cr3t" not in str(caught.value) + caught.value.remedy


@pytest.mark.parametrize(
    "config",
    [
        {"url": "postgresql://ann:s3cr3t-of-ann@db/shop"},
        {"url": "postgresql://ann@db/shop?sslmode=require&password=s3cr3t-of-ann"},
        {"url": "postgresql://ann@db/shop", "host": "elsewhere"},
        {"url": "postgresql://ann@db/shop", "vault_role": "database/analyst"},
        {"host": "db", "database": "shop"},
        {"host": "db", "user": "ann"},
    ],
)
def test_source_is_refused_before_it_is_stored(config: dict[str, Any]) -> None:
    """Settings are no secrets; and a host beside a URL would be looked at instead of its own."""
    assert not _VALID.is_valid(config)
    with pytest.raises(InvalidField):
        place_of(config)


async def test_source_is_read_by_its_url(platform: Platform) -> None:
    whole = platform.config
    url = f"postgresql://{whole['user']}@{whole['host']}:{whole['port']}/{whole['database']}"
    platform.config = {}
    grant = await platform.grant(config={"url": url})
    told = await platform.call("Check", pb.CheckRequest(grant=grant))
    assert all(step.passed for step in told.steps) and len(told.steps) == 3
