"""ISOBATH_FILE_CONNECTOR_…"""

from dataclasses import dataclass, field

from servicekit.secrets import Secret
from servicekit.server import ServerSettings
from services.file_connector.paths import roots_of

MIB = 1024 * 1024


@dataclass(frozen=True)
class Listen(ServerSettings):
    bind: str = "127.0.0.1:50056"


@dataclass(frozen=True)
class Settings:
    server: Listen = field(default_factory=Listen)
    # where the credential service listens: one address or several, or dns:///name:port
    credentials: str = "127.0.0.1:50051"
    # this connector's own, shown to the credential service
    token: Secret | None = None
    # the folders that sources may be made of, such as "reports=/srv/reports,lake=/data/lake"; who
    # may add a source may read all of them; none = every source is refused
    roots: tuple[str, ...] = ()
    # names of those roots beneath which results may be written, where a source allows it too
    writable_roots: tuple[str, ...] = ()
    # files and folders that begin with a dot are shown and read too
    hidden: bool = False
    # told before bytes move; a request may lower them
    max_file_bytes: int = 100 * MIB
    # of all files of one request together
    max_request_bytes: int = 100 * MIB
    # statistics are taken from no more than this, as it lies in memory
    sample_bytes: int = 16 * MIB
    # threads that read and write files
    threads: int = 8
    # SQL over files: queries that run at once, each in a process of its own
    queries: int = 4
    # how long a query waits for its turn, in seconds
    query_wait_s: float = 5.0
    # of one query's process: DuckDB's own bound; with what else it holds, 512 MiB more
    query_memory_bytes: int = 1024 * MIB
    # of DuckDB, for one query
    query_threads: int = 2
    # that one query may read of files, as it reads them; 0 = no limit
    query_read_bytes: int = 64 * 1024 * MIB
    # no query runs longer, whatever a request or its grant says
    query_timeout_s: float = 300.0

    def __post_init__(self) -> None:
        known = roots_of(self.roots)
        if unknown := set(self.writable_roots) - set(known):
            raise ValueError(f"WRITABLE_ROOTS names {sorted(unknown)[0]}, which is not in ROOTS")
        if min(self.max_file_bytes, self.max_request_bytes, self.threads) < 1:
            raise ValueError("MAX_FILE_BYTES, MAX_REQUEST_BYTES and THREADS expect 1 or more")
        if min(self.queries, self.query_threads) < 1:
            raise ValueError("QUERIES and QUERY_THREADS expect 1 or more")
        if self.query_memory_bytes < 64 * MIB or self.query_timeout_s <= 0:
            raise ValueError(
                "QUERY_MEMORY_BYTES expects 67108864 (64 MiB) or more, QUERY_TIMEOUT_S above 0"
            )
        if self.query_read_bytes < 0:
            raise ValueError("QUERY_READ_BYTES expects 0 or more")
