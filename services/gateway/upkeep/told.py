"""What a command says and ends with."""

import argparse
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from services.gateway.settings import Settings

FAILED, UNUSABLE = 1, 2


@dataclass(frozen=True)
class Told:
    """Lines for stdout, or for stderr where it failed, and the exit code."""

    lines: list[str]
    code: int = 0

    @property
    def has_failed(self) -> bool:
        return self.code in (FAILED, UNUSABLE)


Action = Callable[[Settings, argparse.Namespace], Coroutine[Any, Any, Told]]
Commands = Any  # argparse has no public name for it
