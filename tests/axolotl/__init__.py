"""Axolotl's own code on training/axolotl.yaml, in an environment of its own (make test-axolotl)."""
