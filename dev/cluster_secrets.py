"""The Secrets that the manifests in k8s/ name, with new random values, for a first cluster.

    python -m dev.cluster_secrets | kubectl apply -f -

Prints manifests on standard output: keys, a first API key, the password of the PostgreSQL in the
cluster, and certificates of the services for 90 days. Each run makes all of them anew, so run it
once; --only-certificates makes those, under an authority that is new too: roll all services after
it. In production let cert-manager make the certificates (--no-certificates) and keep the rest in a
vault (k8s/components/external-secrets).
"""

import argparse
import base64
import hashlib
import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from dev.certs import DAYS, issue
from dev.names import NAMES

NAMESPACE = "isobath"
SANDBOXES = "isobath-sandboxes"
# in its own pod, what runs the program of one session
SANDBOX_POD = "sandbox_pod"
_LABELS = {"app.kubernetes.io/part-of": "isobath"}
Manifest = dict[str, object]
_AZURITE = (
    "DefaultEndpointsProtocol=http;BlobEndpoint=http://azurite:10000/isobath;"
    "AccountName=isobath;AccountKey="
)


@dataclass(frozen=True)
class Wanted:
    """`database_url`, of the gateways, and `credentials_url`: "" = the PostgreSQL of the component
    postgres, and Azurite for files. `files`: the connection string of another account; "" = the
    pods' own identity. `plaintext`: tokens instead of certificates. `model_key`: of a model server
    elsewhere; "" = none."""

    database_url: str = ""
    credentials_url: str = ""
    files: str = ""
    keys: bool = True
    certificates: bool = True
    plaintext: bool = False
    model_key: str = ""
    days: float = DAYS


def manifests(wanted: Wanted) -> Iterator[Manifest]:
    if wanted.keys:
        yield from _keys(wanted)
    if wanted.plaintext:
        yield from _tokens()
    elif wanted.certificates:
        yield from _certificates(wanted.days)


def _keys(wanted: Wanted) -> Iterator[Manifest]:
    password = secrets.token_urlsafe(24)
    sealed = secrets.token_urlsafe(24)
    yield secret(
        "gateway",
        {
            "database-url": wanted.database_url or _inside("isobath", password),
            "key-hash": secrets.token_urlsafe(32),
            "api-key": f"isb-{secrets.token_urlsafe(32)}",
        },
    )
    yield secret(
        "credentials",
        {
            "database-url": wanted.credentials_url or _inside("credentials", sealed),
            "key": Fernet.generate_key().decode(),
        },
    )
    if not wanted.database_url:
        yield secret("postgres", {"password": password, "credentials-password": sealed})
        account = base64.b64encode(secrets.token_bytes(64)).decode()
        yield secret("azurite", {"accounts": f"isobath:{account}"})
        yield secret("gateway-files", {"connection-string": _AZURITE + account})
    elif wanted.files:
        yield secret("gateway-files", {"connection-string": wanted.files})
    if wanted.model_key:
        yield secret("model-key", {"key": wanted.model_key})


def _inside(name: str, password: str) -> str:
    """The role and the database of that name in the cluster's own PostgreSQL."""
    return f"postgresql+asyncpg://{name}:{password}@postgres:5432/{name}"


def secret(name: str, values: Mapping[str, str], namespace: str = NAMESPACE) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": _LABELS},
        "stringData": dict(values),
    }


def hosts(identity: str) -> tuple[str, ...]:
    """The names that a service is called by within the cluster."""
    name = workload(identity)
    within = f"{name}.{namespace(identity)}"
    return (name, within, f"{within}.svc", f"{within}.svc.cluster.local")


def workload(identity: str) -> str:
    return identity.replace("_", "-")


def namespace(identity: str) -> str:
    return SANDBOXES if identity.startswith("sandbox") else NAMESPACE


def _certificates(days: float) -> Iterator[Manifest]:
    with tempfile.TemporaryDirectory() as folder:
        for identity in (*NAMES, SANDBOX_POD):
            files = issue(Path(folder), (identity,), hosts=hosts(identity), days=days)
            values = {
                "tls.crt": files.cert(identity).read_text(),
                "tls.key": files.key(identity).read_text(),
                "ca.crt": files.ca.read_text(),
            }
            yield secret(f"{workload(identity)}-tls", values, namespace(identity))


def _tokens() -> Iterator[Manifest]:
    tokens = {identity: secrets.token_urlsafe(32) for identity in NAMES}
    hashes = {who: hashlib.sha256(token.encode()).hexdigest() for who, token in tokens.items()}
    for identity, token in tokens.items():
        yield secret(f"{workload(identity)}-token", {"token": token}, namespace(identity))
    for place in (NAMESPACE, SANDBOXES):
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "isobath-callers", "namespace": place, "labels": _LABELS},
            "data": {"callers.json": json.dumps(hashes)},
        }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--database-url-file",
        type=Path,
        help="holds postgresql+asyncpg://…, where the database lies outside of the cluster",
    )
    parser.add_argument(
        "--credentials-database-url-file",
        type=Path,
        help="the same, of the database of the credential service",
    )
    parser.add_argument(
        "--files-connection-string-file",
        type=Path,
        help="holds that of the storage account of the gateways' files, there",
    )
    parser.add_argument("--model-key-file", type=Path, help="holds the key of a model server")
    identity = parser.add_mutually_exclusive_group()
    identity.add_argument(
        "--no-certificates", action="store_true", help="cert-manager makes those of the services"
    )
    identity.add_argument("--only-certificates", action="store_true", help="and no keys")
    identity.add_argument(
        "--plaintext", action="store_true", help="for the component plaintext: tokens instead"
    )
    parser.add_argument("--days", type=float, default=DAYS, help="that certificates are valid")
    asked = parser.parse_args(arguments)
    if bool(asked.database_url_file) != bool(asked.credentials_database_url_file):
        parser.error("--database-url-file and --credentials-database-url-file go together")
    wanted = Wanted(
        database_url=_read(asked.database_url_file),
        credentials_url=_read(asked.credentials_database_url_file),
        files=_read(asked.files_connection_string_file),
        keys=not asked.only_certificates,
        certificates=not asked.no_certificates,
        plaintext=asked.plaintext,
        model_key=_read(asked.model_key_file),
        days=asked.days,
    )
    print("\n---\n".join(map(json.dumps, manifests(wanted))))


def _read(path: Path | None) -> str:
    return path.read_text().strip() if path else ""


if __name__ == "__main__":
    main()
