"""The client takes no more than what its extra installs."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from tests.test_architecture import OURS, ROOT

LISTED = (
    "import sys; before = set(sys.modules); import {}; "
    "print(*{{name.partition('.')[0] for name in set(sys.modules) - before}})"
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("module", ["isobath_client", "isobath_client.cli"])
def test_imports_are_those_of_the_extra(module: str) -> None:
    lock = (ROOT / "requirements/client.txt").read_text()
    pinned = {canonical(each) for each in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    command = [sys.executable, "-c", LISTED.format(module)]
    loaded = set(subprocess.check_output(command, text=True, cwd=ROOT).split())
    distributions = packages_distributions()
    # gRPC looks whether its compiler is there
    for name in loaded - OURS - sys.stdlib_module_names - {"grpc_tools"}:
        owners = {canonical(each) for each in distributions.get(name, ())}
        # what no package owns was made by one that is loaded
        assert not owners or owners & pinned, name
    assert not loaded & {"pandas", "pyarrow", "numpy", "cryptography"}
