"""The model of how many pods so many users need."""

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.capacity import PAGE, Costs, Demand, Pods, known_costs, page, plan, throughput, told

COSTS = Costs(
    gateway_chat=0.01,
    gateway_event=1e-4,
    gateway_stream_bytes=1e5,
    credentials_chat=0.01,
    pg_chat=0.01,
    pg_gb=5.0,
    blob_chat=0.01,
    blob_gb=0.01,
    sandbox_gb=0.01,
    program=0.01,
    session_bytes=1e8,
    inference_event=1e-4,
    database_chat=0.01,
    database_bytes=1e4,
    program_s=1.0,
)
USERS = st.floats(0, 1e10)


def test_page_has_the_tables_of_the_costs() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run `python -m bench.capacity --page`"
    assert "CPU" in text


def test_arrivals_and_what_goes_on_at_once_by_littles_law() -> None:
    demand = Demand(
        active_share=0.1, chats_per_hour=36, tokens_out=500, tokens_per_s=50, programs=5
    )
    found = plan(1_000, demand, COSTS, Pods())
    # 100 people ask 36 times an hour: one a second, for 10 s of words and 5 programs of 1 s
    assert found.chats_per_s == pytest.approx(1.0)
    assert found.runs_at_once == pytest.approx(15.0)


def test_each_part_by_hand() -> None:
    demand = Demand(
        active_share=0.1,
        chats_per_hour=36,
        tokens_out=1_000,
        programs=2,
        pg_bytes=1e8,
        blob_bytes=0,
    )
    found = plan(1_000, demand, COSTS, Pods(cores=1, busy=0.5, sandbox_bytes=1e30)).load
    assert found["gateway"] == pytest.approx((0.01 + 1_000 * 1e-4) / 0.5)
    assert found["pg_connector"] == pytest.approx((0.01 + 0.1 * 5.0) / 0.5)
    assert found["blob_connector"] == pytest.approx(0.01 / 0.5)
    assert found["sandbox"] == pytest.approx((0.1 * 0.01 + 2 * 0.01) / (4 * 0.5))
    assert found["gpu"] == pytest.approx((1_000 / 2_500 + 6_000 / 20_000) / 0.5)


def test_sandbox_is_sized_by_memory_where_that_is_short() -> None:
    few = plan(1e6, Demand(), COSTS, Pods(sandbox_bytes=1e10))
    many = plan(1e6, Demand(), replace(COSTS, session_bytes=1e9), Pods(sandbox_bytes=1e10))
    assert many.load["sandbox"] > few.load["sandbox"]
    assert many.load["sandbox"] == pytest.approx(many.runs_at_once * 1e9 / (1e10 * 0.6))


def test_nobody_gets_by_with_one_of_anything() -> None:
    found = plan(0, Demand(), COSTS, Pods())
    assert set(found.pods.values()) == {2}
    assert (found.gpus, found.cells) == (1, 1)


@given(USERS, USERS)
def test_more_users_never_need_less(one: float, other: float) -> None:
    few, many = sorted((one, other))
    small, large = (plan(each, Demand(), COSTS, Pods()) for each in (few, many))
    assert all(small.pods[name] <= large.pods[name] for name in small.pods)
    assert small.gpus <= large.gpus and small.cells <= large.cells
    assert small.stored_bytes <= large.stored_bytes


@given(st.floats(1, 1e9), st.floats(1.1, 100))
def test_load_is_linear_in_users(users: float, times: float) -> None:
    small, large = (plan(each, Demand(), COSTS, Pods()).load for each in (users, users * times))
    for name, each in small.items():
        assert math.isclose(large[name], each * times, rel_tol=1e-9), name


def test_throughput_is_what_the_cores_have_by_what_a_chat_takes() -> None:
    assert throughput(2, {"gateway": 0.1, "sandbox": 0.3}) == pytest.approx(5.0)


def test_every_cost_is_measured_and_every_assumption_an_option() -> None:
    known = known_costs()
    assert all(getattr(known, each.name) >= 0 for each in fields(known) if each.name != "machine")
    assert "| users | 5 |" in told([5], Demand(), known, Pods())
