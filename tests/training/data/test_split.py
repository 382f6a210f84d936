import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.split import Shares, assigned, unmet


def many(count: int, size: int = 10) -> dict[str, int]:
    return {f"group-{at}": size for at in range(count)}


def share(sizes: dict[str, int], found: dict[str, str], name: str) -> float:
    return sum(size for group, size in sizes.items() if found[group] == name) / sum(sizes.values())


@pytest.mark.req("T3")
def test_shares_are_met_where_groups_allow() -> None:
    sizes = {f"group-{at}": at % 7 + 1 for at in range(400)}
    found = assigned(sizes, Shares(0.8, 0.15, 0.05), seed=3)
    assert share(sizes, found, "train") == pytest.approx(0.8, abs=0.01)
    assert share(sizes, found, "validation") == pytest.approx(0.15, abs=0.01)
    assert unmet(sizes, found, Shares(0.8, 0.15, 0.05)) == []


@given(
    st.dictionaries(st.text(max_size=5), st.integers(0, 50), max_size=30),
    st.integers(),
    st.sampled_from(["1", "0.9/0.05/0.05", "0.5/0.5", "0/0/1"]),
)
def test_every_group_has_one_split_and_it_is_one_that_was_asked_for(
    sizes: dict[str, int], seed: int, text: str
) -> None:
    shares = Shares.parse(text)
    found = assigned(sizes, shares, seed)
    assert found.keys() == sizes.keys()
    assert all(shares.of[name] > 0 for name in found.values())
    backwards = assigned(dict(reversed(sizes.items())), shares, seed)
    assert found == backwards


def test_another_seed_is_another_split() -> None:
    splits = {tuple(assigned(many(30), Shares(), seed).items()) for seed in range(5)}
    assert len(splits) == 5


def test_what_cannot_be_met_is_told() -> None:
    sizes = many(3)
    found = assigned(sizes, Shares(), 0)
    assert set(found.values()) == {"train"}
    told = unmet(sizes, found, Shares())
    assert [each.split()[0] for each in told] == ["train", "validation", "test"]
    assert "3 groups of sources cannot be cut finer" in told[1]


@pytest.mark.parametrize("text", ["0.9", "0.5/0.6", "1/0/0/0", "-1/2", "a", "", "nan"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        Shares.parse(text)


def test_shares_left_out_are_zero() -> None:
    assert Shares.parse("0.9/0.1") == Shares(0.9, 0.1, 0.0)
