"""A run's events cut down to a screen: the whole of it is in the report."""

from collections.abc import Callable

from isobath.analyst.v1 import analyst_pb2 as messages

CODE_LINES = 16
OUTPUT_LINES = 16
LINE_CHARACTERS = 160


class Abridged:
    """Hands events on, with long programs and long outputs cut, and told to be."""

    def __init__(self, show: Callable[[messages.Event], None]) -> None:
        self._show = show
        self._line = ""
        self._lines = 0

    def show(self, event: messages.Event) -> None:
        """Take one event; what a program prints is held until its line is whole."""
        kind = event.WhichOneof("event")
        shown = messages.Event()
        shown.CopyFrom(event)
        if kind == "program_started":
            self._line, self._lines = "", 0
            shown.program_started.code = first_lines(event.program_started.code)
        elif kind == "program_output":
            shown.program_output.text = self._output(event.program_output.text)
        elif kind == "program_finished" and (rest := self._rest()):
            self._show(messages.Event(program_output=messages.ProgramOutput(text=rest)))
        self._show(shown)

    def _output(self, text: str) -> str:
        *whole, self._line = (self._line + text).split("\n")
        room = max(0, OUTPUT_LINES - self._lines)
        self._lines += len(whole)
        return "".join(f"{_cut(line)}\n" for line in whole[:room])

    def _rest(self) -> str:
        """A last line that was not ended, and how many lines were left out."""
        last = self._output("\n") if self._line else ""
        more = self._lines - OUTPUT_LINES
        return last + (f"… {more} more lines\n" if more > 0 else "")


def first_lines(code: str) -> str:
    """The first lines of a program, and how many more there are."""
    lines = code.strip("\n").splitlines()
    if len(lines) <= CODE_LINES:
        return code
    rest = len(lines) - CODE_LINES
    return "\n".join([*lines[:CODE_LINES], f"# … {rest} more lines, all of them in the report"])


def _cut(line: str) -> str:
    return line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS] + " …"
