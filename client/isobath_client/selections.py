"""The short way to write which data a question is about.

sales:public.orders              a relation
lake:shipments/2025-*.parquet    a blob, or a glob of blobs
sales=SELECT * FROM orders       a query
sales                            nothing yet: the analyst's code queries it
big=sales:public.orders          any of these under a name of its own, by `target`
"""

import re

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector

_SHAPE = re.compile(r"(?P<source>[A-Za-z0-9_-]+)(?:(?P<mark>[:=])(?P<what>.+))?", re.DOTALL)


def selection(text: str, *, target: str = "", max_rows: int | None = None) -> analyst.DataSelection:
    """Parse one selection; `target` names its file in the workspace. `max_rows`: 0 = all, None =
    the service's own limit.

    Raises `ValueError` with the shapes when the text has none of them.
    """
    found = _SHAPE.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is none of SOURCE, SOURCE:PATH and SOURCE=SELECT …; "
            "`isobath sources browse SOURCE` lists the paths"
        )
    chosen = analyst.DataSelection(source=found["source"], target=target)
    if max_rows is not None and found["mark"]:
        chosen.limits.max_rows = max_rows
    if found["mark"] == ":":
        chosen.path = found["what"]
    elif found["mark"]:
        chosen.query.CopyFrom(connector.Query(sql=found["what"]))
    return chosen
