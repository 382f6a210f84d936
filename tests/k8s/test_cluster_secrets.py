"""The Secrets of a first cluster: new each time, and fit for each other."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dev.names import NAMES
from servicekit.tls import checked


def printed(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "dev.cluster_secrets", *arguments]
    return list(yaml.safe_load_all(subprocess.check_output(command, text=True)))


@pytest.mark.req("K1", "S3")
def test_certificates_are_of_one_authority_and_name_their_service() -> None:
    made = [each for each in printed("--only-certificates") if each["kind"] == "Secret"]
    assert len({each["stringData"]["ca.crt"] for each in made}) == 1
    named = {each["metadata"]["name"]: each["stringData"] for each in made}
    for identity in (*NAMES, "sandbox_pod"):
        values = named[f"{identity.replace('_', '-')}-tls"]
        cert, key, ca = (values[each].encode() for each in ("tls.crt", "tls.key", "ca.crt"))
        assert checked(cert, key, ca, "isobath", datetime.now(UTC)).identity == identity


@pytest.mark.req("K1", "S3")
def test_tokens_match_the_hashes_that_callers_are_known_by() -> None:
    made = printed("--plaintext")
    tables = [each for each in made if each["kind"] == "ConfigMap"]
    assert {each["metadata"]["namespace"] for each in tables} == {"isobath", "isobath-sandboxes"}
    hashes = json.loads(tables[0]["data"]["callers.json"])
    tokens = {
        each["metadata"]["name"].removesuffix("-token"): each["stringData"]["token"]
        for each in made
        if each["metadata"]["name"].endswith("-token")
    }
    assert hashes == {
        name.replace("-", "_"): hashlib.sha256(token.encode()).hexdigest()
        for name, token in tokens.items()
    }
    assert set(hashes) == set(NAMES)


def test_keys_are_new_each_time_and_follow_the_schema() -> None:
    first, second = printed("--no-certificates"), printed("--no-certificates")
    assert [each["metadata"]["name"] for each in first] == [
        "gateway",
        "credentials",
        "postgres",
        "azurite",
        "gateway-files",
    ]
    for one, other in zip(first, second, strict=True):
        kubernetes_validate.validate(one, "1.37", strict=True)
        assert all(one["stringData"][key] != other["stringData"][key] for key in one["stringData"])
    password = first[2]["stringData"]["password"]
    assert f":{password}@postgres:5432/" in first[0]["stringData"]["database-url"]


def test_database_elsewhere_is_the_one_that_is_named(tmp_path: Any) -> None:
    url = tmp_path / "url"
    url.write_text("postgresql+asyncpg://me:word@db.example.com/isobath\n")
    files = ("--database-url-file", str(url), "--credentials-database-url-file", str(url))
    made = printed("--no-certificates", *files)
    assert [each["metadata"]["name"] for each in made] == ["gateway", "credentials"]
    assert made[1]["stringData"]["database-url"] == url.read_text().strip()
    assert made[0]["stringData"]["database-url"] == url.read_text().strip()
