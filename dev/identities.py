"""A token for each service, and the table by which servers know it again."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.certs import Certificates
from dev.home import write_private


@dataclass(frozen=True)
class Identities:
    """`callers` is the file {identity: sha256 of its token}; `tokens` the file of each identity;
    `certificates` where the services show them."""

    callers: Path
    tokens: Mapping[str, Path]
    certificates: Certificates | None = None


def issue(
    names: Iterable[str], folder: Path, certificates: Certificates | None = None
) -> Identities:
    """Make new tokens for these identities, in files of 0600."""
    tokens = {name: secrets.token_urlsafe(32) for name in names}
    files = {name: folder / "tokens" / name for name in tokens}
    for name, token in tokens.items():
        write_private(files[name], token)
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in tokens.items()}
    callers = folder / "callers.json"
    write_private(callers, json.dumps(digests))
    return Identities(callers, files, certificates)
