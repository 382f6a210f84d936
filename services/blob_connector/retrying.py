"""How long to wait before an account is asked again: what it says, or doubling with jitter."""

import random
from collections.abc import Mapping
from typing import Any

from azure.storage.blob.aio import ExponentialRetry

# 0.2, 0.4, 0.8 … s, each times 0.5 to 1
FIRST_WAIT_S = 0.2
# an account that asks for more is not waited for: the caller is told instead
LONGEST_WAIT_S = 30.0
_TOLD = "told_wait_s"


def wait_s(attempt: int) -> float:
    """How long to wait before the try that follows `attempt` tries (1, 2 …)."""
    return FIRST_WAIT_S * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311


def told_wait_s(headers: Mapping[str, str]) -> float:
    """What Retry-After says in seconds, or x-ms-retry-after-ms; 0 where it says nothing, or a date,
    which Azure Storage does not send."""
    for name, unit in (
        ("x-ms-retry-after-ms", 0.001),
        ("retry-after-ms", 0.001),
        ("Retry-After", 1),
    ):
        text = headers.get(name, "")
        if text.isascii() and text.isdigit():
            return min(int(text) * unit, 3600.0)
    return 0.0


class Retry(ExponentialRetry):
    """The SDK's own jitter is of whole seconds, and it does not look at Retry-After."""

    def __init__(self, tries: int) -> None:
        super().__init__(
            retry_total=tries, retry_connect=tries, retry_read=tries, retry_status=tries
        )

    def increment(
        self, settings: dict[str, Any], request: Any, response: Any = None, error: Any = None
    ) -> bool:
        """Whether to ask again."""
        settings[_TOLD] = 0.0 if response is None else told_wait_s(response.headers)
        again: bool = super().increment(settings, request, response, error)
        return again and settings[_TOLD] <= LONGEST_WAIT_S

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        return max(float(settings.get(_TOLD, 0)), wait_s(max(1, int(settings["count"]))))
