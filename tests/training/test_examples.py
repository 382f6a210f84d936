"""The example conversations are well-formed, true, and what the platform does."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.gateway.tags import ANALYZE, ANSWER, CODE, UNDERSTAND, Closed, Opened, Text, parse
from training.data.record import Message, Record
from training.data.record import parsed as record_of
from training.data.scrub.record import scrub
from training.data.scrub.table import chosen
from training.evaluation import apart, seen
from training.evaluation.dataset import Words
from training.examples.__main__ import DATA
from training.examples.conversation import example, lacking, normal
from training.examples.model import Unscripted, question_of
from training.examples.task import Task, TaskError, parsed, tasks
from training.examples.world import exactly
from training.examples.worlds import WORLDS

ROOT = Path(__file__).resolve().parents[2]
RECORDED: list[dict[str, Any]] = [json.loads(each) for each in DATA.read_text().splitlines()]
TASKS = tasks()
NAMES = [each["id"] for each in RECORDED]


def by_name(task: Task) -> dict[str, Any]:
    names = [task.id, *(f"{task.id}/{number}" for number in range(2, len(task.asks) + 1))]
    return dict(zip(names, task.asks, strict=True))


ASKS = {name: ask for task in TASKS for name, ask in by_name(task).items()}


# The data set


@pytest.mark.req("T1")
def test_every_task_is_recorded_and_nothing_else() -> None:
    assert list(ASKS) == NAMES
    assert len({ask.question for ask in ASKS.values()}) == len(ASKS) == len(RECORDED)


@pytest.mark.req("T1")
@pytest.mark.parametrize("record", RECORDED, ids=NAMES)
def test_conversation_is_one_that_a_model_could_have_had(record: dict[str, Any]) -> None:
    assert set(record) == {"id", "source", "messages"}
    told = record["messages"]
    assert all(set(each) == {"role", "content", "train"} and each["content"] for each in told)
    asked = max(at for at, each in enumerate(told) if each["role"] == "user")
    # the question, then turns and what their programs printed
    roles = [each["role"] for each in told[asked:]]
    assert roles[0] == "user" and roles[-1] == "assistant"
    assert all(
        role == ("execute" if at % 2 == 0 else "assistant") for at, role in enumerate(roles[1:], 1)
    )
    for each, after in zip(told[asked:], [*told[asked + 1 :], {"content": ""}], strict=True):
        failed = "Traceback (most recent call last):" in after["content"]
        assert each["train"] == (each["role"] == "assistant" and not failed)
    assert not any(each["train"] for each in told[:asked])
    assert told[asked]["content"].startswith("# Instruction\n")


@pytest.mark.req("T1")
@pytest.mark.parametrize("record", RECORDED, ids=NAMES)
def test_turns_are_written_as_the_model_has_to_write_them(record: dict[str, Any]) -> None:
    told = record["messages"]
    asked = max(at for at, each in enumerate(told) if each["role"] == "user")
    turns = [each["content"] for each in told[asked:] if each["role"] == "assistant"]
    for at, turn in enumerate(turns):
        events = parse(turn)
        kinds = [each.kind for each in events if isinstance(each, Opened)]
        assert set(kinds) <= {ANALYZE, UNDERSTAND, CODE, ANSWER}
        assert all(each.source for each in events if isinstance(each, Closed)), (
            "a tag is not closed"
        )
        outside = [each.source for each in events if isinstance(each, Text) and not each.kind]
        assert "".join(outside).strip() == "", "text outside of the tags"
        assert kinds[-1] == (ANSWER if at == len(turns) - 1 else CODE)
        assert kinds.count(CODE) + kinds.count(ANSWER) == 1
        code = "".join(
            each.source for each in events if isinstance(each, Text) and each.kind == CODE
        )
        assert not code or re.fullmatch(r"\n```python\n.+\n```\n", code, re.DOTALL)


@pytest.mark.req("T1")
@pytest.mark.parametrize("record", RECORDED, ids=NAMES)
def test_nothing_that_looks_like_a_secret_or_a_place_is_told(record: dict[str, Any]) -> None:
    messages = tuple(Message(each["role"], each["content"]) for each in record["messages"])
    _, removed = scrub(Record(record["id"], messages), chosen(()))
    assert not removed
    for each in messages:
        assert not re.search(r"/work/|/tmp/|/home/|isobath-examples|127\.0\.0\.1", each.content)


@pytest.mark.req("T1")
@pytest.mark.parametrize("world", WORLDS)
def test_answers_state_what_is_true_of_the_data(world: str) -> None:
    """The truths are worked out with pandas from the frames that the data was made from."""
    truths = WORLDS[world]().truths
    found = {each["id"]: each["messages"][-1]["content"] for each in RECORDED}
    languages = {name: task.language for task in TASKS for name in by_name(task)}
    assert set(truths) == {each["id"] for each in RECORDED if each["source"] == world}
    for name, truth in truths.items():
        answer = found[name].partition("<Answer>")[2]
        assert truth and lacking(answer, truth, language=languages[name]) == [], name
        asked = ASKS[name].question
        assert lacking(asked, truth, language=languages[name]), f"{name}: the question would do"


def test_examples_are_not_the_evaluations() -> None:
    asked = {
        question.text for make in (*seen.DOMAINS, *apart.DOMAINS) for question in make().questions
    }
    assert asked.isdisjoint(ask.question for ask in ASKS.values())


def comparable(text: str) -> str:
    """Of a traceback, the error alone: frames and carets differ with versions of Python. Without
    sizes of files: how well zlib packs is up to its version."""
    text = re.sub(r'"size": "[\d.]+KB"|\([\d,]+ bytes\)', "SIZE", text)
    return re.sub(r"(?m)^(Traceback \(most recent call last\):\n)(?:[ ].*\n)+", r"\1", text)


@pytest.mark.slow
@pytest.mark.req("T1")
def test_the_platform_does_again_what_is_recorded(tmp_path: Path) -> None:
    """Each program runs again, on data that is made anew, and prints what is recorded."""
    output = tmp_path / "again.jsonl"
    command = [sys.executable, "-m", "training.examples", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    again = [json.loads(each) for each in output.read_text().splitlines()]
    assert [each["id"] for each in again] == NAMES
    for was, now in zip(RECORDED, again, strict=True):
        for before, after in zip(was["messages"], now["messages"], strict=True):
            assert comparable(after["content"]) == comparable(before["content"]), was["id"]


COVERED = {
    "push-down", "join", "aggregation", "parquet", "glob", "JSON lines", "Excel", "gz",
    "nested JSON", "partitioned Parquet", "time series", "cohort", "ranking with ties",
    "percentiles", "outliers", "duplicates", "missing values", "mixed types", "bad dates",
    "wrong units", "reconciliation", "schema drift", "DST", "NULL semantics", "integer overflow",
    "numeric precision", "live source", "truncated fetch", "guard", "statement timeout handled",
    "question that the data cannot answer", "ambiguous question", "false premise",
    "statistical test", "forecast", "figure", "write-back to Azure", "empty table",
    "follow-up in a thread", "three sources", "PermissionError handled",
}  # fmt: skip


@pytest.mark.req("T1")
def test_the_set_is_as_large_and_varied_as_it_has_to_be() -> None:
    assert len(RECORDED) >= 48
    assert {topic for task in TASKS for topic in task.topics} >= COVERED
    assert {"de", "en", "es", "fr"} == {task.language for task in TASKS}
    programs = [each for one in RECORDED for each in one["messages"] if each["role"] == "execute"]
    assert sum("Traceback (most recent" in each["content"] for each in programs) >= 10


# The machinery

TASK = """---
world: shop
topics: [one]
asks:
  - question: How
      many?
    data: [sales]
  - question: And then?
    data: []
