"""The keys, passwords and certificates of compose.yaml, each service's in a folder of its own.

    python -m dev.compose_secrets [FOLDER] [--days 90]

What is there already stays, so that data written under it can still be read; certificates are made
anew each time, and running services take them up. Containers read the files under accounts of their
own: what keeps others of this host out is FOLDER, which only its owner may enter.
"""

import argparse
import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from dev.certs import DAYS, Certificates, issue
from dev.names import NAMES

FOLDER = Path("secrets")
# beside the services; it has no identity of the platform's, and calls nobody
VAULT = "vault"
_AUTHORITY = "authority"


def write(folder: Path, days: float = DAYS) -> list[Path]:
    """Raises ValueError for an authority's key that is not its own. The files that are new."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    password = _kept(folder / "postgres" / "password", lambda: secrets.token_urlsafe(24))
    new = [path for path, value in _values(password).items() if _make(folder / path, value)]
    _certify(folder, days)
    return [folder / path for path in new]


def _values(password: str) -> dict[str, Callable[[], str]]:
    def account() -> str:
        return base64.b64encode(secrets.token_bytes(64)).decode()

    url = f"postgresql+asyncpg://isobath:{password}@postgres:5432/isobath"
    return {
        "postgres/password": lambda: password,
        "gateway/database-url": lambda: url,
        "gateway/key-hash": lambda: secrets.token_urlsafe(32),
        "gateway/api-key": lambda: f"isb-{secrets.token_urlsafe(32)}",
        "credentials/key": lambda: Fernet.generate_key().decode(),
        "azurite/accounts.env": lambda: f"AZURITE_ACCOUNTS=isobath:{account()}\n",
    }


def _kept(path: Path, made: Callable[[], str]) -> str:
    return path.read_text() if path.exists() else made()


def _make(path: Path, made: Callable[[], str]) -> bool:
    if path.exists():
        return False
    _write(path, made().encode())
    return True


def _certify(folder: Path, days: float) -> None:
    """For each service what it shows and whom it believes, from an authority that is kept apart."""
    files = issue(folder / _AUTHORITY, (*NAMES, VAULT), days=days)
    # two services of that identity, under a name each
    issue(folder / _AUTHORITY, ("inference",), hosts=("inference-gpu",), days=days)
    for identity in (*NAMES, VAULT):
        _install(files, identity, folder / identity.replace("_", "-"))


def _install(files: Certificates, identity: str, own: Path) -> None:
    # between the two a service has the old pair in force: they do not fit together
    _write(own / "ca.crt", files.ca.read_bytes())
    _write(own / "tls.key", files.key(identity).read_bytes())
    _write(own / "tls.crt", files.cert(identity).read_bytes())


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o755)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.chmod(0o444)
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("ISOBATH_SECRETS") or FOLDER)
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    parser.add_argument("--days", type=float, default=DAYS, help="of a service's certificate")
    asked = parser.parse_args()
    new = write(asked.folder, asked.days)
    print(f"{asked.folder}: certificates for {asked.days:g} days, and {len(new)} new secrets")
    print(f"The first API key lies in {asked.folder / 'gateway' / 'api-key'}")


if __name__ == "__main__":
    main()
