"""Write the table of metrics into `docs/observability.md`, from the metrics themselves."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

PAGE = Path(__file__).resolve().parent.parent / "docs" / "observability.md"
ROOT = PAGE.parent.parent
# what is there of kinds of metrics
KINDS = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
# packages of which every service, or several, have the metrics; those of services are their own
SHARED = {"servicekit": "every service", "connectorkit": "connectors"}
BEGIN, END = "<!-- metrics: python -m dev.metrics_reference -->", "<!-- /metrics -->"


def modules() -> dict[str, str]:
    """Those that make metrics, each with who tells them."""
    found = {}
    for package in (*SHARED, "services"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if any(map(_imports_metrics, ast.walk(ast.parse(path.read_text())))):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(parts)] = SHARED.get(package) or parts[1]
    return found


def _imports_metrics(node: ast.AST) -> bool:
    if not isinstance(node, ast.ImportFrom) or node.module != "prometheus_client":
        return False
    return bool({alias.name for alias in node.names} & KINDS)


def metrics(module: str) -> Iterator[MetricWrapperBase]:
    """Those that the module itself holds, in its order."""
    for value in vars(import_module(module)).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def table() -> str:
    """All of them, a line each."""
    rows = ["| metric | kind | labels | told by | meaning |", "| --- | --- | --- | --- | --- |"]
    for module, teller in modules().items():
        rows += [_row(metric, teller) for metric in metrics(module)]
    return "\n".join(rows)


def _row(metric: MetricWrapperBase, teller: str) -> str:
    (described,) = metric.describe()
    # the client library tells the names of labels nowhere else
    labels = ", ".join(f"`{name}`" for name in metric._labelnames)
    name = described.name + ("_total" if described.type == "counter" else "")
    return f"| `{name}` | {described.type} | {labels} | {teller} | {described.documentation} |"


def page(text: str) -> str:
    """The page with its table anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
