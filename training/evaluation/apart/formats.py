"""Tables as the bytes of files, the same for the same table."""

import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping

import openpyxl
import pandas as pd

_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FIXED = b"2025-01-01T00:00:00Z"
_FIXED_ZIP = (2025, 1, 1, 0, 0, 0)
_PROPERTIES = "docProps/core.xml"


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
    return _timeless(written)


def _timeless(book: io.BytesIO) -> bytes:
    """The same workbook without the time at which it was written: openpyxl has no option for it."""
    written = io.BytesIO()
    with zipfile.ZipFile(book) as parts, zipfile.ZipFile(written, "w") as copy:
        for name in parts.namelist():
            data = parts.read(name)
            if name == _PROPERTIES:
                data = _TIME.sub(_FIXED, data)
            part = zipfile.ZipInfo(name, _FIXED_ZIP)
            part.compress_type = zipfile.ZIP_DEFLATED
            copy.writestr(part, data)
    return written.getvalue()
