"""Which failed calls are made again, and after how long. Values in, values out.

A call that was refused for now (RESOURCE_EXHAUSTED with RetryInfo) had no effect, so that any call
may be made again; one that was lost (the gateway does not answer) may have had one, so that only
calls without effect, or with an idempotency key, are. The waits grow from one to the next and are
drawn at random below that (AWS Architecture Blog, "Exponential Backoff And Jitter": full jitter),
so that many clients do not come back at the same moment.
"""

from dataclasses import dataclass

from isobath_client.errors import Cancelled, Internal, IsobathError, TooBusy, Unavailable

# the gateway itself; a source or a model that does not answer was tried again by the platform
LOST = "SERVICE_UNAVAILABLE"


@dataclass(frozen=True)
class Retries:
    """How patient a client is."""

    # of one call, the first try included
    attempts: int = 4
    first_s: float = 0.1
    most_s: float = 5.0
    # how long the events of a run are asked for again after they broke off, from the last one on
    resume_s: float = 120.0

    def of_call(
        self, error: IsobathError, failures: int, *, safe: bool, drawn: float
    ) -> float | None:
        """Seconds to wait before a call is made again, None = it is not. `failures` counts from 1,
        `drawn` is a random number of 0 … 1."""
        again = _refused_for_now(error) or (safe and _lost(error))
        if not again or failures >= self.attempts:
            return None
        return self._wait(error, failures, drawn)

    def of_stream(
        self, error: IsobathError, failures: int, since_s: float, *, drawn: float
    ) -> float | None:
        """The same for events that broke off, `since_s` after the first failure in a row."""
        again = _refused_for_now(error) or _lost(error) or _torn(error)
        if not again or since_s >= self.resume_s:
            return None
        return self._wait(error, failures, drawn)

    def _wait(self, error: IsobathError, failures: int, drawn: float) -> float | None:
        told = error.retry_after_s or 0.0
        if told > self.most_s:
            return None
        below: float = min(self.most_s, self.first_s * 2.0**failures)
        return told + drawn * below


DEFAULT = Retries()
NEVER = Retries(attempts=1, resume_s=0.0)


def _refused_for_now(error: IsobathError) -> bool:
    return isinstance(error, TooBusy) and error.retry_after_s is not None


def _lost(error: IsobathError) -> bool:
    return isinstance(error, Unavailable) and error.reason == LOST


def _torn(error: IsobathError) -> bool:
    """Reset by a proxy or a dying server: the platform's own errors have a request id."""
    return isinstance(error, Internal | Cancelled) and "request_id" not in error.fields