---
<Analyze>a</Analyze>
<Code>
x
</Code>

<Answer>
1
</Answer>
<Answer>
2
</Answer>
"""


def test_task_is_read_turn_by_turn() -> None:
    task = parsed("one", TASK)
    assert [ask.question for ask in task.asks] == ["How many?", "And then?"]
    assert task.asks[0].turns == (
        "<Analyze>a</Analyze>\n<Code>\nx\n</Code>",
        "<Answer>\n1\n</Answer>",
    )
    assert task.asks[1].turns == ("<Answer>\n2\n</Answer>",)


@pytest.mark.parametrize(
    "text",
    [
        "no front matter",
        TASK.replace("<Answer>\n2\n</Answer>\n", ""),
        TASK + "<Analyze>and on",
    ],
)
def test_task_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(TaskError, match="one: "):
        parsed("one", text)


def said(role: str, content: str) -> Mapping[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([said("user", "# Instruction\nHow?")], ("How?", 0)),
        ([said("user", "# Instruction\nHow?\n\n# Data\nFile 1:")], ("How?", 0)),
        (
            [said("user", "# Instruction\nHow?\n\nThe files under # Data lie in the"), said("assistant", "a"), said("execute", "e")],
            ("How?", 1),
        ),
        (
            [said("user", "How?"), said("assistant", "a"), said("user", "# Instruction\nWhy?")],
            ("Why?", 0),
        ),
    ],
)  # fmt: skip
def test_which_turn_is_next_follows_from_the_messages(
    messages: list[Mapping[str, str]], expected: tuple[str, int]
) -> None:
    assert question_of(messages) == expected


def test_nothing_asked_is_unscripted() -> None:
    with pytest.raises(Unscripted):
        question_of([said("system", "x")])


def test_neither_earlier_answers_nor_what_failed_is_trained() -> None:
    failed = "Traceback (most recent call last):\nKeyError: 'a'"
    told = [
        said("user", "How?"), said("assistant", "1"), said("user", "Why?"), said("assistant", "c"),
        said("execute", failed), said("assistant", "d"), said("execute", "2"),
        said("assistant", "2"),
    ]  # fmt: skip
    recorded = record_of({"format": "isobath.run/1", "run_id": "r", "messages": told})
    trained = [each.train for each in example("a/2", "shop", recorded).turns]
    assert trained == [False] * 5 + [True, False, True]


def test_places_of_libraries_are_those_of_the_image() -> None:
    told = 'File "/a/b c/lib/python3.13/site-packages/pandas/core/frame.py", line 1'
    assert normal(told) == (
        'File "/usr/local/lib/python3.11/site-packages/pandas/core/frame.py", line 1'
    )


@pytest.mark.parametrize(
    ("answer", "language", "right"),
    [
        ("12,5 and 1.514", "de", True),
        ("12.5 and 1,514", "en", True),
        ("12,5 and 1514", "en", False),
        ("12,5 et 1 514", "fr", True),
    ],
)
def test_numbers_are_read_as_the_language_writes_them(
    answer: str, language: str, right: bool
) -> None:
    truth = (exactly(12.5), exactly(1514), Words((" ",)))
    assert (lacking(answer, truth, language=language) == []) is right
