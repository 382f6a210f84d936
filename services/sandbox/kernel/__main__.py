"""`python -m isobath_kernel CONTROL BROKER CONFIG`: three inherited descriptors.

Confines itself first, then loads what programs use, then runs programs until the other end of
CONTROL closes."""

import json
import os
import socket
import sys

from . import confine


def start() -> None:
    control, broker, config = (int(word) for word in sys.argv[1:4])
    sys.argv = ["program"]
    with os.fdopen(config, "rb") as file:
        settings = json.load(file)
    os.chdir(settings["workspace"])
    confine.confine(settings)
    # only now: what is loaded from here on is under the limits already
    from .serving import serve

    serve(_inherited(control), _inherited(broker), settings)


def _inherited(descriptor: int) -> socket.socket:
    """Programs' own subprocesses get none of it."""
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    return connection


start()
