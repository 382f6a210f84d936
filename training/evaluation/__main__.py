"""`make eval`: questions with known answers, asked of a platform that is started for it, and two
evaluations side by side."""

import asyncio
import os
from contextlib import ExitStack
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from dev.ending import run as run_to_end
from dev.settings import Settings
from servicekit.settings import SettingsError, load
from training.evaluation import questions
from training.evaluation.benchmarks.reading import BenchmarkError
from training.evaluation.comparison import compared
from training.evaluation.ledger import (
    Header,
    LedgerError,
    kept,
    key,
    ledger,
    read,
    records,
    write_scores,
)
from training.evaluation.report import beside, document, text
from training.evaluation.results import Result
from training.evaluation.run import Asked, Manner, evaluated
from training.evaluation.summary import (
    Score,
    by_question,
    causes_listed,
    scores,
    spread_told,
    table,
)


class Engines(StrEnum):
    """As ISOBATH_ENGINE."""

    RULES = "rules"
    OPENAI = "openai"
    VLLM = "vllm"


class _RunByDefault(TyperGroup):
    """`python -m training.evaluation --half seen` is `… run --half seen`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["run", *args])


app = typer.Typer(cls=_RunByDefault, add_completion=False)


@app.callback(help=__doc__)
def evaluation() -> None:
    """Of the group, so that it is one also where it has a single command."""


@app.command("run")
def ask(
    engine: Annotated[Engines, typer.Option(help="Which engine answers.")] = Engines.RULES,
    model: Annotated[
        str,
        typer.Option(
            help="openai: the model's name at the server; vllm: a folder. Else ISOBATH_MODEL."
        ),
    ] = "",
    adapter: Annotated[
        str,
        typer.Option(
            help="Ask for it by name; vllm: or a folder, whose name it is then served by."
        ),
    ] = "",
    half: Annotated[
        questions.Part, typer.Option("--half", "--part", help="Which of our own questions.")
    ] = questions.Part.ALL,
    domain: Annotated[list[str] | None, typer.Option(help="Only these domains.")] = None,
    question: Annotated[list[str] | None, typer.Option(help="Only these questions.")] = None,
    benchmark: Annotated[
        questions.Benchmark | None,
        typer.Option(help="A public benchmark instead of our own questions."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the benchmark lies, as its authors publish it.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Questions at most; 0 = all.")] = 0,
    repeat: Annotated[int, typer.Option(min=1, help="Attempts at each question.")] = 1,
    temperature: Annotated[
        float | None, typer.Option(help="Of the model; else the platform's own.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Questions at once.")] = 2,
    resume: Annotated[
        bool, typer.Option(help="Keep what --output has answered, and ask the rest.")
    ] = False,
    at_least: Annotated[float, typer.Option(help="End with 1 below this share.")] = 0.0,
    output: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("evaluation"),
    scores_to: Annotated[
        Path | None, typer.Option("--scores", help="Write run_id and score of each run, as JSONL.")
    ] = None,
    records_to: Annotated[
        Path | None,
        typer.Option("--records", help="Write each run's record, as `training.data` reads it."),
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="Keep the platform's state, its runs too, in this folder.")
    ] = None,
) -> None:
    """Ask each question of a platform of its own, and score the answers.

    For openai and vllm, ISOBATH_OPENAI_BASE_URL, ISOBATH_MODEL and the settings of the inference
    service are taken from the environment, as `make up` takes them.
    """
    console = Console()
    try:
        settings, given = _settings(engine, model, adapter)
        asked = questions.chosen(half, domain or [], question or [], benchmark, folder)
        adapter = Path(adapter).name
        header = Header(engine.value, adapter or settings.model, benchmark or "")
        wanted = [
            replace(e, attempt=n) for n in range(1, repeat + 1) for e in asked[: limit or None]
        ]
        before = _before(output, header, wanted, resume=resume)
    except (SettingsError, questions.NoQuestions, BenchmarkError, LedgerError) as error:
        raise _refused(error, console) from None
    evaluation = _Evaluation(settings, given, header, output, scores_to, at_least, console)
    manner = Manner(at_once, adapter, temperature, home)
    with ExitStack() as stack:
        if records_to:
            recorded = stack.enter_context(records(records_to, more=bool(before)))
            manner = replace(manner, recorded=recorded)
        raise typer.Exit(run_to_end(evaluation.run(wanted, before, manner), console))


def _refused(error: Exception, console: Console) -> typer.Exit:
    console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(2)


def _settings(engine: Engines, model: str, adapter: str) -> tuple[Settings, dict[str, str]]:
    given = {**os.environ, "ISOBATH_ENGINE": engine.value}
    if engine is Engines.VLLM and Path(adapter).is_dir() and adapter:
        # the engine serves what lies in a folder by the names that it has there
        given["ISOBATH_INFERENCE_VLLM_ADAPTERS_FOLDER"] = str(Path(adapter).resolve().parent)
    if model:
        given["ISOBATH_MODEL"] = model
    settings = load(Settings, given, prefix="ISOBATH_")
    return replace(settings, engine=engine.value), given


def _before(output: Path, header: Header, wanted: list[Asked], *, resume: bool) -> list[Result]:
    if not resume:
        return []
    unanswered = [each.unanswered() for each in wanted]
    return kept(output, header, {key(each): each for each in unanswered})


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="The results, as of --output.")],
    scores_to: Annotated[
        Path | None, typer.Option("--scores", help="Write run_id and score of each run, as JSONL.")
    ] = None,
) -> None:
    """Write the report anew, also of an evaluation that was interrupted; nothing is asked."""
    console = Console()
    try:
        _reported(folder, scores_to, console)
    except LedgerError as error:
        raise _refused(error, console) from None


@app.command("compare")
def compare(
    before: Annotated[Path, typer.Argument(help="The results of the first, as of --output.")],
    after: Annotated[Path, typer.Argument(help="Those of the second.")],
    output: Annotated[Path, typer.Option(help="Where the comparison goes.")] = Path("comparison"),
) -> None:
    """Lay two evaluations of the same questions side by side: what was won, what was lost, and
    whether that can be chance."""
    console = Console()
    try:
        (one, mine), (other, theirs) = read(before), read(after)
    except LedgerError as error:
        raise _refused(error, console) from None
    names = (one.name, other.name) if one.name != other.name else (str(before), str(after))
    comparison = compared(names, mine, theirs)
    output.mkdir(parents=True, exist_ok=True)
    told = beside.markdown(comparison)
    (output / "comparison.md").write_text(told)
    (output / "comparison.html").write_text(beside.page(comparison))
    for each in (told, f"the comparison: {output / 'comparison.html'}"):
        console.print(each, markup=False, highlight=False, soft_wrap=True)


class _Evaluation:
    def __init__(
        self,
        settings: Settings,
        given: dict[str, str],
        header: Header,
        output: Path,
        scores_to: Path | None,
        at_least: float,
        console: Console,
    ) -> None:
        self._settings, self._given, self._header = settings, given, header
        self._output, self._scores_to, self._at_least = output, scores_to, at_least
        self._console = console

    async def run(self, wanted: list[Asked], before: list[Result], manner: Manner) -> int:
        done = {key(each) for each in before}
        rest = [each for each in wanted if key(each.unanswered()) not in done]
        if before:
            self._say(f"{len(before)} of {len(wanted)} are answered already")
        try:
            with ledger(self._output, self._header, before) as told:
                await evaluated(
                    self._settings, self._given, rest,
                    manner=manner, console=self._console, told=told,
                )  # fmt: skip
        except asyncio.CancelledError:
            self._say(f"what was answered is in {self._output}: --resume asks the rest")
            raise
        return await asyncio.to_thread(self._finish)

    def _finish(self) -> int:
        all_ = _reported(self._output, self._scores_to, self._console)
        return 0 if all_.share >= self._at_least else 1

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _reported(folder: Path, scores_to: Path | None, console: Console) -> Score:
    """Write the report of what results.jsonl has, and show its figures; the score of all. Raises
    LedgerError."""
    header, results = read(folder)
    if not results:
        raise LedgerError(f"{folder} holds no answer yet")
    title = f"Evaluation of {header.name}" + (
        f" with {header.benchmark}" if header.benchmark else ""
    )
    (folder / "report.md").write_text(text.written(title, results))
    (folder / "report.html").write_text(document.written(title, results))
    if scores_to:
        write_scores(results, scores_to)
    found = scores(results)
    attempts = max(map(len, by_question(results).values()))
    told = (table(found), spread_told(found[-1], attempts), causes_listed(results))
    for each in filter(None, (*told, f"the report: {folder / 'report.html'}")):
        console.print(each, markup=False, highlight=False, soft_wrap=True)
    return found[-1]


if __name__ == "__main__":
    app()
