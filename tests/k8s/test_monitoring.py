"""Alerts, dashboards and scalers ask for metrics that services tell, with labels that these have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dev.manifests import K8S, Combination, of_kind, rendered
from dev.metrics_reference import PAGE

ROOT = K8S.parent
MONITORING = K8S / "components" / "monitoring"
# of Prometheus and of its client library
_GIVEN = {"namespace", "pod", "job", "instance", "container", "le"}
_FOREIGN = {"process_resident_memory_bytes": set[str]()}
_METRIC = re.compile(r"\b((?:isobath|process)_[a-z_]+)(?:\{([^}]*)\})?")


def known() -> dict[str, set[str]]:
    """Every name that can be asked for, and its labels, as the table in docs/observability.md tells;
    a test there holds it against the code."""
    found = dict(_FOREIGN)
    for name, kind, labels in re.findall(
        r"^\| `(isobath_\w+)` \| (\w+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE
    ):
        of = set(re.findall(r"`(\w+)`", labels))
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {f"{name}{suffix}": of for suffix in suffixes}
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Each with where it stands."""
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for document in rendered(Combination("local", ("monitoring", "keda"))):
        if document["kind"] == "ScaledObject":
            for trigger in document["spec"]["triggers"]:
                yield document["metadata"]["name"], trigger["metadata"]["query"]


@pytest.mark.req("K1", "S7")
def test_metrics_that_are_asked_for_exist() -> None:
    there = known()
    asked = 0
    for where, expression in expressions():
        for name, selectors in _METRIC.findall(expression):
            asked += 1
            assert name in there, f"{where}: {name}"
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors or ""))
            assert labels <= there[name] | _GIVEN, f"{where}: {name}{{{selectors}}}"
        of_one = [there[name] for name, _ in _METRIC.findall(expression)]
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            wanted = {each.strip() for each in grouped.split(",")}
            assert any(wanted <= labels | _GIVEN for labels in of_one), f"{where}: {grouped}"
    assert asked > 40


@pytest.mark.req("S7")
def test_alerts_say_what_to_do_and_where_to_read_it() -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    for rule in (each for group in rules["spec"]["groups"] for each in group["rules"]):
        notes = rule["annotations"]
        assert notes["summary"] and notes["description"], rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        path, _, anchor = notes["runbook"].partition("#")
        assert anchor in anchors(ROOT / path), rule["alert"]


def anchors(page: Path) -> set[str]:
    """Of its headings, as they are made of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_page_of_metrics_lists_what_should_be_alerted_on() -> None:
    """Every row of its table is an alert, by the metric that it looks at."""
    table = PAGE.read_text().partition("### What to alert on")[2].partition("\n## ")[0]
    rows = [each for each in table.splitlines() if each.startswith("| ") and "isobath_" in each]
    rules = (MONITORING / "alerts.yaml").read_text()
    assert rows
    for row in rows:
        metric = re.findall(r"isobath_\w+", row)[0]
        assert metric in rules, row


def test_panels_have_a_place_of_their_own() -> None:
    told = json.loads((MONITORING / "dashboard.json").read_text())
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in told["panels"]}
    assert len(places) == len(told["panels"]) == len({panel["id"] for panel in told["panels"]})
    (taken,) = (
        each
        for each in of_kind(rendered(Combination("local", ("monitoring",))), "ConfigMap")
        if each["metadata"]["name"] == "isobath-dashboard"
    )
    assert json.loads(taken["data"]["isobath.json"]) == told
