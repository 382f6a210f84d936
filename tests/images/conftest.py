"""The images, built once for a run. Only `make images-check` does that: it needs root, podman, and
minutes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.containers import Engine
from tests.images.stages import SERVICES

if not os.environ.get("ISOBATH_IMAGES"):
    collect_ignore_glob = ["test_built*.py"]


@pytest.fixture(scope="session")
def engine() -> Engine:
    kept = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    made = Engine(Path(os.environ.get("ISOBATH_IMAGES_STORE") or f"{kept}/isobath-images"))
    made.prepare()
    return made


@pytest.fixture(scope="session")
def images(engine: Engine) -> Iterator[dict[str, str]]:
    """Of each service the image's name, all built from the Dockerfile as it is."""
    yield {target: engine.build(target) for target in SERVICES}
