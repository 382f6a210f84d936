"""Links of an answer to files of its run."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.inline import Inline
from tests.gateway.conftest import ANSWER, CODE, Platform, chunks_of, question

URLS = {"a.png": "U1", "out/b c.csv": "U2", "b c.csv": "U2", "f(1).png": "U3"}


def whole(text: str) -> str:
    inline = Inline(URLS)
    return inline.feed(text) + inline.finish()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("![A](a.png) and [t](out/b%20c.csv).", "![A](U1) and [t](U2)."),
        ("[x](./a.png)[y](elsewhere/a.png)", "[x](U1)[y](U1)"),
        ("[x](https://a.example/c.png) [y](c.png)", "[x](https://a.example/c.png) [y](c.png)"),
        ("[x]( a.png ) [1] (a.png) a.png", "[x]( a.png ) [1] (a.png) a.png"),
        ("[x](f(1).png) ends in ](a.pn", "[x](f(1).png) ends in ](a.pn"),
        ("list[0] ends in ]", "list[0] ends in ]"),
        ("[x](" + "y" * 300 + ")", "[x](" + "y" * 300 + ")"),
    ],
)
def test_links_to_files_lead_there(text: str, told: str) -> None:
    assert whole(text) == told


def test_no_more_is_held_back_than_a_link() -> None:
    inline = Inline(URLS)
    assert inline.feed("see ![A") == "see ![A"
    assert inline.feed("](a.") == ""
    assert inline.feed("png)!") == "](U1)!"
    assert inline.feed("](" + "y" * 300) != ""
    assert inline.feed("x") == "x" or inline.finish()


@given(st.lists(st.sampled_from(["a.png", "](", ")", "[", "]", "(", " ", "x", "b%20c.csv"])))
def test_pieces_come_to_the_same_as_the_whole(pieces: list[str]) -> None:
    inline = Inline(URLS)
    told = "".join(inline.feed(each) for each in pieces) + inline.finish()
    assert told == whole("".join(pieces))


@pytest.mark.req("C6")
async def test_figure_stands_in_the_answer_of_every_client(platform: Platform) -> None:
    await platform.source()
    answer = ANSWER.format("![Orders](orders.png) by [region](out.csv)")
    program = CODE.format("save('orders.png', b'p')\nsave('out.csv', b'a')")
    data = {"source": "shop", "table": "public.orders"}
    platform.models.turns = [program, answer]
    reply = (await platform.chat(data)).json()
    content = reply["choices"][0]["message"]["content"]
    urls = {each["name"]: each["url"] for each in reply["generated_files"]}
    for name, words in (("orders.png", "![Orders]"), ("out.csv", " by [region]")):
        assert f"{words}({urls[name].partition('?')[0]}?expires=" in content
    platform.models.turns = [program, answer]
    streamed = await platform.http.post("/v1/chat/completions", json=question(data, stream=True))
    said = "".join(
        str(choice["delta"].get("content") or "")
        for chunk in chunks_of(streamed.text)
        for choice in chunk.get("choices", [])
    )
    assert "![Orders](/v1/files/file-" in said and "(out.csv)" not in said
    # what is kept has the names: a report lies beside its files
    report = await platform.http.get(urls["report.md"])
    assert "![Orders](orders.png)" in report.text
    last: dict[str, Any] = chunks_of(streamed.text)[-1]["isobath"]
    assert "![Orders](orders.png)" in last["completed"]["answer"]
