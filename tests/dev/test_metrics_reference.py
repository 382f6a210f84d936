"""The table of metrics: of all that there are, by Prometheus' conventions, with few values each."""

import re
from pathlib import Path

import pytest

from dev.metrics_reference import PAGE, metrics, modules, page

ROOT = Path(__file__).resolve().parent.parent.parent
# what there is one of for each user, source, run or file
UNBOUNDED = {"owner", "user", "source", "source_id", "run", "run_id", "thread", "key", "path", "id"}
ALL = [metric for module in modules() for metric in metrics(module)]


def test_page_is_fresh() -> None:
    text = PAGE.read_text()
    assert text == page(text), "run `python -m dev.metrics_reference`"


@pytest.mark.req("S7")
def test_every_service_tells_something_of_its_own() -> None:
    tellers = set(modules().values())
    assert {"every service", "gateway", "inference", "sandbox", "connectors"} <= tellers


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric._name)
def test_metric_is_named_by_convention_and_bounded(metric) -> None:
    (described,) = metric.describe()
    assert re.fullmatch(r"isobath_[a-z_]+", described.name)
    assert described.documentation.endswith(".")
    assert not UNBOUNDED & set(metric._labelnames)
    if described.type == "histogram":
        assert re.search(r"_(seconds|bytes|rounds)$", described.name)
    assert not re.search(r"_(ms|millis|milliseconds|kb|mb|minutes)$", described.name)


def test_what_documents_and_manifests_name_is_there() -> None:
    known = set()
    for metric in ALL:
        (described,) = metric.describe()
        suffixes = {
            "counter": ("_total",),
            "histogram": ("", "_bucket", "_sum", "_count"),
        }.get(described.type, ("",))
        known |= {described.name + suffix for suffix in suffixes}
    places = [*(ROOT / "docs").glob("*.md"), *(ROOT / "k8s").rglob("*.yaml")]
    places += (ROOT / "k8s").rglob("*.json")
    for place in places:
        for name in re.findall(r"\bisobath_[a-z_]+", place.read_text()):
            begins = name.endswith("_") or name in _NOT_METRICS
            assert begins or name in known, f"{place.relative_to(ROOT)}: {name}"


# packages and the like
_NOT_METRICS = {"isobath_client"}
