"""ISOBATH_GATEWAY_KEEP_…"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class KeepSettings:
    """For how long what is kept."""

    # runs that have ended, with their events; 0 = as long as their thread (THREAD_TTL_S)
    runs_days: float = 0.0
    # what the model saw and wrote in each run, word by word, as training reads it; no = what was
    # kept before is cleared
    conversations: bool = True
    # runs without a thread: those of a model without the analyst; 0 = for ever
    plain_runs_days: float = 30.0
    # what runs left; 0 = as long as their thread
    artifacts_days: float = 0.0
    # what users brought; 0 = until they delete it, or the time that they gave it is over
    uploads_days: float = 0.0
    # what callers used on each day; 0 = for ever
    usage_days: float = 0.0
    # who did what to which data; 0 = for ever
    audit_days: float = 0.0
    # bytes that belong to no file, such as those of an upload that was cut off; longer than any
    # upload takes
    orphans_days: float = 1.0
    # how often gateways clear, one of several at a time; 0 = only the command
    # `python -m services.gateway clean` does
    clean_s: float = 3600.0

    def __post_init__(self) -> None:
        if any(getattr(self, each.name) < 0 for each in fields(self)):
            raise ValueError("…_DAYS and CLEAN_S expect 0 or more")
        if self.orphans_days * 24 < 1:
            raise ValueError("ORPHANS_DAYS expects an hour or more: 0.05")
