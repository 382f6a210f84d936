"""Ask the questions of a platform that is started for it, and write down what came back."""

import asyncio
import io
import json
import statistics
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import pandas as pd
from rich.console import Console

from dev.assembly import Parts, Platform, platform
from dev.console import Board
from dev.home import Home
from dev.ports import free_ports
from dev.samples.load import CONTAINER, READER
from dev.samples.load import DATABASE as SHOP
from dev.settings import Settings
from isobath_client import Isobath, IsobathError, RunFailed
from training.evaluation.dataset import Domain, Question
from training.evaluation.scoring import by_chance, missing

_AT_ONCE = 2
_TYPES = {"i": "bigint", "u": "bigint", "f": "double precision", "b": "boolean", "M": "timestamp"}


@dataclass(frozen=True)
class Result:
    """One question's outcome; `lacks` empty = right. `failed` is the run's own fault, if any."""

    half: str
    domain: str
    question: Question
    answer: str
    lacks: list[str]
    failed: str
    rounds: int
    seconds: float

    @property
    def right(self) -> bool:
        return not self.lacks

    @property
    def cause(self) -> str:
        """Of what is not right."""
        if self.failed or not self.answer:
            return "the run failed" if self.failed else "no answer"
        if self.question.refuses:
            return "answered what the data cannot tell"
        whole = len(self.lacks) == len(self.question.expects)
        return "another answer" if whole else "a part of the answer is missing"


Asked = tuple[str, Domain, Question]


async def evaluated(
    settings: Settings, given: Mapping[str, str], asked: Sequence[Asked], console: Console
) -> list[Result]:
    """A platform of its own, on ports of its own; gone on leaving."""
    settings = replace(settings, http_port=free_ports(1)[0], grpc_port=None)
    with TemporaryDirectory(prefix="isobath-evaluation-") as own:
        async with AsyncExitStack() as stack:
            board = Board(console)
            with board.live():
                running = await stack.enter_async_context(
                    platform(settings, Home(Path(own)), board, given)
                )
                with board.step("questions", "their data"):
                    await _load(running.parts, {each.name: each for _, each, _ in asked}.values())
            return await _ask_all(running, asked, console)


async def _load(parts: Parts, domains: Collection[Domain]) -> None:
    connection = await asyncpg.connect(parts.postgres.dsn_of(SHOP))
    try:
        for domain in domains:
            await _load_tables(connection, domain)
    finally:
        await connection.close()
    async with parts.azurite.service() as service:
        container = service.get_container_client(CONTAINER)
        for domain in domains:
            for path, content in domain.files.items():
                await container.upload_blob(path, content, overwrite=True)


async def _load_tables(connection: "asyncpg.Connection[asyncpg.Record]", domain: Domain) -> None:
    if not domain.tables:
        return
    schema = domain.name
    await connection.execute(f"CREATE SCHEMA {schema}")
    for name, frame in domain.tables.items():
        columns = ", ".join(f'"{each}" {_type(frame[each])}' for each in frame.columns)
        await connection.execute(f"CREATE TABLE {schema}.{name} ({columns})")
        content = io.BytesIO(frame.to_csv(index=False, header=False).encode())
        await connection.copy_to_table(name, schema_name=schema, source=content, format="csv")
    await connection.execute(
        f"GRANT USAGE ON SCHEMA {schema} TO {READER};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER}; ANALYZE"
    )


def _type(column: "pd.Series[Any]") -> str:
    kind = _TYPES.get(column.dtype.kind, "text")
    if kind != "timestamp":
        return kind
    times = column.dropna()
    return "date" if (times == times.dt.normalize()).all() else kind


async def _ask_all(running: Platform, asked: Sequence[Asked], console: Console) -> list[Result]:
    turn = asyncio.Semaphore(_AT_ONCE)
    address, key = running.ports.address("gateway"), running.key.reveal()
    with Isobath(address, api_key=key) as client:

        async def ask(each: Asked) -> Result:
            async with turn:
                result = await asyncio.to_thread(_ask, client, *each)
            mark = "✓" if result.right else "✗"
            lacks = f"  lacks {'; '.join(result.lacks)}" if result.lacks else ""
            console.print(
                f"{mark} {result.question.id:<28} {result.seconds:5.1f} s "
                f"{result.rounds:2} rounds  {result.question.text}"
                f"{lacks}  {result.failed}".rstrip(),
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
            return result

        return list(await asyncio.gather(*(ask(each) for each in asked)))


def _ask(client: Isobath, half: str, domain: Domain, question: Question) -> Result:
    started, answer, rounds, failed = time.monotonic(), "", 0, ""
    try:
        given = client.ask(question.text, data=question.data, max_rows=0)
        answer, rounds = given.answer, given.usage.rounds
    except RunFailed as ended:
        failed = ended.message
    except IsobathError as refused:
        failed = str(refused)
    return Result(
        half=half,
        domain=domain.name,
        question=question,
        answer=answer,
        lacks=missing(question, answer),
        failed=failed,
        rounds=rounds,
        seconds=time.monotonic() - started,
    )


# What came of it


@dataclass(frozen=True)
class Score:
    """Of a part of the questions. `chance`: of answers to other questions of the domain."""

    part: str
    asked: int
    right: int
    chance: float
    median_s: float
    median_rounds: float

    @property
    def share(self) -> float:
        return self.right / self.asked if self.asked else 0.0


def scores(results: Sequence[Result]) -> list[Score]:
    """Each domain, each half, and all."""
    parts = {each.domain: [r for r in results if r.domain == each.domain] for each in results}
    halves = {each.half: [r for r in results if r.half == each.half] for each in results}
    return [_score(name, found) for name, found in {**parts, **halves, "all": results}.items()]


def _score(part: str, results: Sequence[Result]) -> Score:
    domains = {each.domain for each in results}
    chances = []
    for domain in domains:
        found = [each for each in results if each.domain == domain]
        chances.append(by_chance([r.question for r in found], [r.answer for r in found]))
    return Score(
        part=part,
        asked=len(results),
        right=sum(each.right for each in results),
        chance=statistics.mean(chances),
        median_s=statistics.median(each.seconds for each in results),
        median_rounds=statistics.median(each.rounds for each in results),
    )


def table(found: Sequence[Score]) -> str:
    """Markdown."""
    lines = [
        "| part | right | share | by chance | median s | median rounds |",
        "| --- " * 6 + "|",
    ]
    lines += [
        f"| {each.part} | {each.right} of {each.asked} | {each.share:.0%} | {each.chance:.1%} "
        f"| {each.median_s:.1f} | {each.median_rounds:g} |"
        for each in found
    ]
    return "\n".join(lines)


def causes(results: Sequence[Result]) -> str:
    """Markdown: how many are not right for which cause."""
    counted = Counter(each.cause for each in results if not each.right)
    return "\n".join(f"- {cause}: {count}" for cause, count in counted.most_common())


def written(results: Sequence[Result], folder: Path, title: str) -> None:
    """`results.json`, and `report.md` with every answer."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [
        asdict(each) | {"right": each.right, "cause": "" if each.right else each.cause}
        for each in results
    ]
    (folder / "results.json").write_text(json.dumps(listed, indent=1, ensure_ascii=False))
    parts = [f"# {title}", table(scores(results)), causes(results)]
    for each in results:
        told = f"lacks {'; '.join(each.lacks)}" if each.lacks else "right"
        parts.append(f"## {each.question.id}: {each.question.text}\n\n*{told}* {each.failed}")
        parts.append("\n".join(f"> {line}" for line in each.answer.splitlines()))
    (folder / "report.md").write_text("\n\n".join(parts) + "\n")
