"""Write the table of metrics into `docs/observability.md`, from the metrics themselves."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

PAGE = Path(__file__).resolve().parent.parent / "docs" / "observability.md"
# who tells what each module holds
MODULES = {
    "servicekit.metrics": "every service",
    "services.gateway.metrics": "gateway",
    "services.inference.engines.metered": "inference",
    "services.sandbox.metrics": "sandbox",
    "connectorkit.metrics": "connectors",
    "services.pg_connector.metrics": "pg_connector",
}
BEGIN, END = "<!-- metrics: python -m dev.metrics_reference -->", "<!-- /metrics -->"


def metrics(module: str) -> Iterator[MetricWrapperBase]:
    """Those that the module itself holds, in its order."""
    for value in vars(import_module(module)).values():
        if isinstance(value, MetricWrapperBase):
            yield value


def table() -> str:
    """All of them, a line each."""
    rows = ["| metric | kind | labels | told by | meaning |", "| --- | --- | --- | --- | --- |"]
    for module, teller in MODULES.items():
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
