"""Python that reads a table's files, as much of them as an analysis needs."""

import keyword
import re
from collections.abc import Sequence

from .profiling import pattern
from .schema import Column, Schema, Table

_TAKEN_WORDS = "data table pd np plt json glob result series figure axis chart"
_TAKEN = frozenset(_TAKEN_WORDS.split())


def variable(table: Table, schema: Schema) -> str:
    """A name for the table's DataFrame that reads well and clashes with nothing."""
    names: dict[str, str] = {}
    for one in schema.tables:
        name = re.sub(r"\W+", "_", one.name, flags=re.ASCII).strip("_").lower()
        if not name or name[0].isdigit():
            name = f"table_{name}".rstrip("_")
        if keyword.iskeyword(name) or name in _TAKEN:
            name += "_rows"
        while name in names.values():
            name += "_2"
        names[one.name] = name
    return names[table.name]


def load(table: Table, columns: Sequence[str], schema: Schema, *, careful: bool) -> list[str]:
    """Lines that put the table's wanted columns into its variable.

    Careful loading reads every column and skips broken lines: slower, and hard to upset.
    """
    name = variable(table, schema)
    if len(table.files) == 1:
        return [f"{name} = {_read(table, repr(table.files[0]), columns, careful)}"]
    every = [file for one in schema.tables for file in one.files]
    found = pattern(table.files, every)
    files = f"sorted(glob.glob({found!r}))" if found else repr(list(table.files))
    lines = [] if found else [f"{name}_files = {files}"]
    source = files if found else f"{name}_files"
    return [
        *lines,
        f"{name} = pd.concat([{_read(table, 'path', columns, careful)}",
        f"{' ' * (len(name) + 13)}for path in {source}], ignore_index=True)",
    ]


def _read(table: Table, path: str, columns: Sequence[str], careful: bool) -> str:
    options = dict(table.options)
    if table.kind == "parquet":
        wanted = "" if careful else f", columns={list(columns)!r}"
        return f"pd.read_parquet({path}{wanted})"
    if table.kind == "excel":
        top = f", header={options['header']!r}" if options.get("header") else ""
        sheet = f"sheet_name={options.get('sheet_name')!r}"
        return f"pd.read_excel({path}, {sheet}{top}).dropna(how='all')"
    if table.kind == "json":
        return _read_json(path, options)
    return f"pd.read_csv({path}{_csv_options(table, options, columns, careful)})"


def _read_json(path: str, options: dict[str, object]) -> str:
    if options.get("lines"):
        return f"pd.read_json({path}, lines=True)"
    if options.get("by") == "index":
        return f"pd.read_json({path}, orient='index').reset_index()"
    opened = f'json.loads(Path({path}).read_text(encoding="utf-8-sig"))'
    if options.get("by") == "list":
        return f'pd.DataFrame({{"value": {opened}}})'
    key = f"[{options['key']!r}]" if "key" in options else ""
    return f"pd.json_normalize({opened}{key})"


def _csv_options(
    table: Table, options: dict[str, object], columns: Sequence[str], careful: bool
) -> str:
    shown = {key: value for key, value in options.items() if (key, value) not in _USUAL}
    if careful:
        shown["on_bad_lines"] = "skip"
    mangled = any(re.search(r"\.\d+$", column) for column in columns)
    if not careful and not mangled and "names" not in options and len(columns) < table.width:
        shown["usecols"] = list(columns)
    return "".join(f", {key}={value!r}" for key, value in shown.items()) + ", low_memory=False"


_USUAL = (("sep", ","), ("encoding", "utf-8-sig"))


def parse(table: Table, columns: Sequence[Column], schema: Schema, *, careful: bool) -> list[str]:
    """Lines that give the loaded columns their real types."""
    name = variable(table, schema)
    lines: list[str] = []
    for column in columns:
        cell = f"{name}[{column.name!r}]"
        expression = _parsed(column, cell, careful)
        if expression:
            lines.append(f"{cell} = {expression}")
    return lines


def _parsed(column: Column, cell: str, careful: bool) -> str:
    if column.kind == "date":
        return _date(column, cell)
    if column.kind == "flag" and "yes" in column.parse:
        yes = column.parse["yes"]
        held = f"{cell}.astype(str).str.strip().str.lower().eq({yes!r})"
        return f"{held}.astype(float).where({cell}.notna())"
    if column.kind == "flag":
        return f"{cell}.astype(float)"
    if column.kind == "number":
        return _number(column, cell, careful)
    if column.parse.get("spelled"):
        return f"{cell}.str.strip().replace({column.parse['spelled']!r})"
    if column.parse.get("nested") or careful:
        return f"{cell}.astype(str).where({cell}.notna())"
    return ""


def _number(column: Column, cell: str, careful: bool) -> str:
    clean = column.parse.get("clean")
    if clean == "symbols":
        cell = f'{cell}.astype(str).str.replace(r"[^\\d.+-]", "", regex=True)'
    elif clean == "comma":
        kept = f'{cell}.astype(str).str.replace(r"[^\\d,+-]", "", regex=True)'
        cell = f'{kept}.str.replace(",", ".")'
    elif column.parse.get("native"):
        return f"{cell}.dt.total_seconds()"
    elif not clean and not careful:
        return ""
    return f'pd.to_numeric({cell}, errors="coerce")'


def _date(column: Column, cell: str) -> str:
    if "unit" in column.parse:
        return f"pd.to_datetime({cell}, unit={column.parse['unit']!r}, errors='coerce')"
    format_ = column.parse.get("format")
    if format_ == "%Y%m%d":
        return f'pd.to_datetime({cell}.astype(str).str[:8], format="%Y%m%d", errors="coerce")'
    shown = f", format={format_!r}" if format_ else ""
    return f'pd.to_datetime({cell}{shown}, utc=True, errors="coerce").dt.tz_localize(None)'
