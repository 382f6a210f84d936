"""What a block's text is rendered to, filled into what one such event was rendered to. Pure.

Most of a run's events are some letters of text each, and their JSON differs in four places. Making
it anew takes some twenty times as long.
"""

import time
from collections.abc import Callable

import orjson

from isobath.analyst.v1 import analyst_pb2 as analyst

# for what differs: numbers and text that nothing else in an event holds
_TEXT = "\ue000text\ue001"
_SEQUENCE, _SEQUENCE_WORD = 7_777_777_777_777_777_777, b"7777777777777777777"
_SECONDS, _NANOS, _AT = 981_173_106, 123_456_789, b"2001-02-03T04:05:06.123456789Z"
# of timestamps in JSON, which end with the year 9999; before 1970 there are no events
_LAST_SECOND = 253_402_300_799


class TextEvents:
    """Of one run and one `render`, which must depend on nothing but the event."""

    def __init__(self, render: Callable[[analyst.Event], bytes]) -> None:
        self._render = render
        self._templates: dict[int, bytes] = {}
        self._second = -1
        self._stamp = b""

    def of(self, event: analyst.Event) -> bytes:
        """What `render` makes of it."""
        block, at = event.block_text, event.at
        text = block.text
        sequence = event.sequence
        # JSON leaves out what is empty
        if not text or sequence < 1 or not 0 < at.seconds <= _LAST_SECOND:
            return self._render(event)
        template = self._templates.get(block.kind) or self._learned(event)
        return template % {
            b"text": orjson.dumps(text)[1:-1],
            b"sequence": sequence,
            b"at": self._time(at.seconds, at.nanos),
        }

    def _learned(self, event: analyst.Event) -> bytes:
        sample = analyst.Event()
        sample.CopyFrom(event)
        sample.sequence, sample.block_text.text = _SEQUENCE, _TEXT
        sample.at.seconds, sample.at.nanos = _SECONDS, _NANOS
        made = self._render(sample).replace(b"%", b"%%")
        for place, name in (
            (_TEXT.encode(), b"%(text)b"),
            (_SEQUENCE_WORD, b"%(sequence)d"),
            (_AT, b"%(at)b"),
        ):
            made = made.replace(place, name)
        self._templates[event.block_text.kind] = made
        return made

    def _time(self, seconds: int, nanos: int) -> bytes:
        """As protobuf's JSON has it: no, three, six or nine digits of a second."""
        if seconds != self._second:
            self._second = seconds
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
        if not nanos:
            return self._stamp + b"Z"
        if nanos % 1_000:
            return b"%b.%09dZ" % (self._stamp, nanos)
        if nanos % 1_000_000:
            return b"%b.%06dZ" % (self._stamp, nanos // 1_000)
        return b"%b.%03dZ" % (self._stamp, nanos // 1_000_000)
