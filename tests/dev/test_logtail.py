import json
from pathlib import Path

from dev.logtail import last_words


def test_last_words_tell_events_and_traces_and_leave_other_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    record = {"time": "now", "level": "error", "event": "failed", "error": "OSError"}
    log.write_text(
        "python: no such file\n" + json.dumps(record | {"trace": "Traceback:\n  line"}) + "\n3\n"
    )
    assert last_words(log) == (
        "python: no such file\nerror failed error=OSError\nTraceback:\n  line\n3"
    )


def test_last_words_of_no_log_are_none(tmp_path: Path) -> None:
    assert last_words(tmp_path / "none") == ""
