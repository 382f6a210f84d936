import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.runs import message, run
from training.data import record
from training.data.sources import Groups, keys


def keys_of(**fields: Any) -> set[str]:
    return set(keys(record.parsed(run(**fields))))


def source(name: str, type: str = "postgresql") -> dict[str, str]:
    return {"name": name, "type": type}


def asked(*files: dict[str, Any]) -> list[dict[str, Any]]:
    entries = "\n\n".join(f"File {n}:\n{json.dumps(f, indent=4)}" for n, f in enumerate(files, 1))
    return [message("user", f"# Instruction\n?\n\n# Data\n{entries}"), message("assistant", "a")]


@pytest.mark.req("T3")
def test_runs_share_a_key_where_they_share_a_source_or_a_thread() -> None:
    one = keys_of(thread_id="a", sources=[source("sales"), source("lake", "azure_blob")])
    assert one & keys_of(thread_id="b", sources=[source("lake", "azure_blob")])
    assert one & keys_of(thread_id="a", sources=[source("hr")])
    assert not one & keys_of(thread_id="b", sources=[source("hr")])
    assert not one & keys_of(thread_id="b", sources=[source("lake", "local_files")])


def test_files_tie_by_their_columns_where_there_is_no_source() -> None:
    columns = [{"name": "region", "type": "text"}, {"name": "total", "type": "numeric"}]
    one = keys_of(thread_id="a", sources=[], messages=asked({"name": "x.csv", "columns": columns}))
    other = {"name": "y.csv", "size": "1.0KB", "columns": columns}
    assert one & keys_of(thread_id="b", sources=[], messages=asked({"name": "z"}, other))
    assert not one & keys_of(thread_id="b", sources=[], messages=asked({"name": "x.csv"}))
    named = keys_of(thread_id="b", sources=[], messages=asked({"name": "x.csv"}))
    assert named & keys_of(thread_id="c", sources=[], messages=asked({"name": "x.csv"}))


def test_a_run_of_nothing_stands_alone() -> None:
    one = keys_of(run_id="a", thread_id="", sources=[])
    assert one and not one & keys_of(run_id="b", thread_id="", sources=[])


def test_keys_tell_no_name() -> None:
    assert not any("sales" in key for key in keys_of())


TIES = st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=3), max_size=12)


@given(TIES, st.randoms(use_true_random=False))
def test_groups_are_connected_components_in_any_order(ties: list[list[str]], random: Any) -> None:
    shuffled = list(ties)
    random.shuffle(shuffled)
    assert grouped(ties, ties) == grouped(shuffled, ties) == components(ties)


def grouped(joined: Sequence[list[str]], asked: Sequence[list[str]]) -> list[str]:
    groups = Groups()
    for each in joined:
        groups.join(each)
    return [groups.of(each) for each in asked]


def components(ties: list[list[str]]) -> list[str]:
    """The least key of all that can be reached, by spreading until nothing changes."""
    reach = [set(each) for each in ties]
    changed = True
    while changed:
        wider = [set().union(*(o for o in reach if o & each)) for each in reach]
        changed, reach = wider != reach, wider
    return [min(each) for each in reach]
