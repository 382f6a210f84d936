import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dev.postgres import Postgres
from servicekit.ports import free_ports
from servicekit.secrets import Secret
from servicekit.status import InvalidField
from services.pg_connector import errors
from services.pg_connector.connecting import connect
from services.pg_connector.describing import CONFIG_SCHEMA
from services.pg_connector.places import Place, place_of
from services.pg_connector.securing import Login
from services.pg_connector.settings import Settings

_SETTINGS = Settings(connect_attempts=1)


def placed(**config: Any) -> Place:
    return place_of({"database": "postgres", "user": "postgres", "sslmode": "disable", **config})


async def port_of(place: Place, postgres: Postgres, settings: Settings = _SETTINGS) -> int:
    """Where it connected to."""
    connection = await connect(place, Login(Secret(postgres.password)), settings)
    try:
        return int(await connection.fetchval("SELECT inet_server_port()"))
    finally:
        await connection.close()


@pytest.mark.req("P1")
@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("db", "db:5432/d"),
        ("db1, db2:6432", "db1:5432,db2:6432/d"),
        (["db1:6432", "db2"], "db1:6432,db2:5432/d"),
        ("[2001:db8::1]:6432,2001:db8::2", "2001:db8::1:6432,2001:db8::2:5432/d"),
        ("/run/postgresql", "/run/postgresql:5432/d"),
    ],
)
def test_hosts_are_a_list_or_separated_by_commas(host: Any, found: str) -> None:
    assert placed(host=host, database="d").source == found


@pytest.mark.parametrize("host", ["", [], "db1,,db2", "db:port", "db:0", "db:70000", [""]])
def test_host_that_is_none_is_told_by_field(host: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        placed(host=host)
    assert "host" in str(caught.value) or "port" in str(caught.value)


@pytest.mark.req("P1")
async def test_host_that_is_away_makes_way_for_the_next(postgres: Postgres) -> None:
    (dead,) = free_ports(1)
    place = placed(host=[f"127.0.0.1:{dead}", f"127.0.0.1:{postgres.port}"])
    assert await port_of(place, postgres) == postgres.port


@pytest.mark.req("P1")
async def test_host_that_does_not_answer_has_a_time_of_its_own(postgres: Postgres) -> None:
    async with await asyncio.start_server(_silent, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        place = placed(host=f"127.0.0.1:{port},127.0.0.1:{postgres.port}", connect_timeout_s=2.0)
        assert await port_of(place, postgres) == postgres.port


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.req("P1")
async def test_all_hosts_away_are_all_named(postgres: Postgres) -> None:
    ports = free_ports(2)
    place = placed(host=[f"127.0.0.1:{port}" for port in ports])
    with pytest.raises(errors.SourceUnreachable) as caught:
        await port_of(place, postgres)
    assert all(str(port) in caught.value.message for port in ports)


@pytest.mark.req("P1")
async def test_wrong_password_is_not_hidden_by_another_host(postgres: Postgres) -> None:
    (dead,) = free_ports(1)
    place = placed(host=[f"127.0.0.1:{postgres.port}", f"127.0.0.1:{dead}"])
    with pytest.raises(errors.AuthenticationFailed):
        await connect(place, Login(Secret("not the password")), _SETTINGS)


@pytest.mark.req("P1")
@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("any", True),
        ("primary", True),
        ("read-write", True),
        ("prefer-standby", True),
        ("standby", False),
        ("read-only", False),
    ],
)
async def test_target_with_a_primary_alone(postgres: Postgres, target: str, found: bool) -> None:
    place = placed(host="127.0.0.1", port=postgres.port, target_session_attrs=target)
    if found:
        assert await port_of(place, postgres) == postgres.port
        return
    with pytest.raises(errors.SourceUnreachable, match=f"is not {target}"):
        await port_of(place, postgres)


@pytest.mark.req("D8")
async def test_every_host_is_held_against_the_rules_first(postgres: Postgres) -> None:
    place = placed(host=[f"127.0.0.1:{postgres.port}", "169.254.169.254:80"])
    with pytest.raises(errors.AddressNotAllowed, match=r"169\.254"):
        await port_of(place, postgres)
    allowed = replace(_SETTINGS, allowed_hosts=("127.0.0.0/8",))
    with pytest.raises(errors.AddressNotAllowed, match=r"10\.0\.0\.1"):
        await port_of(placed(host="127.0.0.1,10.0.0.1", port=postgres.port), postgres, allowed)


def test_documented_fields_and_examples_are_those_of_the_schema() -> None:
    whole = (Path(__file__).parents[2] / "docs" / "postgresql.md").read_text()
    part = whole.partition("## Connecting")[2].partition("\n## ")[0]
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", part, re.DOTALL)]
    assert len(examples) == 3
    for example in examples:
        jsonschema.Draft202012Validator(CONFIG_SCHEMA).validate(example)
        place_of(example)
    fields = part.partition("Into `secrets`")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", fields, re.M)
             for name in re.findall(r"`(\w+)`", row)}  # fmt: skip
    assert named == set(CONFIG_SCHEMA["properties"])
