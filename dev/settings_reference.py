"""Write `docs/configuration.md` from the services' settings.

The comment above a field is its meaning, so the page cannot say other than the code.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "configuration.md"
SERVICES = (
    "gateway",
    "credentials",
    "pg_connector",
    "blob_connector",
    "file_connector",
    "sandbox",
    "inference",
)
HEAD = """# Configuration

Every setting is an environment variable: the service's prefix and the name. A setting may also be
read from a file, whose path stands in the same variable with `_FILE` behind its name; secrets
should be. An empty variable counts as unset. A service that cannot use its settings names all
that are wrong, and ends with code 2.

Made by `python -m dev.settings_reference` from the comments in `services/*/settings.py`.

Every service also reads `ISOBATH_LOG_LEVEL` (DEBUG, INFO, WARNING, ERROR).
"""
TRACES = """What is unset here is taken from OpenTelemetry's own `OTEL_EXPORTER_OTLP_…`,
`OTEL_TRACES_SAMPLER_ARG` and `OTEL_SDK_DISABLED`; `OTEL_RESOURCE_ATTRIBUTES` adds to what says who
made a span ([observability](observability.md#traces)).
"""
LOCAL = """## `make up` and `make demo`: `ISOBATH_…`

They hand any `ISOBATH_<SERVICE>_…` on to that service, and `ISOBATH_TRACES_…` and `OTEL_…` on to
all.
"""


@dataclass(frozen=True)
class Setting:
    """One field of a settings class."""

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Nested:
    """A settings class within a service's own."""

    field: str
    file: str
    cls: str
    prefix: str
    said: str


NESTED = {
    "sandbox": (Nested("pods", "settings.py", "PodSettings", "PODS", "With `DRIVER` = `pods`"),),
    "gateway": (
        Nested(
            "files",
            "bytestore/settings.py",
            "FilesSettings",
            "FILES",
            "Where the bytes of files lie",
        ),
        Nested("keep", "upkeep/settings.py", "KeepSettings", "KEEP", "For how long what is kept"),
        Nested("oidc", "access/oidc.py", "OidcSettings", "OIDC", "Sign-in by OpenID Connect"),
        Nested("oidc", "access/quotas.py", "Quota", "OIDC_QUOTA", "What each such person may use"),
    ),
}


def fields(path: Path, cls: str) -> Iterator[Setting]:
    """The annotated fields of a class, with the comments above them."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == cls:
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    default = ast.unparse(field.value) if field.value else "required"
                    meaning = _comment_above(lines, field.lineno - 1)
                    yield Setting(field.target.id, default, meaning)


def _comment_above(lines: list[str], at: int) -> str:
    found: list[str] = []
    while at > 0 and lines[at - 1].strip().startswith("#"):
        found.insert(0, lines[at - 1].strip().removeprefix("#").strip())
        at -= 1
    return " ".join(found)


def page() -> str:
    """The whole page."""
    server = list(fields(ROOT / "servicekit" / "server.py", "ServerSettings"))
    tls = list(fields(ROOT / "servicekit" / "tls.py", "TlsSettings"))
    server = [each for each in server if each.name != "tls"]
    parts = [HEAD, "## Every service: `ISOBATH_<SERVICE>_SERVER_…`\n"]
    parts += [_table("", server).rstrip("\n"), *_table("TLS_", tls).split("\n")[2:]]
    traces = list(fields(ROOT / "servicekit" / "exporting.py", "TraceSettings"))
    parts += ["## Traces, of every service: `ISOBATH_TRACES_…`\n", TRACES, _table("", traces)]
    for service in SERVICES:
        own = fields(ROOT / "services" / service / "settings.py", "Settings")
        prefix = f"ISOBATH_{service.upper()}_"
        nested = NESTED.get(service, ())
        inner = {"server", *(each.field for each in nested)}
        parts += [f"## {service}: `{prefix}…`\n"]
        parts += [_table("", [each for each in own if each.name not in inner])]
        for each in nested:
            found = fields(ROOT / "services" / service / each.file, each.cls)
            kept = [setting for setting in found if setting.name != "quota"]
            parts += [f"{each.said}, `{prefix}{each.prefix}_…`:\n", _table("", kept)]
    local = list(fields(ROOT / "dev" / "settings.py", "Settings"))
    return "\n".join([*parts, LOCAL, _table("", local)])


def _table(prefix: str, settings: list[Setting]) -> str:
    rows = ["| name | default | meaning |", "| --- | --- | --- |"]
    rows += [
        f"| `{prefix}{s.name.upper()}` | `{_short(s.default)}` | {s.meaning} |" for s in settings
    ]
    return "\n".join(row.replace("||", "|") for row in rows) + "\n"


def _short(default: str) -> str:
    made = "field(default_factory=lambda: "
    plain = default.removeprefix(made).removesuffix(")") if default.startswith(made) else default
    plain = "unset" if plain == "None" else plain
    return plain.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
