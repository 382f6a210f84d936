import pytest

from isobath_client.errors import Internal, IsobathError, NotFound, QuotaExceeded, Unavailable
from isobath_client.retries import LOST, NEVER, Retries

GONE = Unavailable(LOST, "gone")
RETRIES = Retries(attempts=4, first_s=0.1, most_s=5.0, resume_s=60.0)


@pytest.mark.req("S5")
def test_waits_grow_and_are_bounded() -> None:
    patient = Retries(attempts=100)
    waits = [patient.of_call(GONE, n, safe=True, drawn=1.0) for n in range(1, 9)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert patient.of_call(GONE, 3, safe=True, drawn=0.5) == 0.4


@pytest.mark.req("S5")
@pytest.mark.parametrize(
    ("error", "safe", "again"),
    [
        (GONE, True, True),
        (GONE, False, False),
        # the platform has tried that again itself
        (Unavailable("SOURCE_UNREACHABLE", "no"), True, False),
        (NotFound("NOT_FOUND", "no"), True, False),
        # refused before it had an effect
        (QuotaExceeded("QUOTA_EXCEEDED", "full", retry_after_s=0.5), False, True),
        (QuotaExceeded("QUOTA_EXCEEDED", "full", retry_after_s=9000.0), False, False),
        (QuotaExceeded("QUOTA_EXCEEDED", "full"), True, False),
    ],
)
def test_what_is_made_again(error: IsobathError, safe: bool, again: bool) -> None:
    assert (RETRIES.of_call(error, 1, safe=safe, drawn=0.5) is not None) is again
    assert NEVER.of_call(error, 1, safe=safe, drawn=0.5) is None


def test_told_wait_comes_before_the_drawn_one() -> None:
    full = QuotaExceeded("QUOTA_EXCEEDED", "full", retry_after_s=2.0)
    assert RETRIES.of_call(full, 1, safe=False, drawn=0.0) == 2.0
    assert RETRIES.of_call(full, 4, safe=False, drawn=0.0) is None


def test_stream_is_resumed_for_a_time() -> None:
    assert RETRIES.of_stream(GONE, 50, 59.0, drawn=1.0) == 5.0
    assert RETRIES.of_stream(GONE, 1, 60.0, drawn=1.0) is None
    torn = Internal("INTERNAL", "a proxy reset it")
    defect = Internal("INTERNAL", "internal error", fields={"request_id": "r"})
    assert RETRIES.of_stream(torn, 1, 0.0, drawn=1.0) is not None
    assert RETRIES.of_stream(defect, 1, 0.0, drawn=1.0) is None
