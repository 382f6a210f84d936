"""Generate the contracts' Python code from `protos/` into a folder (default `gen/`), and beside it
what the comments of the public contracts say, for the documents that are made of them.

Used by `make protos`, and by the check that the committed code is fresh.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
# what users read of: requests, what lies in sources, errors
PUBLIC = ("isobath/analyst/", "isobath/connector/", "isobath/errors/")
COMMENTS = Path("isobath") / "comments.json"
# PEP 561: type checkers elsewhere read the stubs
TYPED = Path("isobath") / "py.typed"


def generate(into: Path) -> None:
    """Write `*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` of every contract under `into`, and
    `isobath/comments.json` and `isobath/py.typed`."""
    into.mkdir(parents=True, exist_ok=True)
    contracts = sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto"))
    outputs = [f"--{kind}={into}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    _protoc(*outputs, *contracts)
    public = [name for name in contracts if name.startswith(PUBLIC)]
    (into / TYPED).touch()
    (into / COMMENTS).write_text(json.dumps(comments(public), indent=1, ensure_ascii=False) + "\n")


def comments(contracts: list[str]) -> dict[str, str]:
    """What stands above services, methods, messages, fields, enums and values, by full names."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "set.binpb"
        _protoc(f"--descriptor_set_out={kept}", "--include_source_info", *contracts)
        described = FileDescriptorSet.FromString(kept.read_bytes())
    found = {name: said for file in described.file for name, said in _comments(file)}
    return dict(sorted(found.items()))


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        if location.leading_comments and len(location.path) > 1:
            said = " ".join(location.leading_comments.split())
            yield f"{file.package}.{_name(file, list(location.path))}", said


def _name(file: FileDescriptorProto, path: list[int]) -> str:
    """What a path of numbers leads to: pairs of a field of the descriptor and a place in it."""
    at: Any = file
    names: list[str] = []
    for number, index in zip(path[::2], path[1::2], strict=True):
        at = getattr(at, at.DESCRIPTOR.fields_by_number[number].name)[index]
        names.append(at.name)
    return ".".join(names)


def _protoc(*arguments: str) -> None:
    well_known = str(files("grpc_tools") / "_proto")
    code = protoc.main(["protoc", f"-I{SOURCES}", f"-I{well_known}", *arguments])
    if code != 0:
        raise SystemExit(f"protoc ended with {code}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "gen")
