"""What every test has: the real parts, a loop that tells when it is blocked, the marker `req`."""

import asyncio
import json
import re
from collections import defaultdict

import pytest
from hypothesis import settings

from dev.requirements import RECORD
from tests.parts import azurite, parts_folder, postgres

__all__ = ["azurite", "parts_folder", "postgres"]

# no test asserts on the clock; the gate tries the same examples each time, so that what it finds can
# be found again. To look further: --hypothesis-profile=default
settings.register_profile("isobath", deadline=None, derandomize=True)
settings.load_profile("isobath")

REQUIREMENT = re.compile(r"[A-Z]\d{1,2}")
shown: dict[str, list[str]] = defaultdict(list)


def pytest_configure(config: pytest.Config) -> None:
    """Run every loop in asyncio's debug mode: a step that takes longer than 100 ms is logged with
    its name, and a call into the loop from a foreign thread raises. The mode's third part, the stack
    that every future and handle was made on, would take half of the suite's time: they ask
    `get_debug` for it, and the loop itself does not."""
    config.option.asyncio_debug = True
    asyncio.BaseEventLoop.get_debug = lambda self: False  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a `req` mark that names no requirement, and pass the ids on to the test's reports."""
    for item in items:
        for identifier in (each for mark in item.iter_markers("req") for each in mark.args):
            if not isinstance(identifier, str) or REQUIREMENT.fullmatch(identifier) is None:
                raise pytest.UsageError(f"{item.nodeid}: {identifier!r} is no id such as 'P9'")
            item.user_properties.append(("req", identifier))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        for name, value in report.user_properties:
            if name == "req":
                shown[str(value)].append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what `make requirements` reads, after a run of the whole suite only."""
    options = session.config.option
    part = (
        options.keyword or options.markexpr or options.collectonly or getattr(options, "lf", False)
    )
    worker = hasattr(session.config, "workerinput")
    if session.config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (part or worker):
        RECORD.parent.mkdir(exist_ok=True)
        RECORD.write_text(json.dumps(shown, indent=1, sort_keys=True))
