import copy
import gc
import io
import json
import logging
import pickle
import threading
import traceback
from dataclasses import asdict, dataclass

import pytest

from servicekit import logs
from servicekit.secrets import Secret, redact, scrub

VALUE = 'p@ss"wörd\\4711'


@pytest.fixture
def secret() -> Secret:
    return Secret(VALUE)


@pytest.mark.req("S4", "D2")
@pytest.mark.parametrize(
    "show", [repr, str, "{}".format, "{:>40}".format, "%s".__mod__, lambda s: f"{s!r} {s}"]
)
def test_secret_shown_as_text_is_hidden(secret: Secret, show):
    assert VALUE not in show(secret)
    assert "***" in show(secret)


def test_secret_within_a_dataclass_and_a_container_is_hidden(secret: Secret):
    @dataclass
    class Holder:
        password: Secret

    shown = (
        repr(Holder(secret)) + repr([secret]) + repr({"a": secret}) + repr(asdict(Holder(secret)))
    )
    assert VALUE not in shown and "4711" not in shown


@pytest.mark.parametrize(
    "leave",
    [
        json.dumps,
        pickle.dumps,
        bytes,
        list,
        vars,
        len,
        lambda s: s.__getstate__(),
        lambda s: "".join(s),
        lambda s: setattr(s, "x", 1),
    ],
)
def test_secret_leaving_by_another_way_is_refused(secret: Secret, leave):
    with pytest.raises((TypeError, AttributeError)) as refused:
        leave(secret)
    assert "4711" not in str(refused.value)


def test_secret_reveals_what_it_was_given(secret: Secret):
    assert secret.reveal() == VALUE
    assert secret.reveal_bytes() == VALUE.encode()
    assert Secret(b"\x00\xff").reveal_bytes() == b"\x00\xff"


def test_secret_copies_are_the_secret_itself(secret: Secret):
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"a": secret})["a"] is secret


def test_secret_equality_compares_values(secret: Secret):
    assert secret == Secret(VALUE) and hash(secret) == hash(Secret(VALUE))
    assert secret != Secret("other") and secret != VALUE


def test_scrub_removes_a_live_secret_in_all_its_shapes(secret: Secret):
    from urllib.parse import quote

    text = f"a {VALUE} b {quote(VALUE, safe='')} c {VALUE!r}"
    assert "4711" not in scrub(text)


def test_scrub_after_one_of_two_equal_secrets_died_still_hides():
    first, second = Secret("twice-planted"), Secret("twice-planted")
    del first
    assert "twice-planted" not in scrub("x twice-planted y")
    assert second


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer abcdefgh12345678",
        "postgresql://joe:hunter2@db/shop",
        "AccountName=a;AccountKey=hunter2abc==;EndpointSuffix=x",
        "https://a.blob.core.windows.net/c?sv=2024&sig=hunter2%3D&se=1",
        "host=db password=hunter2 user=x",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    ],
)
def test_scrub_hides_what_looks_like_a_secret(text: str):
    assert "hunter2" not in scrub(text) and "abcdefgh12345678" not in scrub(text)


def test_redact_hides_by_name_but_keeps_numbers_and_plain_words():
    given = {
        "db_password": "a", "api_key": "b", "token": "c", "Authorization": "d",
        "nested": [{"account_key": "e"}], "prompt_tokens": 12, "table": "orders", "key": "f",
    }  # fmt: skip
    shown = redact("", given)
    assert isinstance(shown, dict)
    hidden = [shown["db_password"], shown["api_key"], shown["token"], shown["Authorization"]]
    assert set(hidden) == {"***"} and shown["key"] == "***"
    assert shown["nested"] == [{"account_key": "***"}]
    assert shown["prompt_tokens"] == 12 and shown["table"] == "orders"


@pytest.fixture
def stream():
    text = io.StringIO()
    logs.configure("test", level="DEBUG", stream=text)
    yield text
    logs.configure("", level="INFO")


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.req("S4")
def test_log_line_carries_time_level_service_event_and_fields(stream):
    logs.get("a").info("opened", rows=3)
    (line,) = lines(stream)
    assert line["level"] == "info" and line["service"] == "test"
    assert line["event"] == "opened" and line["rows"] == 3 and "T" in str(line["time"])


@pytest.mark.req("S4", "D2")
def test_log_line_with_a_secret_anywhere_does_not_show_it(stream, secret: Secret):
    log = logs.get("a")
    log.info(f"event {VALUE}", value=secret, text=VALUE, deep={"x": [VALUE]}, password="short")
    log.info("as key", **{VALUE: 1})
    assert "4711" not in stream.getvalue() and "short" not in stream.getvalue()


@pytest.mark.req("S4", "D2")
def test_log_of_an_exception_shows_trace_but_neither_secret_nor_locals(stream, secret: Secret):
    def fails() -> None:
        unseen_local = "kept-out-of-logs"
        raise ValueError(f"cannot log in with {VALUE}") from RuntimeError(VALUE + unseen_local[:0])

    try:
        fails()
    except ValueError:
        logs.get("a").exception("failed")
    (line,) = lines(stream)
    assert line["error"] == "ValueError" and "in fails" in str(line["trace"])
    assert "4711" not in stream.getvalue()
    assert "'kept-out-of-logs'" not in stream.getvalue()


@pytest.mark.req("S4", "D2")
def test_log_of_a_library_is_json_and_scrubbed_too(stream, secret: Secret):
    logging.getLogger("some.library").warning("connecting with %s and %s", secret, VALUE)
    try:
        raise OSError(VALUE)
    except OSError:
        logging.getLogger("some.library").exception("broken")
    first, second = lines(stream)
    assert first["level"] == "warning" and first["logger_name"] == "some.library"
    assert second["error"] == "OSError"
    assert "4711" not in stream.getvalue()


def test_traceback_of_an_exception_with_a_secret_argument_hides_it(secret: Secret):
    error = ValueError("wrong", secret)
    assert "4711" not in "".join(traceback.format_exception(error)) + repr(error)


def test_what_the_collector_logs_meanwhile_waits_for_nothing() -> None:
    """The garbage collector may run anywhere, and end a task that nobody asked for its error: asyncio
    logs that then and there, also while a text is being scrubbed."""
    told: list[str] = []

    class Unheard:
        def __del__(self) -> None:
            told.append(scrub("bearer abcdefgh"))

    def work() -> None:
        for at in range(2_000):
            # after so many things were made, so that it is anywhere
            gc.set_threshold(at % 50 + 1)
            lost = Unheard()
            lost.itself = lost  # type: ignore[attr-defined]
            del lost
            scrub("a text")

    kept = [Secret(f"some value {n}") for n in range(10)]
    before = gc.get_threshold()
    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        thread.join(30)
    finally:
        gc.set_threshold(*before)
    assert not thread.is_alive()
    assert kept and told and set(told) == {"bearer ***"}
