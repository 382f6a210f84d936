"""What Meridian Outdoor sells."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dev.samples.columns import cents, days


@dataclass(frozen=True)
class Category:
    """A line of products: the price of a typical one, its weight, and what it is called."""

    name: str
    price: float
    weight_kg: float
    nouns: tuple[str, ...]


CATEGORIES = (
    Category("Tents", 240.0, 3.2, ("Dome Tent", "Tunnel Tent", "Bivouac", "Tarp")),
    Category("Sleeping", 120.0, 1.4, ("Sleeping Bag", "Air Mat", "Quilt", "Liner")),
    Category("Clothing", 85.0, 0.6, ("Shell Jacket", "Fleece", "Trousers", "Base Layer", "Cap")),
    Category("Footwear", 130.0, 1.1, ("Hiking Boot", "Trail Shoe", "Snow Boot", "Gaiter")),
    Category("Packs", 110.0, 1.3, ("Trekking Pack", "Day Pack", "Duffel", "Hip Pack")),
    Category("Kitchen", 45.0, 0.5, ("Gas Stove", "Pot Set", "Flask", "Water Filter")),
    Category("Snow", 210.0, 2.4, ("Snowshoes", "Touring Ski", "Ice Axe", "Avalanche Probe")),
    Category("Light", 40.0, 0.2, ("Headlamp", "Lantern", "Power Bank")),
)
NAMES = ("Alder", "Birch", "Cairn", "Drift", "Ember", "Fjell", "Gale", "Heath", "Islet", "Juniper")
COLOURS = ("slate", "moss", "rust", "ink", "sand")
SUPPLIERS = ("Aaldal Works", "Brix & Sons", "Corvo Textil", "Dunmore Metals")
VARIANTS = 10


def products(rng: np.random.Generator) -> pa.Table:
    """About three hundred products; `attributes` is for the JSON catalogue alone."""
    kinds = [(category, noun) for category in CATEGORIES for noun in category.nouns]
    rows = [(category, f"{name} {noun}") for category, noun in kinds for name in NAMES[:VARIANTS]]
    count = len(rows)
    scale = rng.lognormal(0.0, 0.35, count)
    price = cents(np.array([category.price for category, _ in rows]) * scale)
    return pa.table(
        {
            "product_id": np.arange(1, count + 1, dtype=np.int32),
            "sku": [f"{category.name[:2].upper()}-{n:04}" for n, (category, _) in enumerate(rows)],
            "name": [name for _, name in rows],
            "category": [category.name for category, _ in rows],
            "price": price,
            "cost": cents(price * rng.uniform(0.45, 0.65, count)),
            "weight_kg": np.round(np.array([c.weight_kg for c, _ in rows]) * scale, 3),
            "launched_on": days("2019-01-01", rng.integers(0, 2100, count)),
            "active": rng.random(count) < 0.94,
            "attributes": _attributes(rng, count),
        }
    )


def _attributes(rng: np.random.Generator, count: int) -> list[dict[str, object]]:
    return [
        {
            "colours": sorted(rng.choice(COLOURS, size=rng.integers(1, 4), replace=False).tolist()),
            "supplier": str(rng.choice(SUPPLIERS)),
            "warranty_years": int(rng.integers(1, 6)),
        }
        for _ in range(count)
    ]
