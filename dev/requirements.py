"""Print which requirements of `docs/requirements.md` had a passing test in the last `make test`."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / ".pytest_cache" / "requirements.json"


def listed() -> dict[str, str]:
    """Ids and their sentences, in order."""
    lines = (ROOT / "docs/requirements.md").read_text().splitlines()
    found = (re.match(r"- ([A-Z]\d+) (.*)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def report(shown: dict[str, list[str]]) -> str:
    """A line for each id: how many passing tests show it."""
    rows = [
        f"{'✓' if shown.get(each) else '·'} {each:4} {len(shown.get(each, [])):3} tests  {text}"
        for each, text in listed().items()
    ]
    met = sum(1 for each in listed() if shown.get(each))
    return "\n".join([*rows, f"{met} of {len(rows)} have a passing test"])


if __name__ == "__main__":
    if not RECORD.is_file():
        raise SystemExit("No record: run `make test` first.")
    print(report(json.loads(RECORD.read_text())))
