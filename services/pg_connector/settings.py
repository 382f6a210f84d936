"""ISOBATH_PG_CONNECTOR_…"""

from dataclasses import dataclass, field

from servicekit.secrets import Secret
from servicekit.server import ServerSettings


@dataclass(frozen=True)
class Listen(ServerSettings):
    bind: str = "127.0.0.1:50052"


@dataclass(frozen=True)
class Settings:
    server: Listen = field(default_factory=Listen)
    # where the credential service listens
    credentials: str = "127.0.0.1:50051"
    # this connector's own, shown to the credential service
    token: Secret | None = None
    # patterns such as "*.db.example.com" or "/run/postgresql", and networks such as "10.2.0.0/16";
    # none = anywhere but link-local and metadata addresses
    allowed_hosts: tuple[str, ...] = ()
    # sources with open connections
    pools: int = 64
    # connections to each of them
    pool_size: int = 5
    # how long a call waits for a connection of a full pool
    acquire_timeout_s: float = 15.0
    # an unused connection is closed after this
    idle_s: float = 300.0
    # for one attempt, in seconds
    connect_timeout_s: float = 10.0
    # attempts to connect, with pauses between, where the fault may pass
    connect_attempts: int = 3
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
        if min(self.pools, self.pool_size, self.connect_attempts, self.threads) < 1:
            raise ValueError("POOLS, POOL_SIZE, CONNECT_ATTEMPTS and THREADS expect 1 or more")
        if self.scan_connections < 1 or self.scan_split_mb < 0:
            raise ValueError("SCAN_CONNECTIONS expects 1 or more, SCAN_SPLIT_MB 0 or more")
        if min(self.statement_timeout_s, self.connect_timeout_s, self.acquire_timeout_s) <= 0:
            raise ValueError("the timeouts expect more than 0 seconds")
