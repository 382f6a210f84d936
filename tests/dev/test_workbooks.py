"""A workbook tells nothing of the time at which it was written."""

import io
from datetime import datetime

import openpyxl

from dev.workbooks import timeless


def written(created: datetime, value: int) -> io.BytesIO:
    book = openpyxl.Workbook()
    book.active.append(["a", value])
    book.properties.created = created
    content = io.BytesIO()
    book.save(content)
    return content


def test_same_content_is_the_same_bytes_and_still_a_workbook() -> None:
    first = timeless(written(datetime(2026, 1, 2, 3, 4, 5), 7))
    assert first == timeless(written(datetime(2024, 6, 5, 4, 3, 2), 7))
    assert first != timeless(written(datetime(2024, 6, 5, 4, 3, 2), 8))
    rows = openpyxl.load_workbook(io.BytesIO(first)).active.iter_rows(values_only=True)
    assert list(rows) == [("a", 7)]
