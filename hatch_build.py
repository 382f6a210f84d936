"""Compiles the loops of services/pg_connector/binary/kernel.c where there is a C compiler.

Without one, or on a machine that they are not written for, the package is the same but for them:
the connector then does their work with numpy.
"""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "services/pg_connector/binary/kernel.c"
LIBRARY = "services/pg_connector/binary/libkernel.so"
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-O3", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")


class KernelHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        library = Path(self.root, LIBRARY)
        library.unlink(missing_ok=True)
        if self.target_name != "wheel":
            return
        if why := compiled(Path(self.root, SOURCE), library):
            self.app.display_warning(f"{SOURCE} is not compiled, numpy takes its place: {why}")
            return
        build_data["artifacts"].append(f"/{LIBRARY}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def compiled(source: Path, library: Path) -> str:
    """Why it was not; "" = it was."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return f"none of {', '.join(_COMPILERS)} is here"
    try:
        subprocess.run(  # noqa: S603
            [compiler, *_FLAGS, "-o", library, source], check=True, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as exc:
        library.unlink(missing_ok=True)
        return str(exc.stderr)
    return ""
