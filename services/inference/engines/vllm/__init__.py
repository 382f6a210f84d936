"""vLLM in this process: `opened` gives the engine."""

from .opening import opened

__all__ = ["opened"]
