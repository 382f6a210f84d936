"""Workbooks of Excel that are the same bytes for the same content."""

import io
import re
import zipfile

_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FIXED = b"2025-01-01T00:00:00Z"
_FIXED_ZIP = (2025, 1, 1, 0, 0, 0)
_PROPERTIES = "docProps/core.xml"


def timeless(book: io.BytesIO) -> bytes:
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
