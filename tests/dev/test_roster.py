import socket
import sys
from pathlib import Path

import pytest

from dev import certs
from dev.home import Home
from dev.identities import issue
from dev.names import NAMES
from dev.roster import Ports, PortsTaken, operator, ports, services
from dev.settings import Settings
from dev.supervisor import Service, levels
from servicekit.secrets import Secret
from servicekit.settings import SettingsError, load
from servicekit.tls import Tls
from training.serving.operator import Operator


@pytest.fixture
def ports_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs on this machine."""
    monkeypatch.setattr("dev.roster.taken", lambda ports: [])


def roster(tmp_path: Path, settings: Settings, **given: str) -> dict[str, Service]:
    home = Home(tmp_path)
    listed = services(settings, home, ports(settings), issue(NAMES, home.run), given)
    return {each.name: each for each in listed}


@pytest.mark.usefixtures("ports_are_free")
def test_ports_by_default_are_the_well_known_ones() -> None:
    places = ports(Settings())
    assert places.url == "http://127.0.0.1:8200"
    assert list(places.grpc.values()) == [*range(50050, 50057)]


@pytest.mark.parametrize("given", [Settings(http_port=18200), Settings(grpc_port=18250)])
def test_ports_where_one_is_given_are_free_ones(given: Settings) -> None:
    places = ports(given)
    every = [places.http, *places.grpc.values()]
    assert len(set(every)) == 8
    assert places.http == (given.http_port or places.http)
    assert places.grpc["gateway"] == (given.grpc_port or places.grpc["gateway"])
    assert not {8200, *range(50050, 50057)} & set(every)


def test_port_that_is_taken_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortsTaken, match=rf"{port}.*ISOBATH_HTTP_PORT"):
            ports(Settings(http_port=port))


@pytest.mark.usefixtures("ports_are_free")
def test_roster_starts_gateway_last_and_credentials_first(tmp_path: Path) -> None:
    order = levels(list(roster(tmp_path, Settings()).values()))
    assert "credentials" in [each.name for each in order[0]]
    assert [each.name for each in order[-1]] == ["gateway"]


@pytest.mark.usefixtures("ports_are_free")
def test_roster_gives_each_service_its_own_variables_only(tmp_path: Path) -> None:
    for name, service in roster(tmp_path, Settings()).items():
        others = [each.upper() for each in NAMES if each != name]
        foreign = [
            variable
            for variable in service.environment
            if any(variable.startswith(f"ISOBATH_{other}_") for other in others)
        ]
        assert not foreign


@pytest.mark.usefixtures("ports_are_free")
def test_roster_passes_secrets_by_file_only(tmp_path: Path) -> None:
    settings = Settings(
        engine="openai", openai_base_url="http://127.0.0.1:1/v1", openai_api_key=Secret("sk-abc")
    )
    found = roster(tmp_path, settings)
    hidden = ["sk-abc", Home(tmp_path).first_key()]
    hidden += [path.read_text() for path in (tmp_path / "run/tokens").iterdir()]
    for service in found.values():
        assert not [each for each in hidden if each in str(dict(service.environment))]
    kind, _, path = found["credentials"].environment["ISOBATH_CREDENTIALS_MODEL_KEY"].partition(":")
    assert kind == "file" and Path(path).read_text() == "sk-abc"
    asked = found["inference"].environment["ISOBATH_INFERENCE_CREDENTIALS"]
    assert asked == found["credentials"].address


@pytest.mark.req("S3", "T4")
def test_operator_gets_its_own_token_and_certificate(tmp_path: Path) -> None:
    shown = certs.issue(tmp_path / "certs")
    who = issue((*NAMES, certs.OPERATOR), tmp_path, shown)
    environ = operator(Ports(1, {"inference": 2}), who)
    found = load(Operator, environ, prefix="ISOBATH_OPERATOR_")
    assert found.inference == "127.0.0.1:2" and found.token is not None
    assert found.token.reveal() == (tmp_path / "tokens" / "operator").read_text()
    assert Tls(found.tls).material().identity == "operator"


@pytest.mark.usefixtures("ports_are_free")
def test_roster_lets_given_variables_go_first(tmp_path: Path) -> None:
    given = {"ISOBATH_INFERENCE_PROTOCOL": "native", "ISOBATH_SANDBOX_HOME": "/x"}
    found = roster(tmp_path, Settings(), **given)
    assert found["inference"].environment["ISOBATH_INFERENCE_PROTOCOL"] == "native"
    assert found["sandbox"].environment["ISOBATH_SANDBOX_HOME"] == "/x"
    assert "ISOBATH_INFERENCE_PROTOCOL" not in found["gateway"].environment


def test_address_is_on_loopback() -> None:
    assert Ports(1, {"sandbox": 2}).address("sandbox") == "127.0.0.1:2"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"ISOBATH_ENGINE": "openai"}, "OPENAI_BASE_URL"),
        ({"ISOBATH_ENGINE": "vllm"}, "MODEL"),
        ({"ISOBATH_ENGINE": "gpt"}, "ISOBATH_ENGINE"),
        ({"ISOBATH_HTTP_PORT": "many"}, "ISOBATH_HTTP_PORT"),
    ],
)
def test_settings_that_cannot_work_are_named(variables: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load(Settings, variables, prefix="ISOBATH_")


@pytest.mark.usefixtures("ports_are_free")
def test_vllm_has_an_environment_of_its_own_and_time(tmp_path: Path) -> None:
    settings = Settings(engine="vllm", model="/models/m", vllm_python=tmp_path / "bin/python")
    given = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_TOKEN": "hf_abc", "OTHER": "x"}
    found = roster(tmp_path, settings, **given)
    inference = found.pop("inference")
    assert inference.python == str(tmp_path / "bin/python")
    assert inference.ready_s > found["gateway"].ready_s
    assert inference.environment["ISOBATH_INFERENCE_MODEL"] == "/models/m"
    assert inference.environment["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert not {"HF_TOKEN", "OTHER"} & set(inference.environment)
    # our packages are not installed there
    paths = inference.environment["PYTHONPATH"].split(":")
    assert all((Path(paths[0]) / each).is_dir() for each in ("services", "servicekit"))
    assert {Path(each).name for each in paths[1:]} == {"gen", "client"}
    for service in found.values():
        assert service.python == sys.executable and "PYTHONPATH" not in service.environment
