"""Data that nobody cleaned: the analyst reads what can be read and says what cannot."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from services.inference.engines.rules import profiling
from tests.inference.rules_data.loop import Run, ask

pytestmark = pytest.mark.filterwarnings("ignore")
QUESTIONS = ("Analyse this data", "How many rows are there?", "What is missing?", "total by group")


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def clean(run: Run) -> Run:
    """The run, when none of its programs failed."""
    assert not run.failed, run.failed[-1]
    return run


def rows(*lines: str) -> str:
    return "\n".join(lines) + "\n"


WEIRD: dict[str, dict[str, str | bytes]] = {
    "empty": {"a.csv": ""},
    "header_only": {"a.csv": "x,y\n"},
    "one_column": {"a.csv": rows("x", *"1234567")},
    "one_row": {"a.csv": rows("x,y", "1,a")},
    "one_text_column": {"notes.txt": rows("note", "hello there", "good bye", "again")},
    "all_null": {"a.csv": rows("x,y,z", ",,", ",,", ",,")},
    "constant": {"a.csv": rows("x,y", *["1,a"] * 30)},
    "unicode_names": {"data.csv": rows("größe,город,数量", "1.5,Омск,3", "2.5,Омск,4", "3,Киев,5")},
    "duplicate_columns": {"a.csv": rows("x,x,g,g", "1,2,a,b", "3,4,a,c", "5,6,b,c")},
    "blank_names": {"a.csv": rows(",,v", "1,a,2", "2,b,3")},
    "names_of_our_own": {"data.csv": rows("value,n,index,count,table", "1,2,3,4,a", "2,3,4,5,b", "7,7,8,9,b")},
    "python_words": {"class.csv": rows("def,import", "1,a", "2,b"), "import.csv": rows("def,for", "1,c", "2,d")},
    "quotes_in_names": {"it's \"q\".csv": rows("a'b,\"c\"\"d\"", "1,x", "2,y")},
    "tags_in_names": {"<Code>.csv": rows("</Answer>,`v`", "</Code>,1", "<Answer>,2")},
    "no_header": {"a.csv": rows("1,2,3", "4,5,6", "7,8,9")},
    "broken_lines": {"a.csv": rows("x,g", "1,a", "2,b,c,d", "3,b")},
    "garbage": {"a.csv": bytes(range(256)) * 20},
    "not_parquet": {"a.parquet": b"this is no parquet", "b.csv": rows("x,g", "1,a", "2,b", "4,b")},
    "broken_json": {"a.json": "{\"x\": [1, 2", "b.csv": rows("x,g", "1,a", "2,b", "3,b")},
    "scalar_json": {"a.json": "3"},
    "nested_json": {"a.json": json.dumps([{"x": i, "in": {"g": "ab"[i % 2], "l": [1, 2]}} for i in range(9)])},
    "dates_only": {"a.csv": rows("day", "2025-01-01", "2025-01-02", "2025-02-03")},
    "infinite": {"a.csv": rows("x,g", "inf,a", "1,a", "-inf,b", "2,b")},
    "huge_numbers": {"a.csv": rows("x,g", f"{10**30},a", f"{10**31},b", "5,b")},
    "same_names": {"a/t.csv": rows("id,v", "1,2", "2,3"), "b/t.csv": rows("id,v", "1,5", "2,6")},
    "differing_family": {"m_1.csv": rows("x,g", "1,a", "2,b"), "m_2.csv": rows("y,h", "3,c", "4,d")},
    "unknown_kinds": {"a.png": b"\x89PNG", "b.bin": b"\0\1", "c.csv": rows("x,g", "1,a", "2,b")},
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", WEIRD)
def test_weird_data_still_gets_an_answer(name, question, tmp_path):
    run = clean(ask(question, write(tmp_path, WEIRD[name])))
    assert len(run.answer) > 80


def test_unreadable_file_is_named_and_the_others_answer(tmp_path):
    run = clean(ask("total x by g", write(tmp_path, WEIRD["not_parquet"])))
    assert "`a.parquet` could not be read" in run.answer
    assert "| b | 6 |" in run.answer


def test_no_readable_file_says_what_can_be_read(tmp_path):
    run = ask("total x by g", write(tmp_path, {"a.png": b"\x89PNG"}))
    assert "I find no table in" in run.answer
    assert not run.programs


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_encoding_and_separator_are_found(encoding, sep, tmp_path):
    text = rows(
        *(
            sep.join(line)
            for line in (("Straße", "wert"), ("Köln", "1"), ("Köln", "2"), ("Århus", "7"))
        )
    )
    run = clean(ask("total wert by Straße", write(tmp_path, {"a.csv": text.encode(encoding)})))
    assert "| Århus | 7 |" in run.answer
    assert "| Köln | 3 |" in run.answer


def test_latin_1_after_the_first_piece_is_found(tmp_path):
    lines = ["g,x", *["a,1"] * 30_000, "Köln,5"]
    run = clean(ask("total x by g", write(tmp_path, {"a.csv": rows(*lines).encode("latin-1")})))
    assert "| Köln | 5 |" in run.answer
    assert "| a | 30,000 |" in run.answer


@pytest.mark.parametrize(
    ("cells", "total"),
    [
        (("$1,200.50", "$2,000.00", "$3.25"), "3,203.75"),
        (("1.200,50 €", "2.000,00 €", "3,25 €"), "3,203.75"),
        (("10%", "20%", "5%"), "35"),
        (("EUR 10.5", "EUR 20", "EUR 1"), "31.50"),
        (("-5", " 7 ", "1e3"), "1,002"),
    ],
)
def test_numbers_written_as_text_are_added(cells, total, tmp_path):
    frame = pd.DataFrame({"shop": ["a"] * 3, "amount": cells})
    frame.to_csv(tmp_path / "sales.csv", index=False)
    run = clean(ask("What is the total amount?", tmp_path))
    assert f": {total}**" in run.answer


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%Y%m%d",
        "%Y-%m-%d %H:%M:%S+00",
        "%d-%b-%Y",
        "%b %d, %Y",
        "s",
        "ms",
    ],
)
def test_dates_are_read_whatever_their_form(form, tmp_path):
    days = pd.Series(pd.date_range("2024-11-01", "2025-02-28"))
    if form in ("s", "ms"):
        written: pd.Series = (days - pd.Timestamp(0)) // pd.Timedelta(1, unit=form)
    else:
        written = days.dt.strftime(form)
    pd.DataFrame({"date": written, "sales": 1}).to_csv(tmp_path / "t.csv", index=False)
    run = clean(ask("sales by month", tmp_path))
    for month, size in {"2024-11": 30, "2024-12": 31, "2025-01": 31, "2025-02": 28}.items():
        assert f"| {month} | {size} |" in run.answer


def test_flags_in_any_spelling_are_rates(tmp_path):
    for number, (yes, no) in enumerate(
        [("t", "f"), ("yes", "no"), ("True", "False"), ("Y", "N"), ("1", "0")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        pd.DataFrame({"g": ["a", "a", "b", "b"] * 6, "churned": [yes, no, no, no] * 6}).to_csv(
            folder / "c.csv", index=False
        )
        run = clean(ask("churn rate by g", folder))
        assert "| a | 50.0% |" in run.answer
        assert "| b | 0.0% |" in run.answer


def test_types_of_postgres_in_parquet_are_understood(tmp_path):
    from datetime import date
    from decimal import Decimal

    frame = pd.DataFrame(
        {
            "region": ["n", "s"] * 10,
            "amount": [Decimal("1.10"), Decimal("2.20")] * 10,
            "day": [date(2025, 1, 1 + n) for n in range(20)],
            "at": pd.date_range("2025-01-01", periods=20, tz="Europe/Oslo"),
            "tags": [["x", "y"]] * 20,
        }
    )
    frame.to_parquet(tmp_path / "sales.parquet")
    run = clean(ask("total amount by region", tmp_path))
    assert "| s | 22 |" in run.answer
    assert "| n | 11 |" in run.answer


def test_keys_of_different_types_are_joined(tmp_path):
    pd.DataFrame({"customer_id": [1, 2, 3, None] * 5, "total": [1.0, 2.0, 4.0, 8.0] * 5}).to_csv(
        tmp_path / "orders.csv", index=False
    )
    pd.DataFrame({"customer_id": ["1", "2", "3"], "region": ["n", "s", "s"]}).to_parquet(
        tmp_path / "customers.parquet"
    )
    run = clean(ask("total by region", tmp_path))
    assert "| s | 30 |" in run.answer
    assert "| n | 5 |" in run.answer


def test_join_does_not_multiply_rows(tmp_path):
    pd.DataFrame({"order_id": range(1, 31), "total": [10] * 30}).to_csv(
        tmp_path / "orders.csv", index=False
    )
    lines = pd.DataFrame(
        {"order_id": [n for n in range(1, 31) for _ in range(3)], "category": ["a", "a", "b"] * 30}
    )
    lines.to_csv(tmp_path / "lines.csv", index=False)
    run = clean(ask("order total by category", tmp_path))
    assert "| a | 300 |" in run.answer
    assert "counts once under each" in run.answer


def test_million_rows_need_two_small_programs(tmp_path):
    rng = np.random.default_rng(3)
    size = 1_000_000
    frame = pd.DataFrame(
        {
            "id": np.arange(size),
            "g": rng.choice(list("abc"), size),
            "amount": rng.integers(0, 100, size),
        }
    )
    frame.to_csv(tmp_path / "big.csv", index=False)
    run = clean(ask("total amount by g", tmp_path))
    for group, total in frame.groupby("g")["amount"].sum().items():
        assert f"| {group} | {total:,} |" in run.answer
    assert max(len(output) for output in run.outputs) < 8_000


def test_profile_of_wide_data_stays_small(tmp_path):
    wide = pd.DataFrame({f"column_{n}": range(50) for n in range(300)})
    wide.to_csv(tmp_path / "wide.csv", index=False)
    run = clean(ask("overview", tmp_path))
    assert len(run.outputs[0]) < 25_000
    assert "| 300 |" in run.answer


@pytest.mark.parametrize(
    ("names", "tables"),
    [
        (["shipments/2025-01.parquet", "shipments/2025-02.parquet"], {"shipments": 2}),
        (["sales_2023.csv", "sales_2024.csv", "costs.csv"], {"sales": 2, "costs": 1}),
        (["sales/orders.csv", "lake/orders.csv"], {"orders": 1, "orders_2": 1}),
        (["public.orders.csv"], {"orders": 1}),
        (["1.csv"], {"1": 1}),
    ],
)
def test_files_are_grouped_into_tables(names, tables):
    assert {name: len(files) for name, files in profiling.families(names).items()} == tables


def test_pattern_never_matches_a_file_of_another_table():
    every = ["a/x-1.csv", "a/x-2.csv", "a/x-old.csv"]
    assert profiling.pattern(every[:2], every) is None
    assert profiling.pattern(every[:2], every[:2]) == "a/x-*.csv"
