"""Write `docs/api.md`: what stands in `reference/page.md`, and in its places the gateway's OpenAPI
document, the contracts' comments, and the worked examples of `docs/examples/`."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from dev.reference import contracts, http
from services.gateway.http.app import families, openapi

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "api.md"


@cache
def document() -> dict[str, Any]:
    """What the gateway serves as `/openapi.json`."""
    return openapi(families(None))  # type: ignore[arg-type]


def page() -> str:
    """The whole page. Raises `Missing` for what has no example."""
    told = document()
    found = {
        "overview": told["info"]["description"],
        "index": http.index(told),
        "families": "\n".join(http.family(told, tag) for tag in told["tags"]),
        "objects": http.objects(told),
        "events": contracts.events(),
        "statuses": http.statuses(told),
        "reasons": contracts.errors(),
        "rpcs": contracts.rpcs(),
    }
    template = (HERE / "reference" / "page.md").read_text()
    return re.sub(r"\[\[(\w+)\]\]", lambda place: found[place[1]].strip(), template)


if __name__ == "__main__":
    PAGE.write_text(page())
