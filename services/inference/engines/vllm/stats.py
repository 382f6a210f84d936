"""What vLLM's scheduler says of itself."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Stats:
    """As of the scheduler's last step."""

    running: int = 0
    waiting: int = 0
    cache_used_fraction: float = 0.0
    cached_tokens: int = 0
    asked_tokens: int = 0

    def factory(self) -> Any:
        """For `stat_loggers`, whose base class is there only where vLLM is."""
        from vllm.v1.metrics.loggers import StatLoggerBase

        stats = self

        class Recorder(StatLoggerBase):  # type: ignore[misc]
            def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
                pass

            def record(
                self,
                scheduler_stats: Any,
                iteration_stats: Any,
                mm_cache_stats: Any = None,
                engine_idx: int = 0,
            ) -> None:
                if scheduler_stats is not None:
                    stats.take(scheduler_stats)

            def log_engine_initialized(self) -> None:
                pass

        return Recorder

    def take(self, step: Any) -> None:
        self.running, self.waiting = step.num_running_reqs, step.num_waiting_reqs
        self.cache_used_fraction = step.kv_cache_usage
        self.cached_tokens += step.prefix_cache_stats.hits
        self.asked_tokens += step.prefix_cache_stats.queries
