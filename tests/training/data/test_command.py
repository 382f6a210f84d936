"""`python -m training.data`, as it is called."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training.data.runs import lines, run, said, turns, written
from training.data.__main__ import app


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def records(tmp_path: Path) -> Path:
    rows = [
        run("run-1", messages=turns(output="anna@firma.de 10.1.2.3\n")),
        run("run-2", question="And E123456?", feedback=[said("down", "It is the South.")]),
    ]
    return written(tmp_path / "runs.jsonl", rows)


@pytest.mark.req("T3")
def test_build_makes_a_data_set_and_says_what_is_in_it(tmp_path: Path, records: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("[rules]\nemployee = 'E\\d{6}'\n")
    output = tmp_path / "data"
    told = call(
        *("build", "--records", records, "--output", output, "--formats", "messages,ms-swift"),
        *("--split", "1", "--rules", rules, "--scrub-off", "ip-address", "--licence", "mit"),
    )
    assert told.exit_code == 0, told.output
    assert "conversations: 2 of 2 records (train 2)" in told.output
    assert "pairs: 1" in told.output and "replaced: email 1" in told.output
    one, _ = lines(output / "messages/train.jsonl")
    assert one["messages"][2]["content"] == "person1@example.com 10.1.2.3\n"
    assert (output / "ms-swift/train.jsonl").is_file() and (
        output / "trl-dpo/train.jsonl"
    ).is_file()


def test_several_files_and_scores(tmp_path: Path, records: Path) -> None:
    more = written(tmp_path / "more.jsonl", [run("run-3", question="Else?")])
    scores = written(tmp_path / "scores.jsonl", [{"run_id": "run-3", "score": 0.9}])
    output = tmp_path / "data"
    told = call(
        *("build", "--records", records, "--records", more, "--output", output),
        *("--scores", scores, "--min-score", "0.5", "--split", "1"),
    )
    assert told.exit_code == 0, told.output
    assert [each["id"] for each in lines(output / "messages/train.jsonl")] == ["run-3"]
    assert "dropped: score too low 2" in told.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--formats", "chatml"], "chatml is not one of messages, trl, unsloth, axolotl, ms-swift"),
        (["--split", "0.5/0.6"], "numbers from 0 on that make 1 together"),
        (["--scrub-off", "mail"], "no rule is called mail; there are: private-key"),
        (["--near", "0"], "greater than or equal to 0.1"),
        (["--split", "many"], "many: could not convert"),
    ],
)
def test_errors_say_what_to_do(
    tmp_path: Path, records: Path, arguments: list[str], told: str
) -> None:
    result = call("build", "--records", records, "--output", tmp_path / "data", *arguments)
    assert result.exit_code in {1, 2}
    assert told in re.sub(r"\s*[│\n]\s*", " ", result.output)
    assert not (tmp_path / "data").exists()


def test_bad_lines_are_told_or_end_it(tmp_path: Path, records: Path) -> None:
    with records.open("a") as file:
        file.write("{\n")
    told = call("build", "--records", records, "--output", tmp_path / "data")
    assert told.exit_code == 0 and f"{records}:3: the line is no JSON" in told.output
    told = call("build", "--records", records, "--output", tmp_path / "strict", "--strict")
    assert told.exit_code == 1 and "--strict ends here" in told.output


def test_tokens_are_counted_with_a_tokenizer_where_there_is_one(
    tmp_path: Path, records: Path
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    output = tmp_path / "data"
    told = call(
        *("build", "--records", records, "--output", output, "--split", "1"),
        *("--tokenizer", tmp_path),
    )
    assert told.exit_code == 0, told.output
    words = [
        len(message["content"].split())
        for each in lines(output / "messages/train.jsonl")
        for message in each["messages"]
    ]
    tokens = json.loads((output / "stats.json").read_text())["splits"]["train"]["tokens"]
    assert tokens == sum(words)


def test_help_names_every_option_and_rule() -> None:
    told = call("build", "--help")
    assert told.exit_code == 0
    said = re.sub(r"\s", "", told.output)
    for word in ("--records", "--scrub-off", "us-ssn", "trl-dpo", "0.9/0.05/0.05"):
        assert word in said
