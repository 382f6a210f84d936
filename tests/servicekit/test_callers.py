"""Which identity a token stands for."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from servicekit.callers import Callers
from servicekit.settings import SettingsError
from servicekit.status import Unauthenticated


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class File:
    """A callers file that is written anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._times = 0

    def write(self, table: Any) -> None:
        self._times += 1
        self.path.write_text(json.dumps(table))
        os.utime(self.path, ns=(self._times, self._times))


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "callers.json")


def who(callers: Callers, token: str) -> str:
    return callers.identify(f"Bearer {token}", dict)


@pytest.mark.req("S3")
def test_token_is_replaced_without_a_call_refused(file: File) -> None:
    file.write({"gateway": digest("old"), "sandbox": digest("other")})
    callers = Callers(file.path)
    assert who(callers, "old") == "gateway"
    with pytest.raises(Unauthenticated):
        who(callers, "new")
    file.write({"gateway": [digest("old"), digest("new")], "sandbox": digest("other")})
    assert [who(callers, token) for token in ("old", "new", "other")] == [
        "gateway",
        "gateway",
        "sandbox",
    ]
    file.write({"gateway": digest("new"), "sandbox": digest("other")})
    assert who(callers, "new") == "gateway"
    with pytest.raises(Unauthenticated):
        who(callers, "old")


@pytest.mark.parametrize(
    "table",
    [
        [],
        {"gateway": ""},
        {"gateway": []},
        {"gateway": [digest("a"), "b"]},
        {"gateway": [[digest("a")]]},
        {"gateway": {"sha256": digest("a")}},
        {"gateway": digest("a").upper()},
        {"": digest("a")},
        {"local": digest("a")},
    ],
)
def test_file_of_another_form_is_refused_and_a_good_one_stays_in_force(
    file: File, table: Any
) -> None:
    file.write(table)
    with pytest.raises(SettingsError, match="sha256"):
        Callers(file.path)
    file.write({"gateway": digest("good")})
    callers = Callers(file.path)
    file.write(table)
    assert who(callers, "good") == "gateway"
