from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grants.binding import binding, whole_numbers

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
CONFIGS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def as_a_struct_gives_it(value: Any) -> Any:
    """Every number a float, keys in another order."""
    if isinstance(value, dict):
        return {key: as_a_struct_gives_it(value[key]) for key in reversed(list(value))}
    if isinstance(value, list):
        return [as_a_struct_gives_it(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(CONFIGS)
def test_order_of_keys_and_kind_of_numbers_do_not_matter(config: Any) -> None:
    assert binding("t", as_a_struct_gives_it(config)) == binding("t", config)
    assert whole_numbers(as_a_struct_gives_it(config)) == config


@given(CONFIGS, CONFIGS)
def test_other_settings_give_another_binding(one: Any, other: Any) -> None:
    assert (binding("t", one) == binding("t", other)) == (one == other and repr_of(one, other))


def repr_of(one: Any, other: Any) -> bool:
    """Python takes True for 1, JSON does not."""
    return sorted(repr(one)) == sorted(repr(other))


@pytest.mark.parametrize(
    ("source_type", "config"),
    [("u", {"host": "db"}), ("t", {"host": "db2"}), ("t", {}), ("t", {"host": ["db"]})],
)
def test_type_and_every_setting_count(source_type: str, config: Any) -> None:
    assert binding(source_type, config) != binding("t", {"host": "db"})
