from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.status import InvalidField
from services.gateway.conversation import Bounds, Message
from services.gateway.plan import Plan, Selection, plan, selection

USER = {"role": "user", "content": "Why?"}


def read(**body: Any) -> Plan:
    return plan({"messages": [USER], **body}, {}, Bounds())


@pytest.mark.req("C1")
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"source": "s", "table": "public.t"}, Selection("s", path="public.t")),
        ({"type": "azure_blob", "source_id": "ds-1", "path": "a/*.csv"}, Selection("ds-1", path="a/*.csv", type="azure_blob")),
        ({"source_id": "ds-2", "query": "SELECT 1"}, Selection("ds-2", sql="SELECT 1")),
        (
            {"source": "s", "table": "t", "format": "parquet", "as": "o", "limit": 5},
            Selection("s", path="t", format="parquet", target="o", max_rows=5),
        ),
        (
            {"source": "s", "query": "SELECT $1", "params": [1, None], "timeout_s": 3},
            Selection("s", sql="SELECT $1", parameters=(1, None), timeout_s=3.0),
        ),
    ],
)  # fmt: skip
def test_selection_is_read(raw: dict[str, Any], expected: Selection) -> None:
    assert selection(raw, "x") == expected


@pytest.mark.req("C1")
def test_selections_stand_in_the_body_or_the_message() -> None:
    inner = {**USER, "data_sources": [{"source": "b", "path": "y"}], "file_ids": ["f2"]}
    found = plan(
        {
            "messages": [inner],
            "data_sources": [{"source": "a", "path": "x"}],
            "file_ids": ["f1", "f2"],
        },
        {},
        Bounds(),
    )
    assert [each.source for each in found.selections] == ["a", "b"]
    assert found.file_ids == ("f1", "f2")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"n": 2}, "n"),
        ({"model": 3}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"data_sources": {}}, "data_sources"),
        ({"data_sources": ["s"]}, "data_sources[0]"),
        ({"data_sources": [{"path": "x"}]}, "data_sources[0].source"),
        ({"data_sources": [{"source": "s", "limit": 1}]}, "data_sources[0]"),
        ({"data_sources": [{"source": "s", "path": "x", "query": "y"}]}, "data_sources[0]"),
        ({"data_sources": [{"source": "s", "path": "x", "format": "xml"}]}, "data_sources[0].format"),
        ({"data_sources": [{"source": "s", "path": "x", "limit": -1}]}, "data_sources[0].limit"),
        ({"data_sources": [{"source": "s", "path": "x", "timeout_s": 0}]}, "data_sources[0].timeout_s"),
        ({"file_ids": [1]}, "file_ids"),
        ({"metadata": {"thread_id": 1}}, "metadata.thread_id"),
    ],
)  # fmt: skip
def test_bad_input_names_its_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as raised:
        read(**body)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"thread_id": "a"}, {"x-thread-id": "d"}, "a"),
        ({"messages": [{**USER, "thread_id": "b"}], "metadata": {"thread_id": "c"}}, {}, "b"),
        ({"metadata": {"thread_id": "c"}}, {"x-thread-id": "d"}, "c"),
        ({}, {"x-thread-id": "d"}, "d"),
        ({}, {}, ""),
    ],
)
def test_thread_is_taken_in_order(
    body: dict[str, Any], headers: dict[str, str], expected: str
) -> None:
    assert plan({"messages": [USER], **body}, headers, Bounds()).thread_id == expected


def test_parts_of_text_are_joined_and_developer_is_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "be short"}, {"role": "user", "content": parts}]
    found = plan({"messages": messages}, {}, Bounds()).messages
    assert found == (Message("system", "be short"), Message("user", "a\nb"))


def test_bounds_may_only_be_lowered() -> None:
    assert read(max_tokens=10, max_rounds=2).bounds == Bounds(tokens=10, rounds=2)
    assert read(max_tokens=10**9, max_rounds=10**9).bounds == Bounds()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
NAMES = [
    "messages",
    "data_sources",
    "file_ids",
    "thread_id",
    "model",
    "n",
    "metadata",
    "max_tokens",
]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_body_gives_a_plan_or_names_a_field(body: dict[str, Any]) -> None:
    try:
        assert plan(body, {}, Bounds()).messages
    except InvalidField as refused:
        assert refused.field and refused.message
