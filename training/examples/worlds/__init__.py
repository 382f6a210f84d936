"""The data that examples are asked of, by the name that tasks call it by."""

from collections.abc import Callable, Mapping

from training.examples.world import World
from training.examples.worlds import brewery, grants, rail, saas, shop

WORLDS: Mapping[str, Callable[[], World]] = {
    "shop": shop.world,
    "saas": saas.world,
    "rail": rail.world,
    "brewery": brewery.world,
    "grants": grants.world,
}
