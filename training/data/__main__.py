"""`python -m training.data`: records of runs, and data sets made of them."""

import importlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol, cast

import typer

from isobath_client import Isobath, IsobathError
from isobath_client.settings import resolve
from training.data.building import BuildError, Options, build
from training.data.exporting import export
from training.data.formats import FORMATS
from training.data.reading import UnreadableFile, scores
from training.data.scrub.table import NAMES, RulesError, chosen, own_rules
from training.data.selection import Bar
from training.data.split import Shares
from training.data.statistics import Statistics, Tokens, estimated

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)


class _Tokenizer(Protocol):
    def encode(self, sequence: str, *, add_special_tokens: bool) -> "_Encoding": ...


class _Encoding(Protocol):
    ids: list[int]


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := [name for name in names if name not in FORMATS]:
        raise typer.BadParameter(f"{unknown[0]} is not one of {', '.join(FORMATS)}")
    return names


def _shares(text: str) -> Shares:
    try:
        return Shares.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}") from error


def _counter(tokenizer: Path | None) -> Tokens:
    """Counts by a `tokenizer.json`, or the folder that holds one."""
    if tokenizer is None:
        return estimated
    path = tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer
    try:
        library = importlib.import_module("tokenizers")
    except ModuleNotFoundError:
        raise typer.BadParameter(
            "--tokenizer needs the package tokenizers; without it tokens are estimated"
        ) from None
    try:
        loaded = cast(_Tokenizer, library.Tokenizer.from_file(str(path)))
    except Exception as error:  # the library raises bare exceptions
        raise typer.BadParameter(f"{path} is no tokenizer: {error}") from error
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _told(statistics: Statistics, output: Path) -> Mapping[str, str]:
    splits = ", ".join(f"{name} {each.conversations}" for name, each in statistics.splits.items())
    dropped = ", ".join(f"{name} {count}" for name, count in sorted(statistics.dropped.items()))
    scrubbed = ", ".join(f"{name} {count}" for name, count in sorted(statistics.scrubbed.items()))
    return {
        "conversations": f"{statistics.written} of {statistics.read} records ({splits})",
        "pairs": str(statistics.pairs),
        "dropped": dropped or "none",
        "replaced": scrubbed or "nothing",
        "bad lines": str(statistics.bad_lines),
        "data set": str(output),
    }


@app.callback()
def _commands() -> None:
    """From recorded runs to data sets for training."""


@app.command("export")
def export_command(
    output: Annotated[Path, typer.Option(help="The file to make, JSON lines of isobath.run/1.")],
    limit: Annotated[int, typer.Option(min=1, help="Runs at most, newest first.")] = 1000,
    since: Annotated[
        datetime | None, typer.Option(help="Only runs from this time on, in UTC.")
    ] = None,
) -> None:
    """Write the records of your completed runs of a running platform.

    It is found by ISOBATH_ADDRESS and ISOBATH_API_KEY, or by ISOBATH_HOME, the home of `make up`.
    All owners' runs at once has who runs the gateway: python -m services.gateway conversations.
    """
    try:
        where = resolve(os.environ)
        with Isobath(where.address, api_key=where.api_key, ca=where.ca) as client:
            begin = since.replace(tzinfo=UTC) if since else None
            told = export(client.runs, output, limit=limit, since=begin)
    except IsobathError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except FileExistsError:
        typer.echo(f"{output} is there: name a file that is not", err=True)
        raise typer.Exit(1) from None
    counts = ", ".join(f"{name} {count}" for name, count in sorted(told.items()) if count)
    typer.echo(f"runs: {counts or 'none'}; records in {output}")


@app.command("build")
def build_command(
    records: Annotated[
        list[Path],
        typer.Option(
            help="JSON lines of runs (isobath.run/1) or of upstream's form, also gzipped; "
            "may be given several times.",
            exists=True,
            dir_okay=False,
        ),
    ],
    output: Annotated[Path, typer.Option(help="The folder to make.")],
    formats: Annotated[
        str, typer.Option(help=f"Which of {', '.join(FORMATS)}, with commas between.")
    ] = "messages",
    min_score: Annotated[
        float | None, typer.Option(help="Drop runs with a lower score, or with none (--scores).")
    ] = None,
    scores_file: Annotated[
        Path | None,
        typer.Option(
            "--scores", help='JSON lines of {"run_id", "score"}.', exists=True, dir_okay=False
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Shares of train/validation/test, by groups of sources.")
    ] = "0.9/0.05/0.05",
    seed: Annotated[int, typer.Option(help="Of the split; another one, another split.")] = 0,
    near: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=1.0,
            help="From which similarity of question and programs two runs are doubles; "
            "1 = only those that are the same.",
        ),
    ] = 0.8,
    mask_failures: Annotated[
        bool,
        typer.Option(
            help="Leave messages whose program failed out of the loss; the text keeps them."
        ),
    ] = False,
    rules: Annotated[
        Path | None,
        typer.Option(help="TOML with rules of your own to scrub by: [rules] name = 'pattern'."),
    ] = None,
    scrub_off: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help=f"Rules to leave out. There are: {', '.join(NAMES)}."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the data set, as the Hub names it.")] = "",
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="A tokenizer.json to count tokens with; without, characters / 4."),
    ] = None,
    strict: Annotated[bool, typer.Option(help="End at the first line that is bad.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace a data set that is there.")] = False,
) -> None:
    """Make a data set: select, scrub, drop doubles, split by source, write.

    The folder gets a folder for each format with a file for each split, trl-dpo with preference
    pairs where there is feedback, stats.json, and README.md, the card.
    """
    try:
        options = Options(
            records=records,
            output=output,
            formats=_formats(formats),
            rules=chosen(scrub_off or [], own_rules(rules) if rules else ()),
            scores=scores(scores_file) if scores_file else {},
            bar=Bar(min_score),
            shares=_shares(split),
            seed=seed,
            near=near,
            mask_failures=mask_failures,
            strict=strict,
            overwrite=overwrite,
            licence=licence,
            tokens=_counter(tokenizer),
        )
        statistics = build(options, lambda text: typer.echo(text, err=True))
    except (BuildError, UnreadableFile, RulesError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for name, text in _told(statistics, output).items():
        typer.echo(f"{name}: {text}")
    for text in statistics.told:
        typer.echo(f"note: {text}", err=True)


if __name__ == "__main__":
    app(prog_name="python -m training.data")
