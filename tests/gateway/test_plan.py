from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.status import InvalidField
from services.gateway.conversation import Bounds, Message, Sampling
from services.gateway.errors import UnsupportedField
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
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "a\0"}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": None}]}, "messages[1].content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "1"}, "max_completion_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"top_p": 1.1}, "top_p"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"user": 1}, "user"),
        ({"metadata": []}, "metadata"),
        ({"store": "yes"}, "store"),
        ({"stop": {}}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
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


def test_conversation_with_other_models_and_tools_is_replayed() -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"at": 1}'},
    }
    replayed = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": [{"type": "text", "text": "7"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": None, "refusal": "never"},
        {"role": "execute", "content": "42"},
        {"role": "assistant", "content": None},
    ]
    found = plan({"messages": [*replayed, USER]}, {}, Bounds()).messages
    assert found == (
        Message("assistant", 'Called weather({"at": 1}).'),
        Message("execute", "rain"),
        Message("assistant", "Called f()."),
        Message("execute", "7"),
        Message("assistant", "no"),
        Message("assistant", "never"),
        Message("execute", "42"),
        Message("assistant", ""),
        Message("user", "Why?"),
    )


def test_file_of_any_message_is_a_file_of_the_question() -> None:
    parts = [{"type": "file", "file": {"file_id": "f2"}}, {"type": "text", "text": "a"}]
    earlier = [{"role": "user", "content": parts, "file_ids": ["f3"]}]
    found = plan({"messages": [*earlier, USER], "file_ids": ["f1"]}, {}, Bounds())
    assert found.file_ids == ("f1", "f3", "f2")
    assert found.messages[0] == Message("user", "a")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "a", "format": "mp3"}}, "audio"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"stop": "END"}, "stop"),
        ({"stop": ["END"], "model": "m"}, "stop"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(body: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedField) as raised:
        read(**body)
    assert raised.value.field == field and raised.value.remedy


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "input_image", "file", "new"])
def test_parts_of_other_kinds_are_refused_by_name(kind: str) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": kind, kind: {"file_data": "…"}}]
    with pytest.raises(UnsupportedField) as raised:
        read(messages=[{"role": "user", "content": parts}])
    assert raised.value.field == "messages[0].content[1]"


@pytest.mark.parametrize(
    "body",
    [
        {"n": 1, "logprobs": False, "top_logprobs": 0, "logit_bias": {}, "stop": None},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
        {"tools": [{"type": "function"}], "tool_choice": "none"},
        {"functions": [{"name": "f"}], "function_call": "none"},
        {"response_format": {"type": "text"}, "modalities": ["text"], "audio": None},
        {"presence_penalty": 0.5, "frequency_penalty": -2, "top_k": 5, "reasoning_effort": "low"},
        {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto"},
        {"safety_identifier": "s", "prompt_cache_key": "k", "verbosity": "low", "prediction": None},
    ],
)
def test_what_changes_nothing_is_passed_over(body: dict[str, Any]) -> None:
    assert read(**body) == read()


def test_sampling_goes_to_the_model() -> None:
    given = {"temperature": 0, "top_p": 0.5, "seed": -3, "model": "m:plain", "stop": "a"}
    assert read(**given).sampling == Sampling(0.0, 0.5, -3, ("a",))
    assert read(top_p=0).sampling.top_p == 1e-6


def test_fingerprint_is_of_the_question_and_not_of_its_key() -> None:
    asked = plan({"messages": [USER]}, {"idempotency-key": "a"}, Bounds())
    again = plan({"messages": [USER], "stream": True}, {"idempotency-key": "b"}, Bounds())
    assert asked.fingerprint == again.fingerprint != read(temperature=1).fingerprint
    with pytest.raises(InvalidField, match="255"):
        plan({"messages": [USER]}, {"idempotency-key": "k" * 256}, Bounds())


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
    "logprobs",
    "tools",
    "tool_choice",
    "response_format",
    "stop",
    "seed",
    "top_p",
    "user",
]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_body_gives_a_plan_or_names_a_field(body: dict[str, Any]) -> None:
    try:
        assert plan(body, {}, Bounds()).messages
    except (InvalidField, UnsupportedField) as refused:
        assert refused.field and refused.message
