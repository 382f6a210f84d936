"""A real Vault or OpenBao: the one that VAULT_ADDR and VAULT_TOKEN name, or a development server
started from a `vault` or `bao` binary."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import hvac
import requests

from servicekit.ports import free_port

_START_S = 20.0


@dataclass(frozen=True)
class Server:
    url: str
    token: str


@contextmanager
def found(environ: Mapping[str, str]) -> Iterator[Server | None]:
    """None where there is none."""
    if "VAULT_ADDR" in environ:
        yield Server(environ["VAULT_ADDR"], environ["VAULT_TOKEN"])
        return
    binary = shutil.which("vault") or shutil.which("bao")
    if binary is None:
        yield None
        return
    with _started(binary) as server:
        yield server


@contextmanager
def _started(binary: str) -> Iterator[Server]:
    """In memory; a development server has KV version 2 at "secret" already."""
    token, address = f"root-{uuid.uuid4().hex}", f"127.0.0.1:{free_port()}"
    flags = ["-dev", f"-dev-root-token-id={token}", f"-dev-listen-address={address}"]
    words = [binary, "server", *flags, "-dev-no-store-token"]
    silent = subprocess.DEVNULL
    process = subprocess.Popen(words, stdout=silent, stderr=silent)
    try:
        _wait(f"http://{address}", token)
        yield Server(f"http://{address}", token)
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, token: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            if hvac.Client(url=url, token=token).is_authenticated():
                return
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
