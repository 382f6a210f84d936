import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.chain import ChainBroken, Head, followed, linked, parse_head

RECORDS = st.lists(st.dictionaries(st.sampled_from("abc"), st.text(max_size=4)), min_size=2)


def chain(records: list[dict[str, str]]) -> tuple[list[str], Head]:
    lines, head = [], Head()
    for record in records:
        line, head = linked(head, record)
        lines.append(line)
    return lines, head


@given(RECORDS)
def test_chain_is_followed_to_its_head(records: list[dict[str, str]]) -> None:
    lines, head = chain(records)
    assert followed(lines) == head
    assert head.number == len(records)
    assert parse_head(str(head)) == head
    assert followed(lines[1:], followed(lines[:1])) == head


@given(RECORDS, st.data())
def test_removed_moved_or_doubled_line_is_found(
    records: list[dict[str, str]], data: st.DataObject
) -> None:
    lines, _ = chain(records)
    place = data.draw(st.integers(0, len(lines) - 2))
    swapped = [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]]
    for broken in (lines[:place] + lines[place + 1 :], swapped):
        with pytest.raises(ChainBroken) as found:
            followed(broken)
        assert found.value.number == place + 1
    with pytest.raises(ChainBroken):
        followed([*lines[: place + 1], *lines[place:]])


@given(RECORDS, st.data())
def test_changed_line_is_found(records: list[dict[str, str]], data: st.DataObject) -> None:
    lines, _ = chain(records)
    place = data.draw(st.integers(0, len(lines) - 1))
    body = json.loads(lines[place])
    name = data.draw(st.sampled_from([*body, "added"]))
    lines[place] = json.dumps({**body, name: "other"})
    with pytest.raises(ChainBroken) as found:
        followed(lines)
    assert found.value.number == place + 1


@pytest.mark.parametrize("line", ["x", "[]", "{}", '{"number": 1}', "null"])
def test_line_that_is_no_record_is_found(line: str) -> None:
    with pytest.raises(ChainBroken):
        followed([line])


@pytest.mark.parametrize("text", ["", "1", "x:" + "0" * 64, "-1:" + "0" * 64])
def test_text_that_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_head(text)
