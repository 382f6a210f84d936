"""ISOBATH_GATEWAY_…"""

from dataclasses import dataclass, field
from pathlib import Path

from servicekit.addresses import split_host_port
from servicekit.secrets import Secret
from servicekit.server import ServerSettings
from services.gateway.access.hash_keys import read_key
from services.gateway.access.oidc import OidcSettings
from services.gateway.bytestore.settings import FilesSettings
from services.gateway.conversation import Bounds
from services.gateway.upkeep.settings import KeepSettings

# a grant lives for a day at most, and a little longer than its run
LONGEST_RUN_S = 23 * 3600.0


@dataclass(frozen=True)
class Listen(ServerSettings):
    bind: str = "127.0.0.1:50050"
    # callers are told apart by API key, not by service token
    public: bool = True


@dataclass(frozen=True)
class Settings:
    server: Listen = field(default_factory=Listen)
    # where the HTTP API listens
    http_bind: str = "127.0.0.1:8200"
    # database and files, unless they are told to lie elsewhere; 0700, made when it is not there
    home: Path = field(default_factory=lambda: Path("~/.isobath/gateway").expanduser())
    # sqlite+aiosqlite:///… or postgresql+asyncpg://…; unset = SQLite in home
    database_url: Secret | None = None
    # where the bytes of files lie
    files: FilesSettings = field(default_factory=FilesSettings)
    # 0 = gateways migrate the database when they start; otherwise they wait that long for who does,
    # as with a Job that runs `python -m services.gateway migrate`, in seconds
    schema_wait_s: float = 0.0
    # for how long what is kept
    keep: KeepSettings = field(default_factory=KeepSettings)
    # accepted as a key of `owner`; unset = one is made at the first start and printed once
    api_key: Secret | None = None
    # origins whose pages may call from a browser, such as https://chat.example.com, or *; none =
    # only what is no browser calls
    cors_origins: tuple[str, ...] = ()
    # whose the sources, files and threads of `api_key` are
    owner: str = "default"
    # API keys are kept as hashes under this key, the same in every replica: any text, or hex: and
    # digits; unset = one is made in
    # home at the first start, which a database of its own does not allow
    key_hash: Secret | None = None
    # sign-in by OpenID Connect, beside API keys
    oidc: OidcSettings = field(default_factory=OidcSettings)
    # this service's own identity towards the others
    token: Secret | None = None
    # where the credential service listens: one address or several, or dns:///name:port
    credentials: str = "127.0.0.1:50051"
    # addresses, each also dns:///name:port; what type of source each serves, it says itself, and
    # those of one type share its calls
    connectors: tuple[str, ...] = ("127.0.0.1:50052", "127.0.0.1:50053")
    # where the sandbox listens: addresses of its replicas, or dns:///name:port where each address
    # of that name is one
    sandbox: tuple[str, ...] = ("127.0.0.1:50054",)
    # where the inference service listens: addresses of its replicas, or dns:///name:port where each
    # address of that name is one
    inference: tuple[str, ...] = ("127.0.0.1:50055",)
    # the id under which existing clients ask for the analyst
    agent_model: str = "DeepAnalyze-8B"
    # runs at once in each gateway; one more is refused with TOO_BUSY
    max_runs: int = 64
    # of several gateways on one PostgreSQL: the longest that runs of one that is lost wait until
    # another one tells their end, in seconds
    lease_s: float = 15.0
    # of several gateways on one PostgreSQL: one that stops waits so long for its runs to come to a
    # step at which another goes on with them, in seconds
    hand_over_s: float = 30.0
    # rows of a selection that names no limit of its own
    chat_rows: int = 10_000
    # rows that the data endpoints give of a query that names no limit
    query_rows: int = 1_000
    # programs that one run may execute
    rounds: int = 30
    # tokens that the model may write in one run
    tokens: int = 32_768
    # the longest that one run may take, in seconds
    run_s: float = 30 * 60.0
    # the longest that one run may wait for approvals, in seconds; its other time rests meanwhile
    approval_s: float = 3600.0
    # the longest that one program of a run may take, in seconds
    program_s: float = 120.0
    # the largest file that can be uploaded
    upload_bytes: int = 512 * 1024 * 1024
    # links to files work without a key for this long, in seconds; 0 = they need one
    link_s: float = 24 * 3600.0
    # where clients reach the HTTP API, such as https://isobath.example.com, for links to files;
    # unset = those are relative
    public_url: str = ""
    # threads without a run for this long are removed with their workspace
    thread_ttl_s: float = 12 * 3600.0
    # a stream that is silent for this long gets a comment, so that proxies keep it open
    heartbeat_s: float = 10.0
    # a fetch that takes longer than this opens the stream; its fault is then told in the stream
    hold_s: float = 10.0

    # admins may see what this process is doing: a profile, its tasks, its memory
    profiling: bool = False

    def __post_init__(self) -> None:
        split_host_port(self.http_bind)
        if self.max_runs < 1 or self.rounds < 1 or self.tokens < 1:
            raise ValueError("MAX_RUNS, ROUNDS and TOKENS expect 1 or more")
        if self.lease_s < 1:
            raise ValueError("LEASE_S expects 1 or more")
        if self.hand_over_s < 0:
            raise ValueError("HAND_OVER_S expects 0 or more")
        if self.public_url and not self.public_url.startswith(("http://", "https://")):
            raise ValueError("PUBLIC_URL expects http://… or https://…")
        if not 0 < self.run_s + self.approval_s <= LONGEST_RUN_S:
            raise ValueError("RUN_S and APPROVAL_S expect 23 hours at most, together")
        if self.key_hash is not None:
            read_key(self.key_hash.reveal())
        if self.database_url is not None and self.key_hash is None:
            raise ValueError("DATABASE_URL needs KEY_HASH, a long random word that stays the same")

    @property
    def bounds(self) -> Bounds:
        """What a run may use at most."""
        return Bounds(
            rounds=self.rounds,
            tokens=self.tokens,
            seconds=self.run_s,
            program_seconds=self.program_s,
        )
