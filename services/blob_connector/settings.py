"""ISOBATH_BLOB_CONNECTOR_…"""

from dataclasses import dataclass, field

from servicekit.secrets import Secret
from servicekit.server import ServerSettings

MIB = 1024 * 1024


@dataclass(frozen=True)
class Listen(ServerSettings):
    bind: str = "127.0.0.1:50053"


@dataclass(frozen=True)
class Settings:
    server: Listen = field(default_factory=Listen)
    # where the credential service listens: one address or several, or dns:///name:port
    credentials: str = "127.0.0.1:50051"
    # this connector's own, shown to the credential service
    token: Secret | None = None
    # patterns such as "*.blob.core.windows.net", and networks such as "10.2.0.0/16"; none =
    # anywhere but link-local and metadata addresses
    allowed_hosts: tuple[str, ...] = ()
    # accounts that this process may sign in to with an identity of its own (workload identity,
    # managed identity, the default chain), as patterns of hosts such as
    # "acct.blob.core.windows.net"; none = refused, for who adds such a source reads with the
    # connector's rights
    identity_hosts: tuple[str, ...] = ()
    # where Microsoft Entra is asked for tokens, instead of the host of the source's cloud
    authority: str = ""
    # a PEM file of the authorities to trust instead of the system's own: that of a proxy which
    # breaks TLS, or of a storage account behind a name of your own
    ca_file: str = ""
    # told before bytes move; a request may lower them
    max_blob_bytes: int = 100 * MIB
    # of all blobs of one request together
    max_request_bytes: int = 100 * MIB
    # one ranged read
    range_bytes: int = 8 * MIB
    # of a blob at once: 2 x 8 MiB are held
    ranges_ahead: int = 2
    # of a blob at once where more of them make it faster, as with a server that answers late
    ranges_most: int = 4
    # of many small blobs, so many requests at once within the same bytes
    requests_ahead: int = 16
    # again after 0.2, 0.4, 0.8 … s, where the fault may pass
    retries: int = 4
    # in seconds
    connect_timeout_s: float = 10.0
    # without a byte, in seconds
    read_timeout_s: float = 60.0
    # statistics are taken from no more than this, as it lies in memory
    sample_bytes: int = 16 * MIB
    # threads that read and write tables
    threads: int = 8
    # SQL over files: queries that run at once, each in a process of its own
    queries: int = 4
    # how long a query waits for its turn, in seconds
    query_wait_s: float = 5.0
    # of one query's process: DuckDB's own bound; with what else it holds, 512 MiB more
    query_memory_bytes: int = 1024 * MIB
    # of DuckDB, for one query
    query_threads: int = 2
    # that one query may read of blobs, as it reads them; 0 = no limit
    query_read_bytes: int = 64 * 1024 * MIB
    # no query runs longer, whatever a request or its grant says
    query_timeout_s: float = 300.0
    # containers kept open; beyond that the one that was idle longest is closed
    open_containers: int = 256

    def __post_init__(self) -> None:
        if min(self.max_blob_bytes, self.max_request_bytes, self.range_bytes) < 1:
            raise ValueError("MAX_BLOB_BYTES, MAX_REQUEST_BYTES and RANGE_BYTES expect 1 or more")
        if min(self.ranges_ahead, self.requests_ahead, self.threads, self.open_containers) < 1:
            raise ValueError(
                "RANGES_AHEAD, REQUESTS_AHEAD, THREADS and OPEN_CONTAINERS expect 1 or more"
            )
        if self.range_bytes > 64 * MIB:
            raise ValueError("RANGE_BYTES expects at most 67108864 (64 MiB)")
        if min(self.queries, self.query_threads) < 1:
            raise ValueError("QUERIES and QUERY_THREADS expect 1 or more")
        if self.query_memory_bytes < 64 * MIB or self.query_timeout_s <= 0:
            raise ValueError(
                "QUERY_MEMORY_BYTES expects 67108864 (64 MiB) or more, QUERY_TIMEOUT_S above 0"
            )
        if min(self.retries, self.query_read_bytes) < 0:
            raise ValueError("RETRIES and QUERY_READ_BYTES expect 0 or more")
