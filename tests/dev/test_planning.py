"""What was planned for the sample company can be held against what it sold."""

from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from dev.samples import facts, generate
from dev.samples.load import load_files
from dev.samples.planning import CONTRACTS, targets


@pytest.mark.req("D11")
def test_no_region_reaches_its_target_and_the_one_that_returns_most_does_least() -> None:
    company = generate()
    orders = company.relations["orders"].to_pandas()
    sold = orders[orders["status"] == "completed"].groupby("region")["total"].sum()
    planned = targets(2025).to_pandas().groupby("region")["target_sales"].sum()
    reached = (sold / planned).sort_values()
    assert reached.max() < 1 and reached.index[0] == facts(company).worst_region
    assert reached.iloc[0] < reached.iloc[1] - 0.1


def test_files_are_written_once_and_then_left_to_their_owner(tmp_path: Path) -> None:
    names = load_files(tmp_path)
    assert names == ["targets/2025.csv", "contracts/carriers.xlsx"]
    table = pd.read_csv(tmp_path / names[0])
    assert list(table.columns) == ["month", "region", "target_sales"] and len(table) == 72
    sheet = openpyxl.load_workbook(tmp_path / names[1])["Contracts"]
    assert [row[0].value for row in sheet.iter_rows(min_row=2)] == list(CONTRACTS)
    (tmp_path / names[0]).write_text("mine")
    assert load_files(tmp_path) == names and (tmp_path / names[0]).read_text() == "mine"
