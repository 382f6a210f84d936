"""IPython's shell, whose outputs are frames."""

import base64
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import BaseFormatter
from IPython.core.interactiveshell import InteractiveShell
from traitlets import ObjectName, Unicode
from traitlets.config import Config

from . import tracebacks
from .output import Outlet
from .protocol import PAYLOAD_LIMIT, Kind
from .shapes import displayed
from .wire import Wire

_BINARY = ("image/png", "image/jpeg", "application/pdf")
_PART_LIMIT = 8 * 1024 * 1024
ARROW = "application/vnd.apache.arrow.stream"


class Reporter:
    """Where a shell's outputs go. Text that was printed before always goes first."""

    def __init__(self, wire: Wire, outlet: Outlet) -> None:
        self._wire = wire
        self._outlet = outlet

    def text(self, stream: str, text: str) -> None:
        self._outlet.write(stream, text)
        self._outlet.flush()

    def rich(self, data: Mapping[str, Any]) -> None:
        parts, too_large = _parts(data)
        self._outlet.flush()
        if parts:
            named = [[kind, len(raw)] for kind, raw in parts]
            self._wire.send(Kind.DISPLAY, {"parts": named}, b"".join(raw for _, raw in parts))
        if too_large:
            self.text("stderr", f"[not shown, too large: {', '.join(too_large)}]\n")


def _parts(data: Mapping[str, Any]) -> tuple[list[tuple[str, bytes]], list[str]]:
    parts: list[tuple[str, bytes]] = []
    too_large = []
    room = PAYLOAD_LIMIT
    for kind, value in data.items():
        raw = _raw(kind, value)
        if len(raw) > min(room, _PART_LIMIT):
            too_large.append(kind)
            continue
        parts.append((kind, raw))
        room -= len(raw)
    return parts, too_large


def _raw(kind: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if kind in _BINARY and isinstance(value, str):
        return base64.b64decode(value)
    return str(value).encode(errors="replace")


class Publisher(DisplayPublisher):
    reporter: Reporter

    def publish(self, data: Any, metadata: Any = None, *_: Any, **__: Any) -> None:
        self.reporter.rich(data)

    def clear_output(self, wait: bool = False) -> None:
        """What was shown stays shown."""


class Hook(DisplayHook):
    """The value of a program's last expression: its text, and what is richer than text."""

    reporter: Reporter

    def write_output_prompt(self) -> None:
        """None."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        rich = dict(format_dict)
        text = rich.pop("text/plain", "")
        if text:
            self.reporter.text("result", f"{text}\n")
        if rich:
            self.reporter.rich(rich)


class Shell(InteractiveShell):
    reporter: Reporter

    def showtraceback(
        self,
        exc_tuple: tuple[type, BaseException, TracebackType] | None = None,
        *_: Any,
        **__: Any,
    ) -> None:
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        if error is not None and not isinstance(error, SystemExit):
            cells = set(self.compile._filename_map)
            self.reporter.text("traceback", tracebacks.render(error, cells))

    def showsyntaxerror(self, *_: Any, **__: Any) -> None:
        self.showtraceback()

    def init_sys_modules(self) -> None:
        super().init_sys_modules()  # type: ignore[no-untyped-call]
        # what programs define can be pickled for their own subprocesses
        sys.modules["__main__"] = self.user_module


class ArrowFormatter(BaseFormatter):
    """Tables as streams of Arrow, beside their text and HTML."""

    format_type = Unicode(ARROW)
    print_method = ObjectName("_repr_arrow_")
    _return_type = bytes


def _show_tables(shell: Shell) -> None:
    display: Any = shell.display_formatter
    formatter: Any = ArrowFormatter(parent=display)
    formatter.for_type_by_name("pandas", "DataFrame", displayed)
    display.formatters[ARROW] = formatter
    display.active_types = [*display.active_types, ARROW]


def build(reporter: Reporter, names: dict[str, Any]) -> Shell:
    """The one shell of this process. Nothing it does is kept on disk, nor in memory beyond the
    program's own variables."""
    Publisher.reporter = Hook.reporter = Shell.reporter = reporter
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.cache_size = 0
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.autocall = 0
    shell = Shell.instance(
        config=config, display_pub_class=Publisher, displayhook_class=Hook, user_ns=names
    )
    assert isinstance(shell, Shell)
    _show_tables(shell)
    return shell
