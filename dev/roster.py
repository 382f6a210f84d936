"""The services of a platform on one machine: addresses, environments, who needs whom."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dev.certs import OPERATOR, Certificates
from dev.child import OUR_PACKAGES
from dev.home import Home, write_private
from dev.identities import Identities
from dev.names import CONNECTORS, NAMES
from dev.settings import GRPC_PORT, HTTP_PORT, Settings
from dev.supervisor import DRAIN_S, Service
from servicekit.ports import free_ports, taken
from servicekit.tls import Tls, TlsSettings

METRICS_OFFSET = 1000
# what the file connector calls the home's own folder of files
ROOT = "files"
NEEDS = {
    "credentials": frozenset[str](),
    "pg_connector": frozenset({"credentials"}),
    "blob_connector": frozenset({"credentials"}),
    "file_connector": frozenset({"credentials"}),
    "inference": frozenset({"credentials"}),
    "sandbox": frozenset(CONNECTORS),
    "gateway": frozenset({"credentials", "sandbox", "inference", *CONNECTORS}),
}
# where spans go, and how many
FOR_ALL = ("ISOBATH_TRACES_", "OTEL_")
# what vLLM and its libraries heed
FOR_VLLM = ("VLLM_", "HF_HOME", "HF_HUB_", "CUDA_", "OMP_", "LD_PRELOAD")
# a model of 8 billion parameters is read from a disk, and compiled
VLLM_READY_S = 900.0


@dataclass(frozen=True)
class Ports:
    http: int
    grpc: Mapping[str, int]

    def address(self, service: str) -> str:
        return f"127.0.0.1:{self.grpc[service]}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"


class PortsTaken(RuntimeError):
    """Another program listens where we would."""


def ports(settings: Settings) -> Ports:
    """The well-known ports, or free ones where the gateway's are given. Raises PortsTaken."""
    found = _ports(settings)
    if busy := taken((found.http, *found.grpc.values())):
        numbers = ", ".join(str(port) for port in busy)
        raise PortsTaken(
            f"another program listens on port {numbers}; end it, or set ISOBATH_HTTP_PORT to a "
            "free port (all others are then chosen by themselves)"
        )
    return found


def _ports(settings: Settings) -> Ports:
    given_http, given_grpc = settings.http_port, settings.grpc_port
    if given_http is None and given_grpc is None:
        known = {name: GRPC_PORT + number for number, name in enumerate(NAMES)}
        return Ports(HTTP_PORT, known)
    http, gateway, *others = free_ports(len(NAMES) + 1)
    known = dict(zip(NAMES, [given_grpc or gateway, *others], strict=True))
    return Ports(given_http or http, known)


def services(
    settings: Settings, home: Home, places: Ports, who: Identities, given: Mapping[str, str]
) -> list[Service]:
    """All of them, in an order in which they may be started one after the other.

    `given` are variables that go before ours, each to the service whose prefix it has, such as
    ISOBATH_INFERENCE_PROTOCOL, and those of FOR_ALL to each."""
    own = {
        "credentials": {"HOME": str(home.state_of("credentials")), **_model_key(settings, home)},
        "pg_connector": {"CREDENTIALS": places.address("credentials")},
        "blob_connector": {"CREDENTIALS": places.address("credentials")},
        "file_connector": {
            "CREDENTIALS": places.address("credentials"),
            "ROOTS": f"{ROOT}={home.files.resolve()}",
            "WRITABLE_ROOTS": ROOT,
        },
        "inference": _engine(settings, places),
        "sandbox": {"CONNECTORS": _connectors(places), "HOME": str(home.scratch / "sandbox")},
        "gateway": _gateway(home, places),
    }
    # the gateway's own clients show none
    operator = _tls(who.certificates, OPERATOR) if who.certificates else None
    listed = [
        Service(
            name=name,
            module=f"services.{name}",
            address=places.address(name),
            environment=_environment(name, settings, places, who)
            | _prefixed(name, own[name])
            | _handed_on(name, given),
            needs=NEEDS[name],
            tls=None if name == "gateway" or operator is None else Tls(operator),
        )
        for name in NEEDS
    ]
    return [_with_vllm(each, settings, given) for each in listed]


