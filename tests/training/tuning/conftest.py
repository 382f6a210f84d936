"""A tiny model with a vocabulary learned from the samples, and whether it can be trained here."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.training.tuning import samples

INSTALLED = importlib.util.find_spec("trl") is not None
TEMPLATE = Path(__file__).resolve().parents[3] / "training" / "chat_template.jinja"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not INSTALLED:
        skip = pytest.mark.skip(reason="trl is not in this environment (make test-training)")
        for item in items:
            if item.get_closest_marker("training"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def conversations() -> list[dict[str, Any]]:
    return [samples.conversation(number, rounds=1) for number in range(4)]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, conversations: list[dict[str, Any]]) -> Path:
    return samples.written(tmp_path_factory.mktemp("data") / "messages.jsonl", conversations)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, conversations: list[dict[str, Any]]) -> Path:
    from tests.inference import tiny_model

    return tiny_model.make(
        tmp_path_factory.mktemp("base"), template=TEMPLATE.read_text(),
        texts=samples.texts(conversations), vocabulary=700, decided=True,
    )  # fmt: skip
