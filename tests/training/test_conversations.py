import pytest

from isobath.analyst.v1 import analyst_pb2 as analyst
from training.conversations import SCRUBBED, conversation, scrub


def block(kind: analyst.BlockKind, text: str) -> list[analyst.Event]:
    return [
        analyst.Event(block_opened=analyst.BlockOpened(kind=kind)),
        analyst.Event(block_text=analyst.BlockText(kind=kind, text=text)),
        analyst.Event(block_closed=analyst.BlockClosed(kind=kind)),
    ]


RUN = [
    analyst.Event(started=analyst.RunStarted(thread_id="t")),
    *block(analyst.BLOCK_KIND_ANALYZE, "look"),
    *block(analyst.BLOCK_KIND_CODE, "print(1)"),
    *block(analyst.BLOCK_KIND_EXECUTE, "1\n"),
    *block(analyst.BLOCK_KIND_ANSWER, "One."),
]
END = analyst.Event(completed=analyst.RunCompleted(answer="One."))


@pytest.mark.req("T3")
def test_conversation_masks_what_the_platform_wrote() -> None:
    messages = conversation("How many?", [*RUN, END])
    assert [(m["role"], m["train"]) for m in messages] == [
        ("user", False),
        ("assistant", True),
        ("execute", False),
        ("assistant", True),
    ]
    assert messages[1]["content"] == "<Analyze>look</Analyze>\n<Code>print(1)</Code>\n"
    assert messages[2]["content"] == "1\n"


def test_conversation_of_a_run_without_answer_is_empty() -> None:
    assert conversation("How many?", RUN) == []


@pytest.mark.req("T3")
@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2hunter2",
        'api_key: "hunter2hunter2"',
        "postgres://me:hunter2hunter2@db/x",
        "AccountKey=hunter2hunter2;",
        "Authorization: Bearer hunter2hunter2",
        "https://a.blob/x?sv=1&sig=hunter2hunter2&se=1",
    ],
)
def test_scrub_removes_credentials(text: str) -> None:
    assert "hunter2" not in scrub(text)
    assert SCRUBBED in scrub(text)


def test_scrub_leaves_analysis_alone() -> None:
    text = "tokens per order: 12; key figures: revenue 5"
    assert scrub("mean revenue = 12.5") == "mean revenue = 12.5"
    assert "revenue 5" in scrub(text)
