"""The first program: it opens every file, says what the columns hold and how tables join.

What it prints last is one line, `ISOBATH_PROFILE {json}`; `schema.py` reads it back.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from .words import plain, slug

MARKER = "ISOBATH_PROFILE "
_COPY = re.compile(r"(?:\s*\(\d*\)|[\s_-]+(?:copy|final))+\s*$", re.IGNORECASE)
_ARCHIVE = (".gz", ".bz2", ".xz")
TABULAR = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx", ".xls", ".json", ".jsonl", ".ndjson")
# Wider or longer than this is looked at in part, so that the profile stays one screen of JSON.
_FULL = {"rows": 2_000_000, "columns": 60, "values": 12}
_SMALL = {"rows": 100_000, "columns": 25, "values": 5}


def readable(name: str) -> bool:
    """Whether the program knows how to open a file of this name."""
    lower = name.lower()
    for ending in _ARCHIVE:
        lower = lower.removesuffix(ending)
    return lower.endswith(TABULAR)


def families(names: Sequence[str]) -> dict[str, list[str]]:
    """Files grouped into tables: names that differ only in their digits are one table."""
    grouped: dict[str, list[str]] = {}
    for name in sorted(names):
        grouped.setdefault(re.sub(r"\d+", "*", name), []).append(name)
    tables: dict[str, list[str]] = {}
    for files in grouped.values():
        tables[_table_name(files, tables)] = files
    return tables


def _table_name(files: Sequence[str], taken: dict[str, list[str]]) -> str:
    parts = files[0].replace("\\", "/").split("/")
    base = parts[-1].split(".")[0] if len(files) > 1 or parts[-1].count(".") < 2 else parts[-1]
    base = base if len(files) > 1 else re.sub(r"\.[A-Za-z]+$", "", base).split(".")[-1]
    bare = re.sub(r"\d+", "", base) if len(files) > 1 else base
    bare = _COPY.sub("", bare).strip(" _-.()")
    if len(bare) < 2 and len(parts) > 1:
        bare = parts[-2]
    name = re.sub(r"[\s\-.]+", "_", bare) or slug(files[0])
    number = 2
    while name in taken:
        name, number = f"{bare}_{number}", number + 1
    return name


def pattern(files: Sequence[str], every: Sequence[str]) -> str | None:
    """A glob that matches exactly these files of the workspace, if there is a simple one."""
    if any(set(name) & set("[]*?") for name in files):
        return None
    first, last = files[0], files[-1]
    head = len(_common(first, last))
    tail = len(_common(first[head:][::-1], last[head:][::-1]))
    found = first[:head] + "*" + first[len(first) - tail :]
    matching = [
        name for name in every if fnmatchcase(name, found) and _depth(name) == _depth(found)
    ]
    return found if sorted(matching) == sorted(files) else None


def _common(left: str, right: str) -> str:
    size = 0
    while size < min(len(left), len(right)) and left[size] == right[size]:
        size += 1
    return left[:size]


def _depth(name: str) -> int:
    return name.count("/")


def files_expression(files: Sequence[str], every: Sequence[str]) -> str:
    """Python for the list of a table's files: a glob where one says it, else the names."""
    found = pattern(files, every) if len(files) > 1 else None
    if found:
        return f"sorted(glob.glob({found!r}))"
    return repr(list(files))


def program(names: Sequence[str], question: str, *, small: bool = False) -> str:
    """The profiling program for these files."""
    limits = _SMALL if small else _FULL
    tables = families([name for name in names if readable(name)])
    listed = "".join(
        f"    {name!r}: {files_expression(files, list(names))},\n" for name, files in tables.items()
    )
    return (
        _TEXT.replace("@TABLES@", "{\n" + listed + "}")
        .replace("@QUESTION@", repr(plain(question)[:500]))
        .replace("@ROWS@", f"{limits['rows']:_}")
        .replace("@COLUMNS@", str(limits["columns"]))
        .replace("@VALUES@", str(limits["values"]))
        .replace("@MARKER@", MARKER)
    )


