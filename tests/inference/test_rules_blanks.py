"""How many rows have no value: in the words that people use for it."""

from pathlib import Path

import pandas as pd
import pytest

from tests.inference.rules_data.loop import ask

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("members")
    members = pd.DataFrame(
        {
            "member_id": range(1, 301),
            "name": [f"Member {n}" for n in range(1, 301)],
            "phone": [None if n % 7 == 0 else f"555-{n:04}" for n in range(1, 301)],
            "fee": [float(20 + n % 9) for n in range(1, 301)],
        }
    )
    members.to_csv(made / "members.csv", index=False)
    return made


@pytest.mark.parametrize(
    "question",
    [
        "How many members have no phone?",
        "How many members are there without a phone?",
        "For how many members don't we have a phone?",
        "How many members don't have any phone?",
        "How many members do not have a phone?",
    ],
)
def test_rows_without_a_value_are_counted(folder: Path, question: str) -> None:
    found = ask(question, folder)
    assert not found.failed
    head = found.answer.replace("*", "").splitlines()
    assert any(": 42" in line for line in head[:3]), found.answer
    assert "did not understand" not in found.answer


def test_rows_with_a_value_are_not_mistaken_for_those(folder: Path) -> None:
    assert ": 300" in ask("How many members are there?", folder).answer
