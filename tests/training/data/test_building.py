"""Whole builds, from files to files."""

import json
import stat
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.data.runs import lines, message, run, said, turns, written
from training.data.building import BuildError, Options, build
from training.data.formats import FORMATS
from training.data.scrub.table import RULES
from training.data.split import Shares


def made(tmp_path: Path, rows: list[Any], **options: Any) -> Path:
    output = tmp_path / "data"
    records = [written(tmp_path / "runs.jsonl", rows)]
    defaults: dict[str, Any] = {"rules": RULES, "shares": Shares(1, 0, 0)}
    build(Options(records=records, output=output, **{**defaults, **options}), lambda text: None)
    return output


def different(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Runs of which none is like another, each of a source of its own."""
    return [
        run(
            f"run-{at}",
            **{
                "question": f"What of {at}?",
                "sources": [{"name": f"source-{at}", "type": "azure_blob"}],
                "messages": turns(
                    f"What of {at}?", code="; ".join(f"v{at}_{n} = {n}" for n in range(9))
                ),
                **fields,
            },
        )
        for at in range(count)
    ]


def statistics(output: Path) -> Any:
    return json.loads((output / "stats.json").read_text())


@pytest.mark.req("T3")
def test_every_format_has_every_split_and_no_source_is_in_two(tmp_path: Path) -> None:
    output = made(tmp_path, different(40), formats=tuple(FORMATS), shares=Shares(0.8, 0.1, 0.1))
    sources: list[set[str]] = []
    for split, count in {"train": 32, "validation": 4, "test": 4}.items():
        for name in FORMATS:
            assert len(lines(output / name / f"{split}.jsonl")) == count
        sources.append({each["source"] for each in lines(output / "messages" / f"{split}.jsonl")})
    assert not set.intersection(*sources) and len(set.union(*sources)) == 40
    assert statistics(output)["splits"]["train"]["groups_of_sources"] == 32


@pytest.mark.req("T3")
def test_drops_are_counted_by_cause(tmp_path: Path) -> None:
    good, failed, disliked, double = different(4)
    failed["state"] = "failed"
    disliked["feedback"] = [said("down")]
    double = {**good, "run_id": "run-double"}
    output = made(tmp_path, [good, failed, disliked, double, "not a record"])
    told = statistics(output)
    assert told["dropped"] == {
        "feedback down": 1,
        "not completed": 1,
        "the same as another": 1,
    }
    assert (told["records"], told["bad_lines"], told["conversations"]) == (4, 1, 1)


def test_the_better_scored_double_is_kept(tmp_path: Path) -> None:
    rows = [run("low"), run("high"), run("none")]
    output = made(tmp_path, rows, scores={"low": 0.2, "high": 0.9})
    assert [each["id"] for each in lines(output / "messages/train.jsonl")] == ["high"]


def test_a_run_that_is_there_twice_counts_as_it_was_read_last(tmp_path: Path) -> None:
    rows = [run("a"), run("a", feedback=[said("down", "It is the South.")])]
    output = made(tmp_path, rows)
    (only,) = lines(output / "messages/train.jsonl")
    assert only["messages"][-1]["content"].endswith("<Answer>\nIt is the South.\n</Answer>")
    assert statistics(output)["dropped"] == {"an earlier record of the run": 1}


@pytest.mark.req("T3")
def test_secrets_are_scrubbed_in_every_format_and_in_pairs(tmp_path: Path) -> None:
    secret = "hunter2-Hunter3"
    code = f"connect('postgresql://me:{secret}@db/x')"
    rows = [
        run(
            messages=turns(code=code, output=f"as {secret}\n"),
            feedback=[said("down", f"No {secret}")],
        )
    ]
    output = made(tmp_path, rows, formats=tuple(FORMATS))
    texts = [path.read_text() for path in output.rglob("*.jsonl")]
    assert len(texts) == len(FORMATS) + 1
    assert all(secret not in text and "REMOVED_PASSWORD_1" in text for text in texts)
    assert statistics(output)["scrubbed"] == {"url-password": 3}


@pytest.mark.req("T3")
def test_feedback_makes_pairs(tmp_path: Path) -> None:
    liked = run("liked", feedback=[said("up")])
    disliked = run("disliked", messages=turns(code="print(7)"), feedback=[said("down")])
    corrected = run("corrected", question="Else?", feedback=[said("down", "It is the South.")])
    output = made(tmp_path, [liked, disliked, corrected])
    by_correction, by_rating = lines(output / "trl-dpo/train.jsonl")
    assert by_correction["chosen"][0]["content"].endswith("It is the South.\n</Answer>")
    assert [each["role"] for each in by_correction["prompt"]] == ["user", "assistant", "execute"]
    assert by_rating["prompt"] == liked["messages"][:1]
    assert by_rating["chosen"] == liked["messages"][1:2]
    assert by_rating["rejected"] == disliked["messages"][1:2]
    assert statistics(output)["splits"]["train"]["pairs"] == {"correction": 1, "rating": 1}


@pytest.mark.req("T3")
def test_same_input_same_bytes(tmp_path: Path) -> None:
    rows = [*different(20), run("pair", feedback=[said("down", "a@b.de wrote")])]
    trees = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        output = made(tmp_path / name, rows, formats=tuple(FORMATS), shares=Shares())
        trees.append(
            {p.relative_to(output): p.read_bytes() for p in output.rglob("*") if p.is_file()}
        )
    assert trees[0] == trees[1]


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    output = made(tmp_path, [run()])
    for path in (output, *output.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.req("T3")
def test_card_says_what_is_in_it(tmp_path: Path) -> None:
    output = made(tmp_path, [*different(3), "x"], formats=("messages", "trl"), licence="mit")
    _, front, body = (output / "README.md").read_text().split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["license"] == "mit" and head["size_categories"] == ["n<1K"]
    for config in head["configs"]:
        for file in config["data_files"]:
            assert (output / file["path"]).is_file()
    assert [each["config_name"] for each in head["configs"]] == ["messages", "trl"]
    assert "3 conversations" in body and "could not be read: 1" in body
    assert "No licence" not in body


def test_card_without_a_licence_says_so(tmp_path: Path) -> None:
    text = (made(tmp_path, [run()]) / "README.md").read_text()
    assert "**No licence is set**" in text and "license: unknown" in text


def test_nothing_good_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no run of 2 is good enough.*not completed: 2"):
        made(tmp_path, [run("a", state="failed"), run("b", state="failed")])
    assert [path.name for path in tmp_path.iterdir()] == ["runs.jsonl"]


def test_strict_ends_at_a_bad_line(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"runs.jsonl:2: the line is no JSON object"):
        made(tmp_path, [run(), "x"], strict=True)
    assert not (tmp_path / "data").exists()


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    output = made(tmp_path, [run()])
    with pytest.raises(BuildError, match="pass --overwrite"):
        made(tmp_path, [run("b")])
    made(tmp_path, [run("b")], overwrite=True)
    assert lines(output / "messages/train.jsonl")[0]["id"] == "b"
    (output / "stats.json").unlink()
    with pytest.raises(BuildError, match="is no data set"):
        made(tmp_path, [run("c")], overwrite=True)


def test_failures_are_masked_where_that_is_asked_for(tmp_path: Path) -> None:
    trace = "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n"
    tried = [*turns(output=trace)[:-1], *turns()[1:]]
    for mask, trained in ((False, [True, True, True]), (True, [False, True, True])):
        output = made(tmp_path, [run(messages=tried)], mask_failures=mask, overwrite=True)
        (only,) = lines(output / "messages/train.jsonl")
        assert [e["train"] for e in only["messages"] if e["role"] == "assistant"] == trained


def test_upstreams_data_goes_through_with_its_masks(tmp_path: Path) -> None:
    text = "<Code>x</Code>\n<Execute>\n1\n</Execute>\n<Answer>a</Answer>"
    rows = [{"messages": [message("user", "?"), message("assistant", text)]}]
    output = made(tmp_path, rows, formats=tuple(FORMATS))
    (kept,) = lines(output / "messages/train.jsonl")
    (span,) = kept["messages"][1]["masked"]
    assert text[slice(*span)] == "<Execute>\n1\n</Execute>"
    (inline,) = lines(output / "unsloth/train.jsonl")
    assert [each["role"] for each in inline["conversations"]] == [
        "user",
        "assistant",
        "execute",
        "assistant",
    ]


def many(path: Path, count: int, output: str) -> Path:
    """Records of which each has a question and a program of its own, of 97 sources."""
    with path.open("w") as file:
        for at in range(count):
            question = f"What of {at} and {at * 7}?"
            raw = run(f"run-{at}", question=question)
            raw["sources"] = [{"name": f"s{at % 97}", "type": "x"}]
            raw["messages"] = turns(question, code=f"print({at}, {at * 3})", output=output)
            file.write(json.dumps(raw) + "\n")
    return path


@pytest.mark.slow
@pytest.mark.req("T3")
def test_ten_thousand_records(tmp_path: Path) -> None:
    path = many(tmp_path / "runs.jsonl", 10_000, "12\n")
    told: list[str] = []
    build(Options([path], tmp_path / "data", rules=RULES, near=1.0), told.append)
    assert told == ["5000 records read", "10000 records read"]
    splits = statistics(tmp_path / "data")["splits"]
    assert {name: each["conversations"] for name, each in splits.items()} == pytest.approx(
        {"train": 9_000, "validation": 500, "test": 500}, abs=104
    )


def test_what_is_held_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    path = many(tmp_path / "runs.jsonl", 150, "x " * 20_000)
    tracemalloc.start()
    build(Options([path], tmp_path / "data", near=1.0), lambda text: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert statistics(tmp_path / "data")["conversations"] == 150
    assert peak < path.stat().st_size / 5
