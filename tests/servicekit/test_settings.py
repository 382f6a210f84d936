import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from servicekit.secrets import Secret
from servicekit.settings import SettingsError, load


class Tier(enum.Enum):
    VM = "pod-vm"
    NONE = "none"


@dataclass(frozen=True)
class Inner:
    bind: str = "127.0.0.1:0"
    workers: int = 2


@dataclass(frozen=True)
class Settings:
    address: str
    token: Secret | None = None
    port: int = 1
    ratio: float = 0.5
    on: bool = False
    home: Path = Path("/x")
    tier: Tier = Tier.NONE
    engine: Literal["rules", "openai"] = "rules"
    peers: tuple[str, ...] = ()
    server: Inner = field(default_factory=lambda: Inner(bind="127.0.0.1:50054"))

    def __post_init__(self) -> None:
        if self.port > 65535:
            raise ValueError("port is beyond 65535")


def loaded(**environ: str) -> Settings:
    return load(Settings, {"P_ADDRESS": "a", **environ}, prefix="P_")


def problems(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        load(Settings, environ, prefix="P_")
    return str(refused.value)


def test_load_nothing_set_keeps_defaults():
    assert loaded() == Settings("a")


def test_load_every_kind_of_field():
    got = loaded(
        P_TOKEN="s3cret", P_PORT="7", P_RATIO="0.25", P_ON="yes", P_HOME="/srv", P_TIER="pod-vm",
        P_ENGINE="openai", P_PEERS="a:1, b:2,", P_SERVER_WORKERS="9", P_SERVER_BIND="127.0.0.1:9",
    )  # fmt: skip
    assert got == Settings(
        "a", Secret("s3cret"), 7, 0.25, True, Path("/srv"), Tier.VM, "openai", ("a:1", "b:2"),
        Inner("127.0.0.1:9", 9),
    )  # fmt: skip


def test_load_nested_unset_keeps_the_default_of_the_outer():
    assert loaded().server.bind == "127.0.0.1:50054"


@pytest.mark.parametrize("name", ["TOKEN", "ADDRESS"])
def test_load_value_from_a_file_without_its_last_newline(tmp_path: Path, name: str):
    path = tmp_path / "value"
    path.write_text("from file\n")
    got = load(Settings, {"P_ADDRESS": "", f"P_{name}_FILE": str(path)} | (
        {"P_ADDRESS": "a"} if name == "TOKEN" else {}), prefix="P_")  # fmt: skip
    value = got.token.reveal() if name == "TOKEN" and got.token else got.address
    assert value == "from file"


def test_load_all_problems_told_at_once_by_name_and_without_values(tmp_path: Path):
    told = problems(
        {
            "P_PORT": "eighty-value", "P_RATIO": "half-value", "P_ON": "maybe-value",
            "P_TIER": "vm-value", "P_ENGINE": "gpt-value", "P_SERVER_WORKERS": "two-value",
            "P_TOKEN_FILE": str(tmp_path / "missing"),
        }
    )  # fmt: skip
    for name in (
        "P_ADDRESS is not set", "P_PORT expects a whole number", "P_RATIO expects a number",
        "P_ON expects true or false", "P_TIER expects one of pod-vm, none",
        "P_ENGINE expects one of rules, openai", "P_SERVER_WORKERS expects a whole number",
        "P_TOKEN_FILE: cannot read",
    ):  # fmt: skip
        assert name in told
    assert "-value" not in told


def test_load_value_and_file_both_set_is_refused(tmp_path: Path):
    assert "both set" in problems({"P_ADDRESS": "a", "P_TOKEN": "x", "P_TOKEN_FILE": "y"})


def test_load_check_of_the_dataclass_is_told():
    assert "port is beyond 65535" in problems({"P_ADDRESS": "a", "P_PORT": "70000"})


def test_load_unreadable_required_file_is_told_once(tmp_path: Path):
    told = problems({"P_ADDRESS_FILE": str(tmp_path / "missing")})
    assert told.count("P_ADDRESS") == 1
