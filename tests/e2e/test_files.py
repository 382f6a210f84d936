"""The platform's third source: a folder of this machine, by a connector that the gateway knows by
its address alone."""

import httpx
import pytest

from dev.samples.planning import CONTRACTS, targets
from tests.e2e.conftest import Platform
from tests.e2e.question import MODEL

pytestmark = [pytest.mark.slow, pytest.mark.req("D11")]
BASE = "/v1/data-sources/files"


@pytest.mark.req("D1")
def test_folder_is_one_of_the_sources(platform: Platform, api: httpx.Client) -> None:
    assert set(platform.ready["sources"]) == {"sales", "lake", "files"}
    assert platform.pid("file_connector") > 0
    listed = api.get(f"{BASE}/browse", params={"glob": "**"}).raise_for_status().json()
    paths = {each["path"] for each in listed["data"]}
    assert {"contracts/carriers.xlsx", "targets/2025.csv"} <= paths
    # the home of the platform, whose folder it is, is not to be had
    for path in ("../ready.json", "../api_key", "targets/../../api_key"):
        refused = api.get(f"{BASE}/content", params={"path": path})
        assert refused.status_code == 422, refused.text


@pytest.mark.req("C1", "C4")
def test_question_of_its_files_is_answered(api: httpx.Client) -> None:
    asked = {
        "model": MODEL,
        "messages": [
            {"role": "user", "content": "Which region has the highest total target_sales?"}
        ],
        "data_sources": [
            {"source": "files", "path": "targets/*.csv"},
            {"source": "files", "path": "contracts/carriers.xlsx"},
        ],
    }
    reply = api.post("/v1/chat/completions", json=asked).raise_for_status().json()
    answer = reply["choices"][0]["message"]["content"].split("<Answer>")[1]
    planned = targets(2025).to_pandas().groupby("region")["target_sales"].sum()
    assert str(planned.idxmax()) in answer


@pytest.mark.req("B4", "C6")
def test_results_are_written_into_it(platform: Platform, api: httpx.Client) -> None:
    asked = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "How many rows are there?"}],
        "data_sources": [{"source": "files", "path": "targets/2025.csv"}],
        "artifacts_to": {"source": "files", "prefix": "results/{run_id}/"},
    }
    reply = api.post("/v1/chat/completions", json=asked).raise_for_status().json()
    assert not [each for each in reply["written_files"] if "reason" in each]
    for each in reply["written_files"]:
        assert (platform.home / "files" / each["path"]).stat().st_size == each["bytes"]


@pytest.mark.req("D10", "P10")
def test_workbook_and_sql_over_files_are_read(api: httpx.Client) -> None:
    body = {"path": "contracts/carriers.xlsx"}
    rows = api.post(f"{BASE}/query", json=body).raise_for_status().json()
    assert [row[0] for row in rows["rows"]] == list(CONTRACTS)
    sql = "SELECT month, max(target_sales) AS most FROM 'targets/*.csv' GROUP BY 1 ORDER BY 1"
    rows = api.post(f"{BASE}/query", json={"sql": sql}).raise_for_status().json()
    wanted = targets(2025).to_pandas().groupby("month")["target_sales"].max()
    assert dict(rows["rows"]) == pytest.approx(wanted.to_dict())
