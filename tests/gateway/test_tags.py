import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.tags import OUTSIDE, TAGS, Closed, Event, TagParser, parse, program

CASES = {
    "empty": ("", []),
    "plain text": ("hello < world", [("text", OUTSIDE, "hello < world")]),
    "one block": ("<Analyze>a</Analyze>", [("block", "Analyze", "a")]),
    "text between": (
        "x<Analyze>a</Analyze>\n<Answer>b</Answer>",
        [
            ("text", "", "x"),
            ("block", "Analyze", "a"),
            ("text", "", "\n"),
            ("block", "Answer", "b"),
        ],
    ),
    "program in a fence": (
        "<Code>```python\nprint(1)\n```</Code>",
        [("block", "Code", "```python\nprint(1)\n```")],
    ),
    "tag in a fence is text": (
        "<Code>```python\nx = '</Code>'\n```\n</Code>",
        [("block", "Code", "```python\nx = '</Code>'\n```\n")],
    ),
    "tag in back-ticks is text": (
        "<Analyze>then `</Analyze>` ends</Analyze>",
        [("block", "Analyze", "then `</Analyze>` ends")],
    ),
    "opening tag in back-ticks is text": ("use `<Code>` here", [("text", "", "use `<Code>` here")]),
    "stray back-tick": (
        "<Analyze>a ` b</Analyze>\n<Answer>c</Answer>",
        [("block", "Analyze", "a ` b"), ("text", "", "\n"), ("block", "Answer", "c")],
    ),
    "double back-ticks": ("``<Code>`x`` y", [("text", "", "``<Code>`x`` y")]),
    "fence in an answer": (
        "<Answer>\n```\n</Answer>\n```\n</Answer>",
        [("block", "Answer", "\n```\n</Answer>\n```\n")],
    ),
    "swallowed stop": ("<Code>print(1)\n", [("block", "Code", "print(1)\n")]),
    "fence left open at the stop": (
        "<Code>```python\nprint(1)\n</Code>",
        [("block", "Code", "```python\nprint(1)\n")],
    ),
    "never closed": ("<Answer>the end", [("block", "Answer", "the end")]),
    "another tag ends a plan": (
        "<Analyze>plan <Code>x</Code>",
        [("block", "Analyze", "plan "), ("block", "Code", "x")],
    ),
    "another tag in an answer is text": (
        "<Answer>a <Code> b</Answer>",
        [("block", "Answer", "a <Code> b")],
    ),
    "unknown tag": ("<Think>x</Think>", [("text", "", "<Think>x</Think>")]),
    "lower case is no tag": ("<code>x</code>", [("text", "", "<code>x</code>")]),
    "half a tag at the end": ("<Analyze>a</Anal", [("block", "Analyze", "a</Anal")]),
    "comparison": (
        "<Code>a<b</Code>",
        [("block", "Code", "a<b")],
    ),
    "execute and file": (
        "<Execute>1\n</Execute><File>x.png</File>",
        [("block", "Execute", "1\n"), ("block", "File", "x.png")],
    ),
}


def blocks(events: list[Event]) -> list[tuple[str, str, str]]:
    """Events as (text or block, kind, content), texts of a block joined."""
    found: list[tuple[str, str, str]] = []
    content = ""
    for event in events:
        if isinstance(event, Closed):
            found.append(("block", event.kind, content))
        elif event.kind == OUTSIDE:
            found.append(("text", OUTSIDE, event.source))
        else:
            content = content + event.source if type(event).__name__ == "Text" else ""
    return found


def fed(pieces: list[str]) -> list[Event]:
    parser = TagParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def joined(events: list[Event]) -> list[tuple[str, str, str]]:
    """Neighbouring texts as one, so that two cuts of one text can be compared."""
    merged: list[tuple[str, str, str]] = []
    for event in events:
        name = type(event).__name__
        if merged and name == "Text" and merged[-1][:2] == ("Text", event.kind):
            merged[-1] = ("Text", event.kind, merged[-1][2] + event.source)
        else:
            merged.append((name, event.kind, event.source))
    return merged


@pytest.mark.req("C4")
@pytest.mark.parametrize("name", CASES)
def test_turn_is_parsed(name: str) -> None:
    text, expected = CASES[name]
    assert blocks(parse(text)) == expected


@pytest.mark.req("C4")
@pytest.mark.parametrize("name", CASES)
def test_turn_split_anywhere_gives_the_same(name: str) -> None:
    text, _ = CASES[name]
    whole = joined(parse(text))
    for cut in range(len(text) + 1):
        assert joined(fed([text[:cut], text[cut:]])) == whole
    assert joined(fed(list(text))) == whole


PIECES = [f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]
PIECES += ["`", "``", "```", "```python\n", "\n", " ", "<", "</", "x", "print(1)", "\r\n", "é"]


@example(["<Code>", "```", "</Code>"], [1])
@example(["`", "`", "x", "``"], [1, 2])
@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.integers(0, 200), max_size=8))
def test_any_text_is_kept_and_cuts_do_not_matter(pieces: list[str], cuts: list[int]) -> None:
    text = "".join(pieces)
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts = [text[a:b] for a, b in itertools.pairwise(edges)]
    events = fed(parts)
    assert "".join(event.source for event in events) == text
    assert joined(events) == joined(parse(text))


@given(st.text())
def test_arbitrary_text_is_kept(text: str) -> None:
    assert "".join(event.source for event in parse(text)) == text


def test_text_goes_out_before_its_block_ends() -> None:
    parser = TagParser()
    assert parser.feed("<Analyze>look at a") != []
    assert [event.source for event in parser.feed(" b")] == [" b"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("```python\nprint(1)\n```", "print(1)\n"),
        ("\n```python\na\n\nb\n```\n", "a\n\nb\n"),
        ("```\nx = '''\n```py\n'''\n```", "x = '''\n```py\n'''\n"),
        ("```python\nprint(1)\n", "print(1)\n\n"),
        ("print(1)\n", "print(1)\n"),
        ("", ""),
    ],
)
def test_program_is_what_the_fence_holds(code: str, expected: str) -> None:
    assert program(code).strip() == expected.strip()
