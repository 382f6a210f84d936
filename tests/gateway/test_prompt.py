import json

import pytest

from services.gateway.conversation import Message
from services.gateway.prompt import MAX_COLUMNS, DataFile, LiveSource, prompt

QUESTION = [Message("user", "earlier"), Message("assistant", "yes"), Message("user", "Why?")]


@pytest.mark.req("C1")
def test_prompt_has_the_trained_shape() -> None:
    files = [DataFile("orders.csv", 4915), DataFile("b/c.parquet", 10854, rows=3)]
    *earlier, last = prompt(QUESTION, files)
    assert earlier == QUESTION[:-1]
    assert last.content == (
        "# Instruction\nWhy?\n\n# Data\n"
        'File 1:\n{\n    "name": "orders.csv",\n    "size": "4.8KB"\n}\n\n'
        'File 2:\n{\n    "name": "b/c.parquet",\n    "size": "10.6KB",\n    "rows": 3\n}'
    )


def test_empty_workspace_leaves_data_out() -> None:
    assert prompt(QUESTION, [])[-1].content == "# Instruction\nWhy?"


@pytest.mark.req("C1")
def test_entry_tells_columns_and_origin_after_name_and_size() -> None:
    file = DataFile("é.csv", 1, columns=[("a", "int8")], origin="sales: public.é", note="cut")
    entry = file.entry()
    assert list(entry) == ["name", "size", "columns", "origin", "note"]
    assert "é" in prompt(QUESTION, [file])[-1].content
    assert json.loads(json.dumps(entry)) == entry


def test_wide_table_is_told_by_its_first_columns() -> None:
    columns = [(f"c{i}", "text") for i in range(MAX_COLUMNS + 7)]
    entry = DataFile("w.csv", 1, columns=columns).entry()
    assert len(entry["columns"]) == MAX_COLUMNS
    assert entry["more_columns"] == 7


def test_live_sources_are_explained() -> None:
    content = prompt(QUESTION, [], [LiveSource("sales", "postgresql", "the shop", "use .query")])[
        -1
    ].content
    assert 'sources["sales"] (postgresql) the shop' in content
    assert "  use .query" in content
