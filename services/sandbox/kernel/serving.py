"""Programs, one after the other, until the other end goes."""

import faulthandler
import os
import re
import resource
import socket
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

from . import confine, libraries, magics
from .interrupts import Interrupts
from .output import Outlet, Stream
from .protocol import Frame, Kind
from .shell import Reporter, Shell, build
from .sources import Sources, SourceWarning
from .wire import Closed, Wire

# what IPython calls a program
_CELL = re.compile(r"<ipython-input-[^>]*>")


def serve(control: socket.socket, broker: socket.socket, settings: Mapping[str, Any]) -> None:
    # where the service reads a kernel's last words
    words = os.fdopen(os.dup(2), "w")
    faulthandler.enable(words)
    interrupts = Interrupts()
    wire = Wire(control, interrupts)
    outlet = Outlet(
        lambda name, text: wire.send(Kind.STREAM, {"name": name, "text": text}), interrupts
    )
    reporter = Reporter(wire, outlet)
    sources = Sources(broker)
    shell = build(reporter, {"sources": sources})
    magics.register(shell, sources)
    _take_over_streams(outlet)
    libraries.prepare(settings)
    # modules of the workspace come first, as for a script
    sys.path.insert(0, "")
    warnings.simplefilter("always", SourceWarning)
    warnings.filterwarnings("ignore", message="To exit: use", category=UserWarning)
    # the first one takes milliseconds longer: it is ours
    shell.run_cell("None", store_history=False, silent=True)  # type: ignore[no-untyped-call]
    wire.send(Kind.READY, {"python": sys.version.split()[0], "packages": libraries.versions()})
    kernel = Kernel(wire, outlet, shell, interrupts)
    try:
        while True:
            kernel.handle(wire.receive())
    except Closed:
        # no exit handlers of programs: nobody waits for them any more
        os._exit(0)
    except BaseException:
        traceback.print_exc(file=words)
        words.flush()
        os._exit(1)


def _take_over_streams(outlet: Outlet) -> None:
    sys.stdout = sys.__stdout__ = Stream(outlet, "stdout", 1)  # type: ignore[misc,assignment]
    sys.stderr = sys.__stderr__ = Stream(outlet, "stderr", 2)  # type: ignore[misc,assignment]


class Kernel:
    def __init__(self, wire: Wire, outlet: Outlet, shell: Shell, interrupts: Interrupts) -> None:
        self._wire = wire
        self._outlet = outlet
        self._shell = shell
        self._interrupts = interrupts
        self._sources = shell.user_ns["sources"]

    def handle(self, frame: Frame) -> None:
        if frame.kind is Kind.BEGIN:
            confine.rlimits(frame.header["rlimits"])
            self._wire.send(Kind.BEGUN)
        elif frame.kind is Kind.EXECUTE:
            self._execute(frame)

    def _execute(self, frame: Frame) -> None:
        before = _cpu_s()
        try:
            status = self._run(frame.payload.decode(errors="replace"))
        except KeyboardInterrupt as error:  # between the program's last instruction and ours
            status = _status(error)
        self._outlet.flush()
        usage = {"cpu_s": _cpu_s() - before, "peak_bytes": _peak_bytes()}
        self._wire.send(Kind.FINISHED, {"id": frame.header["id"], **status, **usage})

    def _run(self, code: str) -> dict[str, str]:
        self._shell.user_ns.setdefault("sources", self._sources)
        with self._interrupts.program():
            try:
                result = self._shell.run_cell(code, store_history=False)  # type: ignore[no-untyped-call]
            except SystemExit as error:
                return _status(error)
        return _status(result.error_before_exec or result.error_in_exec)


def _status(error: BaseException | None) -> dict[str, str]:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return {"status": "ok"}
    kind = "interrupted" if isinstance(error, KeyboardInterrupt) else "error"
    text = _CELL.sub("<program>", _text(error))
    return {"status": kind, "name": type(error).__name__, "text": text}


def _text(error: BaseException) -> str:
    try:
        return str(error)[:4096]
    except Exception:
        return "(its text cannot be shown)"


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