_TEXT = r'''# Look before computing: how each file reads, what its columns hold, what joins to what.
import glob
import gzip
import json
import re
import warnings
from itertools import combinations

import pandas as pd

warnings.simplefilter("ignore")
QUESTION = @QUESTION@
TABLES = @TABLES@
ROWS, COLUMNS, VALUES = @ROWS@, @COLUMNS@, @VALUES@  # how much of a table to look at
FORMATS = ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y",
           "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%B %d, %Y", "%b %Y", "%B %Y"]
FORMATS += [f + t for f in FORMATS[:12] for t in (" %H:%M", " %H:%M:%S", " %I:%M %p")]
FLAGS = [("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n")]
KEY = re.compile(r"(^|[_\s]|(?-i:[a-z](?=[INC])))"  # memberNo, but not valid
                 r"(id|ids|key|code|no|nr|number|sku|uuid|ref|#)\W*$", re.I)
MONEY = re.compile(r"^-?([€$£¥]|EUR|USD|GBP|CHF|kr)?\s?-?\d[\d.,'\s]*\s?(%|€|kr|EUR|USD|GBP|CHF)?$")
TIME = re.compile(r"date|time|_at$|_on$|^at$|^ts$|_ts$|epoch|day$", re.I)


def csv_options(path):
    """Encoding, separator and decimal mark, judged from the first 64 KB."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        raw = file.read(65536)
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 4:
            encoding = "cp1252"
        text = raw.decode(encoding, "replace")
    lines = [line for line in text.splitlines()[:21] if line.strip()]
    lines = lines[:-1] if len(raw) == 65536 and len(lines) > 2 else lines
    sep = max(",;\t|", key=lambda s: (min((line.count(s) for line in lines), default=0),
                                      lines[0].count(s) if lines else 0))
    options = {"sep": sep, "encoding": encoding}
    if sep == ";" and re.search(r"(^|;)\s*-?\d+,\d+\s*(;|$)", "\n".join(lines[1:]), re.M):
        options["decimal"] = ","
    first = [cell.strip(' "') for cell in lines[0].split(sep)] if lines else []
    if len(lines) > 1 and first and all(re.fullmatch(r"-?[\d.,:/-]+", cell) for cell in first):
        options |= {"header": None, "names": [f"column {n + 1}" for n in range(len(first))]}
    return options


def read_csv(path):
    options = csv_options(path)
    for extra in ({}, {"encoding": "cp1252"}, {"encoding": "latin-1"}, {"on_bad_lines": "skip"},
                  {"encoding": "latin-1", "on_bad_lines": "skip"}):
        try:
            how = options | extra
            return pd.read_csv(path, nrows=ROWS, low_memory=False, **how), how
        except (UnicodeDecodeError, pd.errors.ParserError) as error:
            last = error
    raise last


def read_json(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            value = json.load(file)
    except json.JSONDecodeError:
        return pd.read_json(path, lines=True, nrows=ROWS), {"lines": True}
    if isinstance(value, dict):  # the records stand under the longest list in it
        lists = [key for key, held in value.items() if isinstance(held, list) and held]
        key = max(lists, key=lambda k: len(value[k]), default=None)
        if key is not None:
            return pd.json_normalize(value[key]), {"key": key}
        if value and all(isinstance(held, dict) for held in value.values()):
            return pd.DataFrame.from_dict(value, orient="index").reset_index(), {"by": "index"}
        value = [value]
    if value and not isinstance(value[0], dict):
        return pd.DataFrame({"value": value}), {"by": "list"}
    return pd.json_normalize(value), {}


def bare(frame):
    """Whether a sheet's first row is a title rather than headings."""
    return sum(str(c).startswith("Unnamed: ") for c in frame.columns) * 2 >= max(frame.shape[1], 1)


def heading(frame):
    """The row of the headings: the first that is nearly as full as the fullest, all of it text."""
    full = frame.notna().sum(axis=1)
    for row in frame.index[:20]:
        cells = frame.loc[row].dropna()
        if full[row] >= max(2, 0.8 * full.max()) and all(isinstance(c, str) for c in cells):
            return int(row)
    return 0


def read(path):
    """Yield (sheet, table, kind, options) for one file."""
    ending = path.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    if ending in ("parquet", "pq"):
        yield "", pd.read_parquet(path), "parquet", {}
    elif ending in ("xlsx", "xls"):
        for sheet, frame in pd.read_excel(path, sheet_name=None).items():
            top = heading(pd.read_excel(path, sheet_name=sheet, header=None)) if bare(frame) else 0
            frame = pd.read_excel(path, sheet_name=sheet, header=top) if top else frame
            named = [c for c in frame.columns if not str(c).startswith("Unnamed: ") or
                     frame[c].notna().any()]
            if named:
                yield (sheet, frame[named].dropna(how="all").reset_index(drop=True), "excel",
                       {"sheet_name": sheet} | ({"header": top} if top else {}))
    elif ending in ("json", "jsonl", "ndjson"):
        yield "", *(lambda found: (found[0], "json", found[1]))(read_json(path))
    else:
        yield "", *(lambda found: (found[0], "csv", found[1]))(read_csv(path))


def parse_dates(column):
    """The column as dates with the options that parse it, or None."""
    sample = column.drop_duplicates().head(3000)
    like = r"^\d{1,4}[-/.]\d{1,2}|\d{4}$|[A-Za-z]{3}\W+\d"
    if sample.astype(str).str.contains(like, regex=True).mean() < 0.9:
        return None
    iso = sample.astype(str).str.match(r"\d{4}-\d{2}").mean() > 0.9
    for format in ["ISO8601"] if iso else FORMATS:
        if pd.to_datetime(sample, format=format, utc=True, errors="coerce").notna().mean() > 0.97:
            parsed = pd.to_datetime(column, format=format, utc=True, errors="coerce")
            return parsed.dt.tz_localize(None), {"format": format}
    return None


def understand(name, column):
    """The column without gaps, in its real type, with that type's name and how to parse it."""
    column = column.dropna()
    if pd.api.types.is_bool_dtype(column) and len(column):
        return column, "flag", {}
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column, utc=True).dt.tz_localize(None), "date", {"native": True}
    if pd.api.types.is_timedelta64_dtype(column):
        return column.dt.total_seconds(), "number", {"native": True}
    if pd.api.types.is_numeric_dtype(column):
        low, high = (column.min(), column.max()) if len(column) else (0, 0)
        if TIME.search(name) and 19000101 <= low <= high <= 21001231:
            digits = column.astype("int64").astype(str)
            dates = pd.to_datetime(digits, format="%Y%m%d", errors="coerce")
            if dates.notna().all():
                return dates, "date", {"format": "%Y%m%d"}
        for unit, scale in (("s", 1), ("ms", 1000)):
            if TIME.search(name) and 5e8 * scale <= low <= high <= 3e9 * scale:
                return pd.to_datetime(column, unit=unit), "date", {"unit": unit}
        return column, "number", {}
    if any(isinstance(value, (list, dict)) or hasattr(value, "dtype") for value in column.head(20)):
        return column.map(str), "text", {"nested": True}
    text = column.astype(str).str.strip()
    sample, values = text.head(2000), set(text.str.lower().head(5000).unique())
    for yes, no in FLAGS:
        if values and values <= {yes, no}:
            return text.str.lower() == yes, "flag", {"yes": yes}
    if len(sample) and pd.to_numeric(sample, errors="coerce").notna().mean() > 0.97:
        return pd.to_numeric(text, errors="coerce").dropna(), "number", {"clean": "plain"}
    for clean, drop, comma in (("symbols", r"[^\d.+-]", ""), ("comma", r"[^\d,+-]", ".")):
        plain = sample.str.match(MONEY)
        numbers = text.str.replace(drop, "", regex=True).str.replace(",", comma)
        if len(sample) and plain.mean() > 0.97:
            numbers = pd.to_numeric(numbers, errors="coerce")
            decimals = bool(sample.str.contains(r",\d{1,2}\D*$").mean() > 0.9)
            if numbers.notna().mean() > 0.97 and (clean == "comma") == decimals:
                return numbers.dropna(), "number", {"clean": clean}
    dates = parse_dates(column) if len(column) else None
    if dates is not None:
        return dates[0].dropna(), "date", dates[1]
    return text, "text", {}


def words(value):
    return " " + " ".join(re.findall(r"[^\W_]+", str(value).lower())) + " "


def root(word):
    """'failed' and 'fails' name the value fail, 'cancel' the value cancelled."""
    return re.sub(r"(.)\1$", r"\1", re.sub(r"(?<=..)(ness|ing|ed|e?s|d|e)$", "", word))


def spelled(name, column):
    """Spellings of a category that differ in case and space only, by the one met most."""
    counts = column.value_counts()
    if not 1 < len(counts) <= 200 or len(counts) > len(column) / 2 or KEY.search(name):
        return {}
    first = {}  # the most frequent comes first
    return {str(value): first[low] for value in counts.index
            if first.setdefault(low := " ".join(value.lower().split()), value) != value}


def describe(name, raw):
    column, kind, parse = understand(name, raw)
    if kind == "text" and not parse and (alike := spelled(name, column)):
        column, parse = column.replace(alike), {"spelled": alike}
    facts = {"name": name, "kind": kind, "parse": parse, "nulls": int(raw.isna().sum()),
             "distinct": int(column.nunique())}
    if kind == "number" and len(column):
        numbers = column.astype(float)
        facts |= {"min": float(numbers.min()), "max": float(numbers.max()),
                  "mean": round(float(numbers.mean()), 6), "whole": bool((numbers % 1 == 0).all())}
    elif kind == "date" and len(column):
        facts |= {"min": str(column.min()), "max": str(column.max()),
                  "clock": bool((column != column.dt.normalize()).any())}
    elif len(column):
        counts = column.value_counts()
        facts["values"] = [[str(value)[:60], int(n)] for value, n in counts.head(VALUES).items()]
        if kind == "text" and len(counts) <= 200_000:  # which of its values does the question name?
            asked = words(QUESTION)
            single = re.sub(r"(?<=[^\W_]{3})s(?= )", "", asked)  # 'routers' names the value Router
            roots = {root(word) for word in asked.split()} if len(counts) <= 50 else set()
            states = roots & {root(word) for word in asked.split() if word.endswith("ness")}
            facts["named"] = [str(value)[:80] for value in counts.index if len(words(value)) > 3
                              and (words(value) in asked or words(value) in single
                                   or root(words(value).strip()) in roots
                                   or words(value).split()[0] in states)][:8]
            facts["length"] = round(float(column.str.len().mean()), 1)
    return facts, column


def may_join(facts):
    named = bool(KEY.search(facts["name"]))
    kept = facts["kind"] in ("text", "date") or (facts.get("whole") and named)
    return facts["distinct"] > 1 and kept


profile = {"tables": [], "links": [], "problems": []}
keys = {}  # (table, column) -> its distinct values, for columns that may join
for name, files in TABLES.items():
    parts = {}
    for path in files:
        try:
            for sheet, frame, kind, options in read(path):
                frame.columns = [str(column) for column in frame.columns]
                shape = (sheet, kind, *frame.columns)
                parts.setdefault(shape, (options, []))[1].append((path, frame))
        except Exception as error:  # one bad file must not hide the others
            told = f"{type(error).__name__}: {error}"[:200]
            profile["problems"].append({"file": path, "error": told})
    for number, ((sheet, kind, *columns), (options, read_in)) in enumerate(parts.items()):
        frame = pd.concat([part for _, part in read_in], ignore_index=True)
        frame = frame.loc[:, ~frame.columns.duplicated()]
        title = name if not number else f"{name}_{sheet or number + 1}"
        table = {"name": sheet if len(parts) > 1 and sheet else title,
                 "kind": kind, "options": options, "files": [path for path, _ in read_in],
                 "rows": len(frame), "width": len(columns),
                 "cut": bool(kind == "csv" and len(read_in[0][1]) >= ROWS), "columns": []}
        for column in frame.columns[:COLUMNS]:
            facts, values = describe(column, frame[column])
            table["columns"].append(facts)
            if may_join(facts):
                keys[(table["name"], column)] = (values.drop_duplicates(), facts, len(frame))
        if len(frame) <= 500_000:
            table["repeated"] = int(frame.astype(str).duplicated().sum())
        profile["tables"].append(table)
        print(f"{table['name']}: {len(frame):,} rows x {len(columns)} columns"
              f" from {len(read_in)} file(s): {', '.join(columns[:12])}")


def plain(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())


def same_meaning(left_table, left, right_table, right):
    """orders.customer_id ~ customers.customer_id, and orders.customer_id ~ customers.id."""
    if plain(left) == plain(right):
        return plain(left) not in ("id", "name", "index", "unnamed0", "column1")
    base = re.sub(r"s$|ies$", "", plain(right_table))
    if len(base) < 3 or not KEY.search(right):
        return False
    return plain(left) in (base + plain(right), base, base + "id")


for left, right in combinations(keys, 2):
    if left[0] == right[0]:
        continue
    (a, a_facts, a_rows), (b, b_facts, b_rows) = keys[left], keys[right]
    a_unique = a_facts["distinct"] == a_rows - a_facts["nulls"]
    b_unique = b_facts["distinct"] == b_rows - b_facts["nulls"]
    if not (a_unique or b_unique or KEY.search(left[1])):
        continue  # the same dimension in two tables, not a key
    if same_meaning(*left, *right) or same_meaning(*right, *left):
        if a_facts["kind"] != b_facts["kind"]:
            a, b = (k.astype(str).str.replace(r"\.0$", "", regex=True) for k in (a, b))
        a_in_b, b_in_a = float(a.isin(b).mean()), float(b.isin(a).mean())
        if max(a_in_b, b_in_a) > 0.01:
            profile["links"].append({
                "left": left, "right": right,
                "left_found": round(a_in_b, 4), "right_found": round(b_in_a, 4),
                "left_unique": a_unique, "right_unique": b_unique})
            print(f"{'.'.join(left)} joins {'.'.join(right)}:"
                  f" {a_in_b:.0%} of the one is found in the other")
for problem in profile["problems"]:
    print("could not read", problem["file"], "-", problem["error"])
print("@MARKER@" + json.dumps(profile, default=str))
'''
