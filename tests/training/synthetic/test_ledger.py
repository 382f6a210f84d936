"""A generation is taken up from what was asked to its end."""

from pathlib import Path

import pytest

from training.synthetic.ledger import Header, LedgerError, opened

pytestmark = pytest.mark.req("T3")

HEADER = Header("train", 1, 6)


def test_ledger_goes_on_behind_the_last_schema_that_was_asked_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with opened(path, HEADER, resume=False) as ledger:
        ledger.add(0, ['{"run_id":"a"}\n', '{"run_id":"b"}\n'], {"share": "wrong value"})
        ledger.add(2, ['{"run_id":"c"}\n'], {})
    # killed in the middle of a line of each
    for file, torn in ((path, '{"run_id":'), (tmp_path / "runs.jsonl.asked", '{"number": 3')):
        file.write_text(file.read_text() + torn)
    with opened(path, HEADER, resume=True) as ledger:
        assert ledger.tally.numbers == {0, 2}
        assert (ledger.tally.right, ledger.tally.asked) == (3, 4)
        assert ledger.tally.wrong == {"share: wrong value": 1}
        ledger.add(1, ['{"run_id":"d"}\n'], {})
    assert path.read_text().splitlines() == [f'{{"run_id":"{name}"}}' for name in "abcd"]
    with opened(path, HEADER, resume=True) as ledger:
        assert ledger.tally.numbers == {0, 1, 2}


def test_ledger_without_its_side_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text("of somebody else\n")
    with pytest.raises(LedgerError, match="not there"), opened(path, HEADER, resume=True):
        pass
    assert path.read_text() == "of somebody else\n"


@pytest.mark.parametrize(
    "other", [Header("kin", 1, 6), Header("train", 2, 6), Header("train", 1, 5)]
)
def test_ledger_of_another_generation_is_refused(tmp_path: Path, other: Header) -> None:
    path = tmp_path / "runs.jsonl"
    with opened(path, HEADER, resume=False) as ledger:
        ledger.add(0, ["{}\n"], {})
    with pytest.raises(LedgerError, match="of another part"), opened(path, other, resume=True):
        pass
    with pytest.raises(LedgerError, match="--resume"), opened(path, HEADER, resume=False):
        pass
    assert path.read_text() == "{}\n"