def _with_vllm(service: Service, settings: Settings, given: Mapping[str, str]) -> Service:
    """The service that has vLLM in it may need an environment of its own, and needs time."""
    if service.name != "inference" or settings.engine != "vllm":
        return service
    heeded = {key: value for key, value in given.items() if key.startswith(FOR_VLLM)}
    service = replace(service, ready_s=VLLM_READY_S, environment={**service.environment, **heeded})
    if settings.vllm_python is None:
        return service
    return replace(
        service,
        python=str(settings.vllm_python.absolute()),
        environment={**service.environment, "PYTHONPATH": OUR_PACKAGES},
    )


def operator(places: Ports, who: Identities) -> dict[str, str]:
    """For commands of whoever runs the services, such as `python -m training.push`."""
    found = {"INFERENCE": places.address("inference"), "TOKEN_FILE": str(who.tokens[OPERATOR])}
    if who.certificates is not None:
        found |= _tls_fields(who.certificates, OPERATOR)
    return _prefixed(OPERATOR, found)


def _handed_on(name: str, given: Mapping[str, str]) -> dict[str, str]:
    prefixes = (_prefix(name), *FOR_ALL)
    return {key: value for key, value in given.items() if key.startswith(prefixes)}


def _environment(name: str, settings: Settings, places: Ports, who: Identities) -> dict[str, str]:
    common = {
        "SERVER_BIND": places.address(name),
        "SERVER_CALLERS_FILE": "" if name == "gateway" else str(who.callers),
        "SERVER_DRAIN_S": f"{DRAIN_S:g}",
        "TOKEN_FILE": str(who.tokens[name]),
    }
    if who.certificates is not None:
        fields = _tls_fields(who.certificates, name)
        common |= {f"SERVER_{field}": value for field, value in fields.items()}
    if (port := places.grpc[name]) == GRPC_PORT + NAMES.index(name) and name != "gateway":
        common["SERVER_METRICS_BIND"] = f"127.0.0.1:{port + METRICS_OFFSET}"
    return _prefixed(name, common) | {"ISOBATH_LOG_LEVEL": settings.log_level}


def _tls(files: Certificates, identity: str) -> TlsSettings:
    return TlsSettings(files.cert(identity), files.key(identity), files.ca)


def _tls_fields(files: Certificates, identity: str) -> dict[str, str]:
    return {
        "TLS_CERT_FILE": str(files.cert(identity)),
        "TLS_KEY_FILE": str(files.key(identity)),
        "TLS_CA_FILE": str(files.ca),
    }


def _prefix(name: str) -> str:
    return f"ISOBATH_{name.upper()}_"


def _prefixed(name: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {_prefix(name) + field: value for field, value in fields.items()}


def _connectors(places: Ports) -> str:
    return ",".join(places.address(name) for name in CONNECTORS)


def _gateway(home: Home, places: Ports) -> dict[str, str]:
    home.first_key()
    return {
        "HOME": str(home.state_of("gateway")),
        "HTTP_BIND": f"127.0.0.1:{places.http}",
        "PUBLIC_URL": places.url,
        "API_KEY_FILE": str(home.api_key),
        "CREDENTIALS": places.address("credentials"),
        "SANDBOX": places.address("sandbox"),
        "INFERENCE": places.address("inference"),
        "CONNECTORS": _connectors(places),
        "PROFILING": "true",
    }


def _model_key(settings: Settings, home: Home) -> dict[str, str]:
    """Kept by the credential service, of which the inference service asks it."""
    if settings.openai_api_key is None:
        return {}
    key = home.run / "openai_api_key"
    write_private(key, settings.openai_api_key.reveal())
    return {"MODEL_KEY": f"file:{key}"}


def _engine(settings: Settings, places: Ports) -> dict[str, str]:
    chosen: dict[str, str] = {"ENGINE": settings.engine}
    if settings.model:
        chosen["MODEL"] = settings.model
    if settings.engine == "openai":
        chosen["OPENAI_BASE_URL"] = settings.openai_base_url
        if settings.openai_api_key is not None:
            chosen["CREDENTIALS"] = places.address("credentials")
    return chosen
