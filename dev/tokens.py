"""Service identities for Kubernetes: random tokens as Secrets, their hashes as the callers'
ConfigMap.

    python -m dev.tokens | kubectl apply -n isobath -f -

Prints manifests on standard output; each run makes new tokens, so roll the services after it.
"""

import hashlib
import json
import secrets

from cryptography.fernet import Fernet

IDENTITIES = (
    "gateway",
    "credentials",
    "pg_connector",
    "blob_connector",
    "file_connector",
    "sandbox",
    "inference",
)


def _secret(name: str, field: str, value: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "isobath"}},
        "stringData": {field: value},
    }


def manifests() -> list[dict[str, object]]:
    """A Secret per service, one for the store's key, and the ConfigMap of hashes."""
    tokens = {identity: secrets.token_urlsafe(32) for identity in IDENTITIES}
    hashes = {who: hashlib.sha256(token.encode()).hexdigest() for who, token in tokens.items()}
    callers: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "isobath-callers",
            "labels": {"app.kubernetes.io/part-of": "isobath"},
        },
        "data": {"callers.json": json.dumps(hashes)},
    }
    named = (
        _secret(f"isobath-token-{identity.replace('_', '-')}", "token", token)
        for identity, token in tokens.items()
    )
    key = _secret("isobath-credentials-key", "key", Fernet.generate_key().decode())
    return [*named, key, callers]


if __name__ == "__main__":
    print("\n---\n".join(json.dumps(each) for each in manifests()))
