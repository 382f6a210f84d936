"""Generate the contracts' Python code from `protos/` into a folder (default `gen/`).

Used by `make protos`, and by the check that the committed code is fresh.
"""

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def generate(into: Path) -> None:
    """Write `*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` of every contract under `into`."""
    into.mkdir(parents=True, exist_ok=True)
    sources = ROOT / "protos"
    contracts = sorted(str(path.relative_to(sources)) for path in sources.rglob("*.proto"))
    well_known = str(files("grpc_tools") / "_proto")
    outputs = [f"--{kind}={into}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    code = protoc.main(["protoc", f"-I{sources}", f"-I{well_known}", *outputs, *contracts])
    if code != 0:
        raise SystemExit(f"protoc ended with {code}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "gen")
