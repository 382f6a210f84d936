"""ISOBATH_CREDENTIALS_…"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from servicekit.secrets import Secret
from servicekit.server import ServerSettings
from services.credentials import roles
from services.credentials.declared import REFERENCE, reference
from services.credentials.vaults.login import Method

MIN_PASSPHRASE_CHARS = 12


@dataclass(frozen=True)
class Listen(ServerSettings):
    bind: str = "127.0.0.1:50051"


@dataclass(frozen=True)
class Settings:
    server: Listen = field(default_factory=Listen)
    # signing keys, revocations and, in the embedded vault, secrets; 0700, made when it is not there
    home: Path = field(default_factory=lambda: Path("~/.isobath/credentials").expanduser())
    # embedded: a file of its own, encrypted; hashicorp: KV version 2 of a Vault server
    vault: Literal["embedded", "hashicorp"] = "embedded"
    # postgresql+asyncpg://…, a database of this service's own that its replicas share; unset =
    # SQLite in home, for one process
    database_url: Secret | None = None
    # Fernet keys: the first encrypts, all decrypt; unset = kept in home, made at the first start
    key: Secret | None = None
    # instead of KEY: the store's key is derived from it by scrypt, with a salt that lies in home or
    # in the database
    passphrase: Secret | None = None
    # the passphrase before: decrypts until the keys were rotated (RotateKeys)
    old_passphrase: Secret | None = None
    # the Vault server
    vault_url: str = "http://127.0.0.1:8200"
    # how the service signs in: token, approle, kubernetes or jwt
    vault_auth: Method = "token"
    # token: one that may read and write below the folder; renewed where Vault lets it be
    vault_token: Secret | None = None
    # approle: the role id; kubernetes and jwt: the name of the role
    vault_role: str = ""
    # approle: the secret id, or …
    vault_secret_id: Secret | None = None
    # … the token that it is wrapped in, which opens once; not kept over a restart
    vault_wrapped_secret_id: Secret | None = None
    # kubernetes and jwt: the file with the platform's token
    vault_jwt_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    # where the method is mounted; empty = under its own name
    vault_auth_mount: str = ""
    # authorities that Vault's certificate is checked by; unset = those of the system
    vault_ca_file: Path | None = None
    # of Vault Enterprise; empty = none
    vault_namespace: str = ""
    # embedded: the key of Vault's Transit engine that wraps the store's own key; empty = none
    vault_transit_key: str = ""
    # the mount of the Transit engine
    vault_transit_mount: str = "transit"
    # the mount of the KV engine, version 2
    vault_mount: str = "secret"
    # the folder in it
    vault_folder: str = "isobath/sources"
    # which sources may name a role of Vault's database engine in vault_role instead of keeping a
    # password: OWNER:MOUNT/ROLE@HOST, with * for every owner; empty = none
    vault_roles: tuple[str, ...] = ()
    # sources declared by the operator, as YAML (docs/vault.md); read again when it changes
    sources_file: Path | None = None
    # where the key of the model server lies: vault:MOUNT/PATH#FIELD, env:NAME or file:/PATH; read
    # each time that the inference service asks for it
    model_key: str = ""
    # for one call to Vault, in seconds
    vault_timeout_s: float = 10.0
    # who may store secrets, and mint and revoke grants
    gateways: tuple[str, ...] = ("gateway",)
    # who may redeem
    connectors: tuple[str, ...] = ("pg_connector", "blob_connector", "file_connector")
    # who may read the model server's key
    models: tuple[str, ...] = ("inference",)
    # how long a connector may keep a secret; never longer than the grant that it was redeemed with
    lease_s: float = 900.0
    # a watcher of revocations hears something at least this often, in seconds
    heartbeat_s: float = 5.0
    # a new signing key is published for this long before it signs; connectors look every 10 s
    key_lead_s: float = 30.0

    def __post_init__(self) -> None:
        if min(self.lease_s, self.heartbeat_s, self.vault_timeout_s) <= 0 or self.key_lead_s < 0:
            raise ValueError("LEASE_S, HEARTBEAT_S and VAULT_TIMEOUT_S expect more than 0 seconds")
        if sum(map(bool, (self.key, self.passphrase, self.vault_transit_key))) > 1:
            raise ValueError("KEY, PASSPHRASE, VAULT_TRANSIT_KEY: only one of them may be set")
        if self.passphrase and len(self.passphrase.reveal()) < MIN_PASSPHRASE_CHARS:
            raise ValueError(f"PASSPHRASE expects at least {MIN_PASSPHRASE_CHARS} characters")
        self._check_database()
        for text in self.vault_roles:
            roles.allowed(text)
        if self.model_key and reference(self.model_key) is None:
            raise ValueError(f"MODEL_KEY expects {REFERENCE}")
        if self.vault == "hashicorp" or self.vault_transit_key or self.vault_roles:
            self._check_vault()

    @property
    def signs_in(self) -> bool:
        """Whether there is a Vault to ask, for more than the key of the store."""
        return self.vault == "hashicorp" or bool(self.vault_token or self.vault_role)

    def _check_database(self) -> None:
        if self.database_url is None:
            return
        if not self.database_url.reveal().startswith("postgresql+asyncpg://"):
            raise ValueError(
                "DATABASE_URL expects postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE"
            )
        if not (self.key or self.passphrase or self.vault_transit_key):
            raise ValueError(
                "DATABASE_URL expects KEY, PASSPHRASE or VAULT_TRANSIT_KEY, the same for every "
                "replica: a key of one home would lock the others out"
            )
        if self.vault_wrapped_secret_id:
            raise ValueError(
                "VAULT_WRAPPED_SECRET_ID opens once, for one replica: with DATABASE_URL give "
                "VAULT_SECRET_ID, or VAULT_AUTH=kubernetes"
            )

    def _check_vault(self) -> None:
        if self.vault_auth == "token":
            if not self.vault_token:
                raise ValueError("VAULT_AUTH=token expects VAULT_TOKEN or VAULT_TOKEN_FILE")
            return
        if not self.vault_role:
            raise ValueError(f"VAULT_AUTH={self.vault_auth} expects VAULT_ROLE")
        one = bool(self.vault_secret_id) != bool(self.vault_wrapped_secret_id)
        if self.vault_auth == "approle" and not one:
            raise ValueError(
                "VAULT_AUTH=approle expects one of VAULT_SECRET_ID and VAULT_WRAPPED_SECRET_ID"
            )
