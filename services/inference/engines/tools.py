"""Models that call tools, as writers of the tagged turns that the platform reads.

They get two tools, one that runs Python and one that gives the answer. What such a model says
before a call is its reasoning; the argument of the call is the program, or the report, and is
streamed as it comes."""

import json
import re
from collections.abc import Sequence
from typing import Any

from services.inference.models import CODE_END, Message, Role

RUN, ANSWER = "run_python", "give_answer"
# the one argument of each
ARGUMENTS = {RUN: "code", ANSWER: "report"}

TEACHING = f"""\
You are a data analyst who works in steps. The user's message has the question under \
`# Instruction` and the files under `# Data`; the files lie in the current folder.

- Before each call say in a few words what you want to find out.
- Call {RUN} with one complete Python program; you are told what it printed. Variables are kept \
from one program to the next. pandas, numpy, matplotlib and duckdb are there; there is no network. \
Figures saved as files reach the user.
- If a program fails, read the traceback, correct it and run it again.
- Look at the data before you draw conclusions from it, and never guess what a program will print.
- When the numbers are known, call {ANSWER} once, with a report in Markdown: the numbers that were \
printed, what they mean, and their limits. That ends the work.\
"""


def definitions() -> list[dict[str, Any]]:
    """As the `tools` of a chat request."""
    told = {
        RUN: ("Run a Python program in the session and see what it prints.", "The program."),
        ANSWER: ("Give the final report. Ends the work.", "The report, in Markdown."),
    }
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": what,
                "parameters": {
                    "type": "object",
                    "properties": {ARGUMENTS[name]: {"type": "string", "description": argument}},
                    "required": [ARGUMENTS[name]],
                },
            },
        }
        for name, (what, argument) in told.items()
    ]


_CODE = re.compile(r"<Code>\s*(?:```(?:python)?\n)?(.*?)(?:\n```)?\s*</Code>\s*\Z", re.DOTALL)
_TAG = re.compile(r"</?(?:Analyze|Understand|Answer|File)>\n?")


def messages(given: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation with its programs as calls, and their output as those calls' results."""
    own = [message.content for message in given if message.role is Role.SYSTEM]
    wire: list[dict[str, Any]] = [{"role": "system", "content": "\n\n".join((TEACHING, *own))}]
    for number, message in enumerate(given):
        called = number + 1 < len(given) and given[number + 1].role is Role.EXECUTE
        if message.role is Role.EXECUTE:
            wire.append(_result(message, number - 1))
        elif message.role is Role.ASSISTANT:
            wire.append(_turn(message, number, called))
        elif message.role is Role.USER:
            wire.append({"role": "user", "content": message.content})
    return wire


def _turn(message: Message, number: int, called: bool) -> dict[str, Any]:
    code = _CODE.search(message.content) if called else None
    said = _TAG.sub("", message.content[: code.start()] if code else message.content).strip()
    turn: dict[str, Any] = {"role": "assistant", "content": said}
    if called:
        arguments = json.dumps({ARGUMENTS[RUN]: code[1] if code else ""}, ensure_ascii=False)
        function = {"name": RUN, "arguments": arguments}
        turn["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    return turn


def _result(message: Message, number: int) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": message.content}


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class StringArgument:
    """The value of one member of a JSON object, out of pieces of its text, as far as they go."""

    def __init__(self, name: str) -> None:
        self._opening = re.compile(rf'"{re.escape(name)}"\s*:\s*"')
        self._raw = ""
        # where the value goes on; -1 = not begun
        self._at = -1
        self.ended = False

    def feed(self, piece: str) -> str:
        """What of the value this piece adds."""
        self._raw += piece
        if self._at < 0:
            opening = self._opening.search(self._raw)
            if opening is None:
                return ""
            self._at = opening.end()
        return self._decoded()

    @property
    def whole(self) -> str:
        """All that came, where it was no such object after all."""
        return self._raw if self._at < 0 else ""

    def _decoded(self) -> str:
        out: list[str] = []
        while not self.ended and self._at < len(self._raw):
            char = self._raw[self._at]
            if char == '"':
                self.ended = True
            elif char != "\\":
                out.append(char)
                self._at += 1
            elif (taken := self._escape()) is None:
                break
            else:
                out.append(taken[0])
                self._at += taken[1]
        return "".join(out)

    def _escape(self) -> tuple[str, int] | None:
        """One escape and its length; None while it is not whole."""
        rest = self._raw[self._at : self._at + 12]
        if len(rest) < 2:
            return None
        if rest[1] != "u":
            return _ESCAPES.get(rest[1], rest[1]), 2
        if len(rest) < 6:
            return None
        unit = _unit(rest[2:6])
        if not 0xD800 <= unit < 0xDC00:
            return _char(unit), 6
        # the first of a pair
        if len(rest) < 12 and not (len(rest) > 6 and not r"\u".startswith(rest[6:8])):
            return None
        second = _unit(rest[8:12]) if rest[6:8] == r"\u" else 0
        if not 0xDC00 <= second < 0xE000:
            return _char(unit), 6
        return chr(0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00)), 12


def _unit(digits: str) -> int:
    try:
        return int(digits, 16)
    except ValueError:
        return 0xFFFD


def _char(unit: int) -> str:
    """Half of a pair stands for nothing, and cannot be sent on."""
    return "�" if 0xD800 <= unit < 0xE000 else chr(unit)


class Tagged:
    """A turn in tags, out of a stream of words and of calls; gives what each adds."""

    def __init__(self) -> None:
        self._argument: StringArgument | None = None
        self._name = ""
        self._said: list[str] = []
        # more than one call: only the first is taken
        self.overrun = False

    def say(self, text: str) -> str:
        """Words, which come before a call."""
        if not text or self._argument is not None:
            return ""
        opening = "" if self._said else "<Analyze>\n"
        self._said.append(text)
        return opening + text

    def call(self, index: int, name: str, arguments: str) -> str:
        """A piece of a call; its name comes with the first."""
        if index > 0:
            self.overrun = True
            return ""
        opening = ""
        if self._argument is None:
            self._name = name if name in ARGUMENTS else RUN
            self._argument = StringArgument(ARGUMENTS[self._name])
            opening = self._closing_words() + _OPENINGS[self._name]
        return opening + self._argument.feed(arguments)

    @property
    def ran(self) -> bool:
        """Whether it ended with a program."""
        return self._argument is not None and self._name == RUN

    def end(self) -> str:
        """What closes the turn. Words without any call are the answer, for want of another."""
        if self._argument is not None:
            return self._argument.whole + _CLOSINGS[self._name]
        if not self._said:
            return ""
        answer = "".join(self._said).strip()
        return self._closing_words() + _OPENINGS[ANSWER] + answer + _CLOSINGS[ANSWER]

    def _closing_words(self) -> str:
        return "\n</Analyze>\n" if self._said else ""


_OPENINGS = {RUN: "<Code>\n```python\n", ANSWER: "<Answer>\n"}
_CLOSINGS = {RUN: f"\n```\n{CODE_END}", ANSWER: "\n</Answer>"}
