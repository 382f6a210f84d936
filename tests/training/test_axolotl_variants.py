"""The files for Axolotl that are made of another are up to date, and what they name is there."""

import json

import pytest
import yaml

from training.axolotl_variants import BASE, VARIANTS, path, text

pytestmark = pytest.mark.req("T2")
ROOT = BASE.parent.parent


@pytest.mark.parametrize("name", VARIANTS)
def test_file_of_a_variant_is_what_its_base_makes(name: str) -> None:
    assert path(name).read_text() == text(name), "run `python -m training.axolotl_variants`"


def test_there_is_no_file_of_a_variant_that_is_gone() -> None:
    assert {each.stem for each in path("any").parent.iterdir()} == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_in_what_it_names_and_in_nothing_else(name: str) -> None:
    base, variant = yaml.safe_load(BASE.read_text()), yaml.safe_load(path(name).read_text())
    named = {*VARIANTS[name].without, *VARIANTS[name].settings}
    differing = {key for key in {*base, *variant} if base.get(key) != variant.get(key)}
    assert differing == named
    assert not set(VARIANTS[name].without) & set(variant)


@pytest.mark.parametrize("file", [BASE, *map(path, VARIANTS)], ids=lambda each: each.stem)
def test_named_files_are_in_the_repository(file) -> None:
    given = yaml.safe_load(file.read_text())
    named = {given["chat_template_jinja"], given.get("deepspeed", given["chat_template_jinja"])}
    assert all((ROOT / each).is_file() for each in named)


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_leaves_to_axolotl_what_the_file_says(stage: int) -> None:
    """Numbers of a batch that contradict end a run only once all of the model is loaded."""
    given = yaml.safe_load(path(f"zero{stage}").read_text())
    deepspeed = json.loads((ROOT / given["deepspeed"]).read_text())
    assert deepspeed["zero_optimization"]["stage"] == stage
    assert deepspeed["bf16"] == {"enabled": given["bf16"]}
    batch = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    assert {deepspeed[key] for key in (*batch, "gradient_clipping")} == {"auto"}
