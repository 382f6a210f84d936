"""Where a model with a new adapter comes from: Unsloth on a GPU, PEFT anywhere."""

import importlib
import importlib.util

from training.tuning.backends.port import Backend
from training.tuning.options import Options
from training.unusable import Unusable


def chosen(options: Options) -> Backend:
    """To be called before TRL, transformers or PEFT is imported: Unsloth patches them. Raises
    Unusable."""
    gpu = bool(importlib.import_module("torch").cuda.is_available())
    there = importlib.util.find_spec("unsloth") is not None
    name = options.backend
    if name == "auto":
        name = "unsloth" if gpu and there else "trl"
    if options.load_in_4bit and not gpu:
        raise Unusable(
            "--load-in-4bit needs a GPU: bitsandbytes has no kernels for this machine's CPU."
        )
    if name == "trl":
        from training.tuning.backends.trl import Trl

        return Trl(gpu=gpu)
    if not gpu:
        raise Unusable("--backend unsloth needs a GPU. Use --backend trl, which runs anywhere.")
    if not there:
        raise Unusable("--backend unsloth needs its package: uv pip install unsloth")
    from training.tuning.backends.unsloth import Unsloth

    return Unsloth()
