"""vLLM in this process: `opened` gives the engine, `following` the adapters of a folder."""

from .folder import following
from .opening import opened

__all__ = ["following", "opened"]
