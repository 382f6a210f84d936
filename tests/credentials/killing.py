"""Works on a store, once for each write of it, and is killed at that one.

    LD_PRELOAD=deadly.so python -m tests.credentials.killing FOLDER

The shim (see SHIM) kills the process at the n-th call that changes a file. Each time a fresh child
does the same work in a folder of its own, and writes beside it what had been answered by then.
"""

import asyncio
import ctypes
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from grants.revocations import Revocation
from servicekit.secrets import Secret
from services.credentials import revoking, store
from services.credentials.audit import load
from services.credentials.clock import Clock
from services.credentials.home import Home
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.vaults.port import Change

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>
static volatile long left = 0;
void arm(long n) { left = n; }
long unused(void) { return left; }
static void maybe(void) { if (left > 0 && __sync_sub_and_fetch(&left, 1) == 0) kill(getpid(), 9); }
#define DEADLY(type, name, parameters, ...) \
  type name parameters { \
    static type (*real) parameters; \
    if (!real) real = (type (*) parameters) dlsym(RTLD_NEXT, #name); \
    maybe(); return real(__VA_ARGS__); }
DEADLY(ssize_t, pwrite64, (int f, const void *b, size_t n, off_t o), f, b, n, o)
DEADLY(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), f, b, n, o)
DEADLY(int, ftruncate64, (int f, off_t n), f, n)
DEADLY(int, ftruncate, (int f, off_t n), f, n)
DEADLY(int, fdatasync, (int f), f)
DEADLY(int, fsync, (int f), f)
DEADLY(int, rename, (const char *a, const char *b), a, b)
DEADLY(int, unlink, (const char *a), a)
DEADLY(int, unlinkat, (int d, const char *a, int f), d, a, f)
"""
FAR = 1_000_000


async def work(home: Path, answered: int) -> None:
    """Each kind of write; after each one that is done, its name goes to `answered`."""

    def done(what: str) -> None:
        os.write(answered, what.encode() + b"\n")

    def change(value: str) -> Change:
        return Change("ds-1", "owner-1", {"password": Secret(value)}, binding="here")

    now = datetime.now(UTC)
    async with store.opened(Home(home)) as kept:
        vault = EmbeddedVault(kept)
        await vault.put(change("one"), now)
        done("one")
        trail = await load(kept, Clock())
        async with trail.audited("act"):
            pass
        done("audit")
        await kept.reseal()
        done("resealed")
        await vault.put(change("two"), now)
        done("two")
        ledger = await revoking.load(kept, now)
        await ledger.add(Revocation("source", "ds-1", now))
        done("revoked")
        await vault.delete("ds-1")
        done("deleted")


def child(folder: Path, at: int, shim: ctypes.CDLL) -> None:
    answered = os.open(folder / f"{at}.answered", os.O_WRONLY | os.O_CREAT, 0o600)
    shim.arm(at)
    asyncio.run(work(folder / str(at), answered))
    os._exit(0 if shim.unused() else 1)


def main() -> None:
    """One folder for each write, until one is not reached any more."""
    folder, shim = Path(sys.argv[1]), ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.arm.argtypes, shim.unused.restype = [ctypes.c_long], ctypes.c_long
    for at in range(1, FAR):
        if not (pid := os.fork()):
            child(folder, at, shim)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            print(at - 1, flush=True)
            return


if __name__ == "__main__":
    main()
