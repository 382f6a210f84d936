"""The data that examples are asked of, by the name that tasks call it by."""

from collections.abc import Callable, Mapping

from training.examples.world import World
from training.examples.worlds import shop

WORLDS: Mapping[str, Callable[[], World]] = {
    "shop": shop.world,
}
