"""How many pods of each kind serve so many users: a model, of measured costs and named assumptions.

    python -m bench.capacity --users 1000 100000 10000000
    python -m bench.capacity --measure          # costs of this machine, and a check of the model

Costs are CPU seconds and bytes per thing that is done, as `bench.capacity_load` measured them
(`bench/capacity_costs.json`). Little's law gives what goes on at once, from how often things begin
and how long they last; pods are that, by what one pod takes at the load that it is allowed. All of
it is linear: what does not scale by adding pods (one PostgreSQL) is told as the number of cells,
each of which is a whole platform of its own.
"""

import argparse
import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

COSTS = Path(__file__).with_name("capacity_costs.json")
PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
USERS = (1e2, 1e4, 1e6, 1e8)
HOUR_S = 3600.0
GB = 1e9
GIB = 1024**3


@dataclass(frozen=True)
class Demand:
    """What users do at the busiest hour: assumptions, each of which an option sets."""

    # of all users, those who are at it then
    active_share: float = 0.05
    # questions that each of them asks in that hour
    chats_per_hour: float = 6.0
    # programs that the model writes for an answer
    programs: float = 3.0
    # tokens that it writes for an answer, each an event; and reads, after the prefix cache
    tokens_out: float = 2_500.0
    tokens_in: float = 6_000.0
    # how fast one reader's tokens come
    tokens_per_s: float = 50.0
    # bytes fetched for an answer, from PostgreSQL and from blobs
    pg_bytes: float = 10e6
    blob_bytes: float = 30e6
    # bytes of files that an answer leaves, and of its events
    kept_bytes: float = 1e6
    # how long answers are kept
    days_kept: float = 30.0


@dataclass(frozen=True)
class Costs:
    """Measured: CPU seconds unless the name says otherwise. A chat's is what it costs whatever it
    fetches and runs."""

    gateway_chat: float
    gateway_event: float
    gateway_stream_bytes: float
    credentials_chat: float
    pg_chat: float
    pg_gb: float
    blob_chat: float
    blob_gb: float
    sandbox_gb: float
    program: float
    session_bytes: float
    inference_event: float
    database_chat: float
    database_bytes: float
    # seconds that a chat lasts beside the model's own
    program_s: float
    # what they were measured on
    machine: str = ""


@dataclass(frozen=True)
class Pods:
    """What one pod has, and how much of it may be in use at the busiest time."""

    # an event loop is one core's work
    cores: float = 1.0
    busy: float = 0.6
    sandbox_cores: float = 4.0
    sandbox_bytes: float = 16 * GIB
    gateway_bytes: float = 1 * GIB
    # tokens a second that one GPU writes for many readers together: DeepAnalyze-8B in bf16, a batch
    # of some dozens; not measured here
    gpu_tokens_out: float = 2_500.0
    # and reads
    gpu_tokens_in: float = 20_000.0
    # the PostgreSQL of the platform's own state
    database_cores: float = 16.0
    # what a service has at least, so that one may go
    fewest: int = 2


@dataclass(frozen=True)
class Plan:
    """Pods by service, and what else there is to have."""

    chats_per_s: float
    runs_at_once: float
    pods: Mapping[str, int]
    gpus: int
    cells: int
    stored_bytes: float
    # what each kind of pod is full of, in pods before rounding
    load: Mapping[str, float] = field(default_factory=dict)


def plan(users: float, demand: Demand, costs: Costs, pods: Pods) -> Plan:
    """For the busiest hour of so many users."""
    rate = users * demand.active_share * demand.chats_per_hour / HOUR_S
    model_s = demand.tokens_out / demand.tokens_per_s
    run_s = model_s + demand.programs * costs.program_s
    at_once = rate * run_s
    load = _load(rate, at_once, demand, costs, pods)
    gpus = rate * (demand.tokens_out / pods.gpu_tokens_out + demand.tokens_in / pods.gpu_tokens_in)
    database = rate * costs.database_chat / (pods.database_cores * pods.busy)
    return Plan(
        chats_per_s=rate,
        runs_at_once=at_once,
        pods={name: max(pods.fewest, math.ceil(each)) for name, each in load.items()},
        gpus=max(1, math.ceil(gpus / pods.busy)),
        cells=max(1, math.ceil(database)),
        stored_bytes=_stored(users, demand, costs),
        load={**load, "gpu": gpus / pods.busy, "database": database},
    )


def _load(
    rate: float, at_once: float, demand: Demand, costs: Costs, pods: Pods
) -> dict[str, float]:
    core = pods.cores * pods.busy
    pg_gb, blob_gb = demand.pg_bytes / GB, demand.blob_bytes / GB
    gateway = costs.gateway_chat + demand.tokens_out * costs.gateway_event
    sandbox = (pg_gb + blob_gb) * costs.sandbox_gb + demand.programs * costs.program
    return {
        "gateway": max(
            rate * gateway / core, at_once * costs.gateway_stream_bytes / pods.gateway_bytes
        ),
        "credentials": rate * costs.credentials_chat / core,
        "pg_connector": rate * (costs.pg_chat + pg_gb * costs.pg_gb) / core,
        "blob_connector": rate * (costs.blob_chat + blob_gb * costs.blob_gb) / core,
        "sandbox": max(
            rate * sandbox / (pods.sandbox_cores * pods.busy),
            at_once * costs.session_bytes / (pods.sandbox_bytes * pods.busy),
        ),
        "inference": rate * demand.tokens_out * costs.inference_event / core,
    }


