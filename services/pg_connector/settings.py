"""ISOBATH_PG_CONNECTOR_…"""

from dataclasses import dataclass, field

from servicekit.names import check_listed
from servicekit.secrets import Secret
from servicekit.server import ServerSettings


@dataclass(frozen=True)
class Listen(ServerSettings):
    bind: str = "127.0.0.1:50052"


@dataclass(frozen=True)
class Settings:
    server: Listen = field(default_factory=Listen)
    # where the credential service listens: one address or several, or dns:///name:port
    credentials: str = "127.0.0.1:50051"
    # this connector's own, shown to the credential service
    token: Secret | None = None
    # patterns such as "*.db.example.com" or "/run/postgresql", and networks such as "10.2.0.0/16";
    # none = anywhere but link-local and metadata addresses
    allowed_hosts: tuple[str, ...] = ()
    # sources whose connections are kept while nobody uses them
    pools: int = 64
    # connections to each source in use at a time, by all replicas together
    pool_size: int = 5
    # and to all sources together
    connections: int = 100
    # which replicas of this service share these two evenly: how many, or where they are, as
    # dns:///name:port or host:port,host:port, this one among them; empty = it is alone
    replicas: str = ""
    # how long a call waits for its turn where they are all in use
    acquire_timeout_s: float = 15.0
    # an unused connection is closed after this
    idle_s: float = 300.0
    # for one attempt, in seconds
    connect_timeout_s: float = 10.0
    # attempts to connect where the fault may pass: a server that is away, starting or full; with
    # pauses between of 0.1, 0.2, 0.4 … seconds, give or take a half
    connect_attempts: int = 5
    # the longest that one statement may take
    statement_timeout_s: float = 300.0
    # a statement waits no longer for another session's lock
    lock_timeout_s: float = 10.0
    # what one sort or hash may take of the server's memory, where the server allows as much
    work_mem_kb: int = 64 * 1024
    # what one session may take of the server's disk, where the role may set it; the server's own
    # bound holds where it is lower
    temp_files_kb: int = 10 * 1024 * 1024
    # connections that one large scan is read over at once, where as many are free; 1 = never split
    scan_connections: int = 2
    # a table of so many MiB is large
    scan_split_mb: int = 64
    # how long a listing or a description is kept
    metadata_ttl_s: float = 60.0
    # threads that encode
    threads: int = 4

    def __post_init__(self) -> None:
        counts = (self.pools, self.pool_size, self.connections, self.connect_attempts, self.threads)
        if min(counts) < 1:
            raise ValueError(
                "POOLS, POOL_SIZE, CONNECTIONS, CONNECT_ATTEMPTS and THREADS expect 1 or more"
            )
        if not self.replicas.isdigit():
            check_listed(self.replicas)
        if self.scan_connections < 1 or self.scan_split_mb < 0:
            raise ValueError("SCAN_CONNECTIONS expects 1 or more, SCAN_SPLIT_MB 0 or more")
        if min(self.statement_timeout_s, self.connect_timeout_s, self.acquire_timeout_s) <= 0:
            raise ValueError("the timeouts expect more than 0 seconds")
