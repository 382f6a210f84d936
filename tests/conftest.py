"""What every test has: the real parts, a loop that says when it is blocked, and the marker
`req`."""

import re

import pytest

from tests.parts import azurite, parts_folder, postgres

__all__ = ["azurite", "parts_folder", "postgres"]

REQUIREMENT = re.compile(r"[A-Z]\d{1,2}")


def pytest_configure(config: pytest.Config) -> None:
    """Run every loop in asyncio's debug mode: a step that takes longer than 100 ms is logged with
    its name, and a call into the loop from a foreign thread raises."""
    config.option.asyncio_debug = True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a `req` mark that names no requirement, and pass the ids on to the report of the
    run."""
    for item in items:
        for identifier in (each for mark in item.iter_markers("req") for each in mark.args):
            if not isinstance(identifier, str) or REQUIREMENT.fullmatch(identifier) is None:
                raise pytest.UsageError(
                    f"{item.nodeid}: {identifier!r} is no requirement id such as 'P9'"
                )
            item.user_properties.append(("req", identifier))
