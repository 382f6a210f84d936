"""Tables as the bytes of files, the same for the same table."""

import io
import json
from collections.abc import Iterable, Mapping

import openpyxl
import pandas as pd

from dev.workbooks import timeless


def csv(table: pd.DataFrame, delimiter: str = ",") -> bytes:
    return table.to_csv(index=False, sep=delimiter, lineterminator="\n").encode()


def parquet(table: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    table.to_parquet(written, index=False)
    return written.getvalue()


def json_array(rows: Iterable[Mapping[str, object]]) -> bytes:
    return json.dumps(list(rows), indent=2).encode()


def json_lines(rows: Iterable[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def workbook(sheets: Mapping[str, pd.DataFrame]) -> bytes:
    """One sheet for each table, in this order."""
    book = openpyxl.Workbook(write_only=True)
    for title, table in sheets.items():
        sheet = book.create_sheet(title)
        sheet.append(list(table.columns))
        filled = table.astype(object).where(table.notna(), None)
        for row in filled.itertuples(index=False):
            sheet.append(list(row))
    written = io.BytesIO()
    book.save(written)
    return timeless(written)
