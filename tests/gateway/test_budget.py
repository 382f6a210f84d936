"""What is cut when a conversation outgrows the model's context: properties, and a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.budget import Budget, Parts, assigned, fitted, shortened, size, summary
from services.gateway.conversation import Message

SCHEMA = 'Count.\n\n# Data\nFile 1:\n{"name": "orders.csv"}'
ERROR = "Traceback (most recent call last)\nKeyError: 'regoin'\n" + "detail " * 50


def turn(number: int, lines: int = 30) -> Message:
    code = "\n".join(f"value_{number}_{line} = {line}" for line in range(lines))
    text = f"<Analyze>\nplan {number}\n</Analyze>\n<Code>\n```python\n{code}\n```\n</Code>"
    return Message("assistant", text)


def run(outputs: list[str], *, history: int = 0, system: str = "Be brief.") -> list[Message]:
    messages = [Message("system", system)]
    for number in range(history):
        messages.append(Message("user", f"earlier {number} " + "word " * 40))
        messages.append(Message("assistant", f"<Answer>\nsaid {number}\n</Answer>" + "x" * 200))
    messages.append(Message("user", SCHEMA))
    for number, output in enumerate(outputs):
        messages += [turn(number), Message("execute", output)]
    return messages


outputs = st.lists(
    st.one_of(st.text(max_size=6000), st.just(ERROR), st.integers(0, 6000).map("9".__mul__)),
    max_size=8,
)
conversations = st.builds(run, outputs, history=st.integers(0, 4))


@given(conversations, st.integers(0, 60_000))
def test_never_longer_and_what_matters_stays_whole(messages, most):
    cut = fitted(messages, most)
    assert size(cut) <= size(messages)
    if size(messages) <= most:
        assert cut == messages
    assert cut[0] == messages[0], "the system's words"
    assert Message("user", SCHEMA) in cut
    errors = [each for each in messages if each.role == "execute" and "Traceback" in each.content]
    if errors:
        assert errors[-1] in cut, "the last error"
    asked = next(i for i, each in enumerate(cut) if each.content == SCHEMA)
    before = next(i for i, each in enumerate(messages) if each.content == SCHEMA)
    assert [each.role for each in cut[asked:]] == [each.role for each in messages[before:]]
    assert asked == 1 or cut[1].role == "user", "what is left of the thread begins with a question"


@given(conversations, st.integers(0, 30_000), st.integers(0, 30_000))
def test_less_room_never_gives_more(messages, one, other):
    least, most = sorted((one, other))
    assert size(fitted(messages, least)) <= size(fitted(messages, most))


@given(conversations)
def test_cut_as_far_as_may_be_it_is_small(messages):
    """What stays whole, and for each turn of the run at most some hundred characters."""
    cut = fitted(messages, 0)
    whole = len(messages[0].content) + len(SCHEMA) + len(ERROR)
    newest = sum(len(each.content) for each in messages[-4:] if each.role == "assistant")
    assert size(cut) <= whole + newest + 1200 * len(cut)


def test_old_outputs_go_first_then_programs_then_the_thread():
    messages = run(["1" * 3000, "2" * 3000, "3" * 3000, "4" * 3000], history=2)
    whole = size(messages)
    first = fitted(messages, whole - 500)
    assert "characters left out" in first[6 + 0].content + first[7].content
    assert next(each.content for each in first if each.role == "user").startswith("earlier 0")
    second = fitted(messages, whole - 5600)
    assert any("lines left out here" in each.content for each in second)
    assert second[-1] == messages[-1] and second[-3] == messages[-3], "the newest rounds"
    third = fitted(messages, 8900)
    assert not any(each.content.startswith("earlier") for each in third)
    assert third[-1] == messages[-1]
    assert len(fitted(messages, 100)[-1].content) < 400, "at last the newest outputs too"


def test_parts_of_a_run_behind_a_thread():
    messages = run(["one", ERROR], history=1)
    parts = Parts.of(messages)
    assert messages[parts.question].content == SCHEMA
    assert parts.earlier == ((1, 2),)
    assert parts.last_error == parts.outputs[-1]


def test_parts_of_small_talk():
    talk = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    parts = Parts.of(talk)
    assert parts.question == 2 and parts.earlier == ((0, 1),) and not parts.outputs


@given(st.text(), st.integers(0, 200))
def test_shortened_keeps_both_ends(text, limit):
    cut = shortened(text, limit)
    assert len(cut) <= len(text)
    if cut != text:
        half = limit // 2
        assert cut.startswith(text[:half]) and cut.endswith(text[len(text) - half :])


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("a = b = 1\nc: int = 2\nd += 1", ["a", "b", "c", "d"]),
        ("def f():\n    inner = 1\nclass G: pass", ["f", "G"]),
        ("x, (y, z) = 1, (2, 3)", ["x", "y", "z"]),
        ("for i in range(3):\n    total = i", ["total"]),
        ("with open('x') as f:\n    text = f.read()", ["text"]),
        ("frame['column'] = 1", ["frame"]),
        ("this is no python", []),
        ("", []),
    ],
)
def test_assigned_names(code, names):
    assert assigned(code) == names


def test_summary_keeps_the_plan_and_the_names():
    told = summary(turn(3, lines=3).content)
    assert "plan 3" in told and "value_3_0, value_3_1, value_3_2" in told
    assert told.endswith("</Code>") and "value_3_0 = 0" not in told
    assert summary("just words") == "<Analyze>\njust words\n</Analyze>"


# the run's own budget


def test_unbounded_changes_nothing():
    messages = run(["x" * 100_000])
    assert Budget().fit(messages, 4096) == (messages, 4096)


@given(conversations, st.integers(600, 6000), st.integers(1, 4000), st.floats(1, 6))
def test_what_is_asked_for_fits_beside_what_is_sent(messages, context, new, ratio):
    budget = Budget(context, chars_per_token=ratio)
    sent, tokens = budget.fit(messages, new)
    assert 1 <= tokens <= new
    floor = size(fitted(messages, 0))
    assert budget.tokens(sent) + tokens <= context or size(sent) == floor


def test_once_cut_the_beginning_stays_as_it_is_while_there_is_room():
    budget = Budget(4000, chars_per_token=3.0)
    messages = run(["9" * 5000] * 4)
    first, _ = budget.fit(messages, 500)
    assert budget.was_cut and size(first) < size(messages)
    messages += [turn(9), Message("execute", "more")]
    second, _ = budget.fit(messages, 500)
    assert second[: len(first)] == first and second[-1].content == "more"


def test_learns_from_the_models_own_count():
    budget = Budget(1000)
    messages = run(["9" * 2400])
    assert budget.fit(messages, 10)[0] != messages
    sparing = Budget(1000)
    sparing.learn(messages, size(messages) // 8)
    assert sparing.fit(messages, 10)[0] == messages


@pytest.mark.parametrize("told", [{"tokens": 3000, "limit": 2048}, {"limit": 2048}, {}])
def test_a_refusal_makes_it_less_until_nothing_is_left_to_cut(told):
    budget, messages = Budget(), run(["9" * 9000] * 3)
    sizes = []
    for _ in range(12):
        sent, _ = budget.fit(messages, 256)
        sizes.append(size(sent))
        budget.tighten(sent, **told)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == size(messages) and sizes[-1] == size(fitted(messages, 0))
