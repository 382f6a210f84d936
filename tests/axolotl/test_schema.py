"""The files pass Axolotl's own validation, and it takes every key of them as it is."""

import pytest
from axolotl.cli.config import prepare_plugins
from axolotl.utils.config import validate_config
from axolotl.utils.dict import DictDefault

from tests.axolotl.files import BASE, VARIANTS, settings

pytestmark = [pytest.mark.axolotl, pytest.mark.req("T2")]
# what Axolotl finds on a machine with eight H100
H100 = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 8, "compute_capability": "sm_90"}


def validated(given):
    config = DictDefault(given)
    prepare_plugins(config)
    return validate_config(
        config, capabilities=H100, env_capabilities={"torch_version": "2.13.0"}
    ).to_dict()


def differing(given, taken):
    """Keys that Axolotl did not take, or took as something else; below those of the file, it adds
    defaults."""
    if isinstance(given, dict) and isinstance(taken, dict):
        return [
            f"{key}.{each}".rstrip(".")
            for key, value in given.items()
            for each in (differing(value, taken[key]) if key in taken else [""])
        ]
    if isinstance(given, list) and isinstance(taken, list) and len(given) == len(taken):
        return [each for pair in zip(given, taken, strict=True) for each in differing(*pair)]
    return [] if given == taken else [""]


@pytest.mark.parametrize("path", [BASE, *VARIANTS], ids=lambda path: path.stem)
def test_is_valid_and_no_key_is_passed_over(path):
    assert differing(settings(path), validated(settings(path))) == []


def test_a_key_that_axolotl_does_not_know_is_found():
    """It drops one without a word."""
    given = {**settings(), "lerning_rate": 1}
    given["datasets"] = [{**given["datasets"][0], "roles_to_trian": []}]
    assert differing(given, validated(given)) == ["datasets.roles_to_trian", "lerning_rate"]
