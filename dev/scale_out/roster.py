"""The services as several replicas of each: who runs where, on what shared state."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.fernet import Fernet

from dev.assembly import Parts
from dev.home import Home, write_private
from dev.identities import Identities
from dev.names import CONNECTORS, NAMES
from dev.roster import Ports, services
from dev.scale_out.balancer import Target
from dev.settings import Settings
from dev.supervisor import Service
from servicekit.ports import free_ports

# how long a service that is told to stop may go on with what it does
DRAIN_S = 60.0
# and takes new calls still, because a balancer learns late that it goes
LINGER_S = 1.0
CLEANUP_S = 10.0
# where the files of all gateways lie
CONTAINER = "isobath-files"
DATABASES = ("gateway", "credentials")


@dataclass(frozen=True)
class Layout:
    """Ports of each replica, by service."""

    grpc: Mapping[str, tuple[int, ...]]
    http: tuple[int, ...]
    metrics: Mapping[str, tuple[int, ...]]
    front: Target

    @property
    def gateways(self) -> list[Target]:
        pairs = zip(self.http, self.grpc["gateway"], strict=True)
        return [Target(http, grpc) for http, grpc in pairs]

    def names(self, service: str) -> list[str]:
        return [f"{service}-{number}" for number in range(len(self.grpc[service]))]

    def addresses(self, service: str) -> str:
        """As a setting takes several: `host:port,host:port`."""
        return ",".join(f"127.0.0.1:{port}" for port in self.grpc[service])


def laid_out(counts: Mapping[str, int]) -> Layout:
    """Free ports for so many replicas of each service."""
    total = sum(counts.values())
    ports = iter(free_ports(2 * total + counts["gateway"] + 2))
    grpc = {name: tuple(next(ports) for _ in range(counts[name])) for name in NAMES}
    metrics = {name: tuple(next(ports) for _ in range(counts[name])) for name in NAMES}
    http = tuple(next(ports) for _ in range(counts["gateway"]))
    return Layout(grpc, http, metrics, Target(next(ports), next(ports)))


async def shared_state(parts: Parts, home: Home) -> Mapping[str, str]:
    """Databases, files and keys that the replicas of a service share, as variables."""
    postgres, azurite = parts.postgres, parts.azurite
    given = {
        "ISOBATH_CREDENTIALS_KEY_FILE": Fernet.generate_key().decode(),
        "ISOBATH_GATEWAY_KEY_HASH_FILE": Fernet.generate_key().decode(),
        "ISOBATH_GATEWAY_FILES_ACCOUNT_KEY_FILE": azurite.key,
    }
    async with azurite.service() as service:
        await service.create_container(CONTAINER)
    for name in DATABASES:
        await postgres.execute(f"CREATE DATABASE isobath_{name}")
        url = postgres.dsn_of(f"isobath_{name}").replace("postgresql:", "postgresql+asyncpg:")
        given[f"ISOBATH_{name.upper()}_DATABASE_URL_FILE"] = url
    for variable, secret in given.items():
        file = home.run / "shared" / variable
        write_private(file, secret)
        given[variable] = str(file)
    given["ISOBATH_GATEWAY_FILES_URL"] = f"{azurite.account_url}/{CONTAINER}"
    return given


def replicas(
    settings: Settings, home: Home, layout: Layout, who: Identities, shared: Mapping[str, str]
) -> list[Service]:
    """Every replica of every service, each of which needs all replicas of what it calls."""
    found = []
    for number in range(max(map(len, layout.grpc.values()))):
        here = {name: ports[min(number, len(ports) - 1)] for name, ports in layout.grpc.items()}
        http = layout.http[min(number, len(layout.http) - 1)]
        given = _addresses(layout) | _own(layout, home, number) | dict(shared)
        for service in services(settings, home, Ports(http, here), who, given):
            if number < len(layout.grpc[service.name]):
                found.append(_numbered(service, number, layout))
    return found


def _numbered(service: Service, number: int, layout: Layout) -> Service:
    needs = frozenset(name for needed in service.needs for name in layout.names(needed))
    return replace(
        service,
        name=f"{service.name}-{number}",
        needs=needs,
        grace_s=LINGER_S + DRAIN_S + CLEANUP_S,
    )


def _addresses(layout: Layout) -> dict[str, str]:
    """Who calls whom: each setting names all replicas."""
    credentials = f"ipv4:{layout.addresses('credentials')}"
    connectors = ",".join(layout.addresses(name) for name in CONNECTORS)
    front = f"http://127.0.0.1:{layout.front.http}"
    callers = (*CONNECTORS, "gateway")
    return {f"ISOBATH_{name.upper()}_CREDENTIALS": credentials for name in callers} | {
        "ISOBATH_GATEWAY_CONNECTORS": connectors,
        "ISOBATH_SANDBOX_CONNECTORS": connectors,
        "ISOBATH_PG_CONNECTOR_REPLICAS": layout.addresses("pg_connector"),
        "ISOBATH_GATEWAY_SANDBOX": layout.addresses("sandbox"),
        "ISOBATH_SANDBOX_PEERS": layout.addresses("sandbox"),
        "ISOBATH_GATEWAY_INFERENCE": layout.addresses("inference"),
        "ISOBATH_GATEWAY_PUBLIC_URL": front,
    }


def _own(layout: Layout, home: Home, number: int) -> dict[str, str]:
    """What no two replicas may share."""
    own = {"ISOBATH_SANDBOX_HOME": str(home.scratch / f"sandbox-{number}")}
    for name in NAMES:
        prefix = f"ISOBATH_{name.upper()}_SERVER_"
        own[f"{prefix}DRAIN_S"] = f"{DRAIN_S:g}"
        own[f"{prefix}LINGER_S"] = f"{LINGER_S:g}"
        if number < len(layout.metrics[name]):
            own[f"{prefix}METRICS_BIND"] = f"127.0.0.1:{layout.metrics[name][number]}"
    return own
