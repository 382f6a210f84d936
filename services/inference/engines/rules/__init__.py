"""The embedded analyst: deterministic, without a model; `respond` gives its next turn."""

from .analyst import respond

__all__ = ["respond"]
