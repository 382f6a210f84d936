"""Whom kernels run as: as root, an account of its own for each; else whoever runs the service."""

import os
from pathlib import Path

from services.sandbox.isolation.port import Account

# Between the ranges that distributions give to people, to containers and to systemd.
_HIGH_BASE = 231_072
# where a container maps 65,536 accounts only; below systemd's dynamic ones (61,184)
_LOW_BASE = 60_600


class Accounts:
    """Gives an account for each slot and takes it back."""

    def __init__(self, count: int, base: int | None = None) -> None:
        self._switch = os.geteuid() == 0
        start = base if base is not None else base_uid(count)
        self._free = list(range(start + count - 1, start - 1, -1))

    def probing(self) -> Account:
        """One to try things with."""
        return self._account(self._free[-1]) if self._switch else Account.own()

    def take(self) -> Account:
        """Raises IndexError when all are taken: the pool has as many slots."""
        return self._account(self._free.pop()) if self._switch else Account.own()

    def give_back(self, account: Account) -> None:
        if account.switch:
            self._free.append(account.uid)

    def _account(self, uid: int) -> Account:
        return Account(uid, uid, switch=True)


def base_uid(count: int) -> int:
    return _HIGH_BASE if _mapped(_HIGH_BASE + count) else _LOW_BASE


def _mapped(uid: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, length = map(int, line.split())
        if first <= uid < first + length:
            return True
    return False