def _stored(users: float, demand: Demand, costs: Costs) -> float:
    """What is kept after `days_kept`; a day is six busy hours long."""
    a_day = users * demand.active_share * demand.chats_per_hour * 6
    return a_day * demand.days_kept * (costs.database_bytes + demand.kept_bytes)


def throughput(cores: float, each: Mapping[str, float]) -> float:
    """Chats a second that so many cores are to give, of which each service takes so much."""
    return cores / sum(each.values())


def known_costs() -> Costs:
    """As they were measured last."""
    return Costs(**json.loads(COSTS.read_text()))


def keep(costs: Costs) -> None:
    COSTS.write_text(json.dumps(asdict(costs), indent=1) + "\n")


def told(users: list[float], demand: Demand, costs: Costs, pods: Pods) -> str:
    """A table, a column for each number of users."""
    plans = [plan(each, demand, costs, pods) for each in users]
    rows: list[tuple[str, list[str]]] = [
        ("users", [f"{each:,.0f}" for each in users]),
        ("chats a second", [f"{each.chats_per_s:,.2f}" for each in plans]),
        ("runs at once", [f"{each.runs_at_once:,.0f}" for each in plans]),
    ]
    for name in plans[0].pods:
        rows.append((f"{name} pods", [f"{each.pods[name]:,}" for each in plans]))
    rows += [
        ("GPUs", [f"{each.gpus:,}" for each in plans]),
        ("cells (PostgreSQL)", [f"{each.cells:,}" for each in plans]),
        ("stored", [f"{each.stored_bytes / GB:,.0f} GB" for each in plans]),
    ]
    head, *rest = (f"| {name} | {' | '.join(values)} |" for name, values in rows)
    return "\n".join([head, "|" + " --- |" * (len(users) + 1), *rest])


def costs_told(costs: Costs) -> str:
    """A table of what was measured."""
    lines = [f"Measured on {costs.machine}:", "", "| what | cost |", "| --- | --- |"]
    for name, what, unit, scale in _MEANINGS:
        lines.append(f"| {what} | {getattr(costs, name) * scale:,.3g} {unit} |")
    return "\n".join(lines)


_MEANINGS = (
    ("gateway_chat", "gateway, a chat", "ms", 1e3),
    ("gateway_event", "gateway, an event (a token) passed on", "µs", 1e6),
    ("gateway_stream_bytes", "gateway, an open stream", "KiB", 1 / 1024),
    ("credentials_chat", "credentials, a chat", "ms", 1e3),
    ("pg_chat", "PostgreSQL connector, a chat", "ms", 1e3),
    ("pg_gb", "PostgreSQL connector, a GB", "s", 1.0),
    ("blob_chat", "blob connector, a chat", "ms", 1e3),
    ("blob_gb", "blob connector, a GB of CSV read as tables", "s", 1.0),
    ("sandbox_gb", "sandbox, a GB received, read and computed on", "s", 1.0),
    ("program", "sandbox, a program", "ms", 1e3),
    ("session_bytes", "sandbox, a session's memory", "MiB", 1 / 1024**2),
    ("program_s", "a program, from its start to its end", "s", 1.0),
    ("inference_event", "inference service, an event passed on", "µs", 1e6),
    ("database_chat", "the platform's PostgreSQL, a chat", "ms", 1e3),
    ("database_bytes", "the platform's PostgreSQL, kept of a chat", "KiB", 1 / 1024),
)


def page(text: str) -> str:
    """`docs/scaling.md` with the tables of the costs as they are kept."""
    costs = known_costs()
    for name, table in (
        ("costs", costs_told(costs)),
        ("pods", told([*USERS], Demand(), costs, Pods())),
    ):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{table}\n{end}{rest.partition(end)[2]}"
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=float, nargs="+", default=[*USERS])
    parser.add_argument("--measure", action="store_true", help="measure, check, and keep the costs")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/scaling.md")
    for group in (Demand(), Pods()):
        for each in fields(group):
            default = getattr(group, each.name)
            option = "--" + each.name.replace("_", "-")
            parser.add_argument(option, type=type(default), default=default)
    return parser


def main() -> None:
    given = vars(_parser().parse_args())
    if given["measure"]:
        from bench.capacity_load import measured

        keep(asyncio.run(measured()))
    if given["page"]:
        PAGE.write_text(page(PAGE.read_text()))
    demand = Demand(**{each.name: given[each.name] for each in fields(Demand)})
    pods = Pods(**{each.name: given[each.name] for each in fields(Pods)})
    print(told(given["users"], demand, known_costs(), pods))


if __name__ == "__main__":
    main()
