"""Scrubbing of whole conversations: what no planted secret survives."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.runs import message, run, said, turns
from training.data import record, upstream
from training.data.conversation import conversation
from training.data.record import Record
from training.data.scrub.record import scrub
from training.data.scrub.scrubbing import Stretch, scrubbed, spellings
from training.data.scrub.table import RULES

LETTERS = "abcdefghkmnpqrstuvwxyz"
# what is like no word, and may need escapes in JSON, in code and in a URL
SECRETS = st.builds(
    lambda head, sign, digits, tail: head.upper() + sign + digits + tail,
    st.text(LETTERS, min_size=3, max_size=6),
    st.sampled_from(["-", "+", "/", "%", "#", "~", "ü", "\\", "'", '"']),
    st.integers(100, 999).map(str),
    st.text(LETTERS, min_size=3, max_size=6),
)
PLANTED = st.sampled_from(
    [
        lambda secret: f'{{"password": {json.dumps(secret)}}}',
        lambda secret: json.dumps(json.dumps({"db_password": secret})),
        lambda secret: f"connect(password={secret!r}, user='me')",
        lambda secret: f"create_engine('postgresql://me:{quote(secret, safe='')}@db/x')",
    ]
)
SHOWN = st.sampled_from(
    [
        lambda secret: secret,
        lambda secret: f"in{secret}side",
        repr,
        json.dumps,
        lambda secret: json.dumps(json.dumps(secret)),
        lambda secret: f"https://x/?p={quote(secret, safe='')}",
    ]
)
WORDS = st.text("abcdefgh ,.\n()=", max_size=40)


def texts(parsed: Record) -> list[str]:
    return [
        parsed.question,
        *(each.content for each in parsed.messages),
        *(text for each in parsed.feedback for text in (each.comment, each.correction)),
    ]


@pytest.mark.req("T3")
@given(SECRETS, PLANTED, st.lists(st.tuples(WORDS, SHOWN), min_size=1, max_size=4), st.booleans())
def test_no_planted_secret_survives(secret: str, planted: Any, shown: Any, first: bool) -> None:
    """One place gives it away; all others, before and after it, in any spelling, lose it too."""
    plain = "\n".join(f"{words} {show(secret)} {words}" for words, show in shown)
    outputs = [planted(secret), plain] if first else [plain, planted(secret)]
    parsed = record.parsed(
        run(
            question=plain,
            messages=[
                message("user", "# Instruction\n?"),
                *(message("assistant", text) for text in outputs),
                message("execute", plain),
            ],
            feedback=[said("down", plain)],
        )
    )
    clean, counts = scrub(parsed, RULES)
    spelled = spellings(secret)
    for text in texts(clean):
        assert not [each for each in spelled if each in text]
    assert counts.total() >= 3
    assert scrub(clean, RULES) == (clean, {})


@pytest.mark.req("T3")
@given(st.lists(st.text(), min_size=1, max_size=4))
def test_scrubbing_twice_is_scrubbing_once(contents: list[str]) -> None:
    once, _ = scrubbed([Stretch(text) for text in contents], RULES)
    assert scrubbed(once, RULES) == (once, {})


FRAGMENTS = st.sampled_from(
    [
        "password", "=", ": ", '"', "'", "\\", "token", "hunter2", "X9-abcd", "://", "@", "a.de",
        "+49 30 901820", "10.1.2.3", " ", "\n", "key", "Bearer ", "sig=", "REMOVED_PASSWORD_1",
        "person1@example.com", "198.18.0.1", "4111111111111111", "000001", "eyJhbGciOi.eyJzdWIiOi.x",
    ]
)  # fmt: skip


@given(st.lists(st.lists(FRAGMENTS, max_size=8).map("".join), min_size=1, max_size=3))
def test_scrubbing_twice_is_scrubbing_once_where_rules_meet(contents: list[str]) -> None:
    once, _ = scrubbed([Stretch(text) for text in contents], RULES)
    assert scrubbed(once, RULES) == (once, {})


@given(st.text(), st.text())
def test_what_has_no_hit_comes_back_as_it_is(question: str, output: str) -> None:
    parsed = record.parsed(run(question=question, messages=turns(question, output=output)))
    clean, counts = scrub(parsed, RULES)
    assert (clean is parsed) is (not counts)


@pytest.mark.req("T3")
def test_code_still_reads_what_its_output_shows() -> None:
    code = "df[df.email == 'anna@firma.de'].ip.iloc[0] == '10.1.2.3'"
    output = "email\tip\nbert@firma.de\t10.9.9.9\nanna@firma.de\t10.1.2.3\n"
    clean, counts = scrub(record.parsed(run(messages=turns(code=code, output=output))), RULES)
    _, wrote, printed, _ = clean.messages
    assert "df.email == 'person1@example.com'].ip.iloc[0] == '198.18.0.1'" in wrote.content
    assert printed.content == (
        "email\tip\nperson2@example.com\t198.18.0.2\nperson1@example.com\t198.18.0.1\n"
    )
    assert counts == {"email": 3, "ip-address": 3}


@pytest.mark.req("T3")
@given(st.integers(1, 30))
def test_a_secret_across_a_border_of_messages_is_found(cut: int) -> None:
    whole = "x = 'AccountKey=abcdEFGH1234abcdEFGH1234=='"
    messages = [
        message("user", "# Instruction\n?"),
        message("assistant", whole[:cut]),
        message("assistant", whole[cut:]),
    ]
    clean, counts = scrub(record.parsed(run(messages=messages)), RULES)
    joined = "".join(each.content for each in clean.messages[1:])
    assert joined == "x = 'AccountKey=REMOVED_ACCOUNT_KEY_1'"
    assert counts == {"account-key": 1} and len(clean.messages) == 3


def test_a_value_that_the_border_alone_ends_is_found() -> None:
    messages = [
        message("user", "# Instruction\n?"),
        message("assistant", "ask anna@firma.de"),
        message("assistant", "10.1.2.3 is it"),
    ]
    clean, _ = scrub(record.parsed(run(messages=messages)), RULES)
    assert [each.content for each in clean.messages[1:]] == [
        "ask person1@example.com",
        "198.18.0.1 is it",
    ]


@pytest.mark.req("T3")
@given(
    st.lists(st.sampled_from(["a", "password='hunter2-X' ", "x@firma.de", "é", " "]), max_size=6)
)
def test_masks_stay_on_what_the_platform_wrote(parts: list[str]) -> None:
    output = "".join(parts)
    text = f"{output}<Execute>{output}</Execute>{output}<File>{output}</File>"
    raw = {"messages": [message("user", "?"), message("assistant", text)]}
    clean, _ = scrub(upstream.parsed(raw), RULES)
    turn = conversation(clean).turns[1]
    masked = [text for text, counts in turn.pieces() if not counts]
    assert "".join(text for text, _ in turn.pieces()) == turn.content
    assert masked == ([turn.content[s:e] for s, e in upstream.masked(turn.content)])
    assert len(masked) == 2 and masked[0].startswith("<Execute>") and masked[1].endswith("</File>")


def test_short_words_are_left_where_they_do_not_stand_behind_their_name() -> None:
    found, _ = scrubbed([Stretch("password='test'"), Stretch("a test of tests")], RULES)
    assert [each.text for each in found] == ["password='REMOVED_PASSWORD_1'", "a test of tests"]
