"""What a service's code imports, module by module."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("servicekit", "grants", "connectorkit", "services", "isobath")


@functools.cache
def needed(service: str) -> tuple[set[str], set[str]]:
    """Our packages, and the top names of others', that any of the service's modules imports, or
    what these import, wherever in the code it is written."""
    waiting = [_name(path) for path in (ROOT / "services" / service).rglob("*.py")]
    waiting.append("servicekit.probe")  # of the health check
    seen, others = set[str](), set[str]()
    while waiting:
        module = waiting.pop()
        path = _path(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        if module.startswith("isobath."):
            # generated: it needs grpc and protobuf, as everything does
            continue
        for name in _imports(path, module):
            if name.split(".")[0] in OURS:
                waiting += [name, *_parents(name)]
            else:
                others.add(name.split(".")[0])
    return {module.split(".")[0] for module in seen}, others


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def _path(module: str) -> Path | None:
    start = ROOT / "gen" if module.split(".")[0] == "isobath" else ROOT
    at = start.joinpath(*module.split("."))
    for found in (at.with_suffix(".py"), at / "__init__.py"):
        if found.is_file():
            return found
    # a namespace, as isobath is
    return None


def _imports(path: Path, module: str) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    checked = {id(inner) for node in ast.walk(tree) if _for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in checked:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _source(node, module, path.stem == "__init__")
            yield source
            # a name may be a module of that package
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _source(node: ast.ImportFrom, module: str, package: bool) -> str:
    """Of a `from … import`, which may be relative."""
    above = module.split(".")[: -(node.level - package) or None] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
