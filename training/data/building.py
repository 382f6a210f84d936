"""From records to data sets: two passes, so that what is in memory is small.

The first reads, selects and scrubs, and keeps what passed in a file beside the output; in memory is
about a kilobyte a run: where it lies, its fingerprint, its keys. The second knows all of them:
it drops doubles, assigns groups to splits, and writes. The output appears whole or not at all.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from training.data import pairs, private
from training.data.card import Made, card
from training.data.conversation import conversation, dumped, without_failures
from training.data.duplicates import Fingerprint, doubles, fingerprint
from training.data.formats import FORMATS
from training.data.pairs import Pair
from training.data.reading import Bad, records
from training.data.record import Record
from training.data.scrub.record import scrub
from training.data.scrub.rule import Rule
from training.data.selection import BROKEN, POOR, Bar, cause, corrected, failed, with_correction
from training.data.sources import Groups, keys
from training.data.split import NAMES, Shares, assigned, unmet
from training.data.spool import Spool
from training.data.statistics import Split, Statistics, Tokens, estimated

DPO = "trl-dpo"
STATISTICS, CARD = "stats.json", "README.md"
# how often it is told how far the reading is
_EVERY = 5_000


class BuildError(Exception):
    """A build that cannot be; the text says what to do."""


@dataclass(frozen=True)
class Options:
    """What to build. `scores` are by run id; `near`: from which similarity two runs are doubles."""

    records: Sequence[Path]
    output: Path
    formats: Sequence[str] = ("messages",)
    rules: Sequence[Rule] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    bar: Bar = field(default_factory=Bar)
    shares: Shares = field(default_factory=Shares)
    seed: int = 0
    near: float = 0.8
    mask_failures: bool = False
    strict: bool = False
    overwrite: bool = False
    licence: str = ""
    tokens: Tokens = estimated


@dataclass(frozen=True)
class Row:
    """What is known of a run between the passes. `poor`: why it is no example, "" = it is one;
    `asked` is of its prompt: runs of one prompt have it in common."""

    run_id: str
    place: int
    keys: tuple[str, ...]
    rank: tuple[float, int, int, str]
    fingerprint: Fingerprint
    poor: str
    rating: str
    is_corrected: bool
    asked: bytes


def build(options: Options, tell: Callable[[str], None]) -> Statistics:
    """Write the data set; what there is to say of bad lines and of progress goes to `tell`.
    Raises `BuildError` and `reading.UnreadableFile`; then nothing is left."""
    _check(options)
    private.folder(options.output.parent)
    with tempfile.TemporaryDirectory(
        prefix=f".{options.output.name}-", dir=options.output.parent
    ) as held:
        made = private.folder(Path(held) / "made")
        with Spool(Path(held) / "spool") as spool:
            statistics = _build(options, spool, made, tell)
        _put(made, options)
    return statistics


def _check(options: Options) -> None:
    output = options.output
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / STATISTICS).is_file():
        raise BuildError(f"{output} is there, and is no data set: name a folder that is not")
    if not options.overwrite:
        raise BuildError(f"{output} holds a data set: name another folder, or pass --overwrite")


def _put(made: Path, options: Options) -> None:
    if options.output.exists():
        shutil.rmtree(options.output)
    made.rename(options.output)


def _build(options: Options, spool: Spool, made: Path, tell: Callable[[str], None]) -> Statistics:
    statistics = Statistics()
    rows = _gathered(options, spool, statistics, tell)
    kept = _kept(rows, options.near, statistics)
    groups = Groups()
    for row in rows:
        groups.join(row.keys)
    splits = _splits(rows, kept, groups, options, statistics)
    statistics.splits = {name: Split() for name, share in options.shares.of.items() if share > 0}
    with ExitStack() as stack:
        files = Files(made, stack)
        _write(kept, groups, splits, spool, options, files, statistics)
        for row, pair in _pairs(rows, spool):
            name = splits[groups.of(row.keys)]
            files.add(DPO, name, pairs.row(pair))
            statistics.splits[name].pairs[pair.kind] += 1
    if not statistics.written and not statistics.pairs:
        raise BuildError(_nothing(statistics))
    private.write(made / STATISTICS, json.dumps(statistics.as_json(), indent=2) + "\n")
    made_how = Made(files.names, options.licence, options.seed, options.shares, options.near)
    private.write(made / CARD, card(statistics, made_how))
    return statistics


def _nothing(statistics: Statistics) -> str:
    causes = ", ".join(f"{name}: {count}" for name, count in statistics.dropped.most_common())
    return (
        f"no run of {statistics.read} is good enough, nothing is written; "
        f"bad lines: {statistics.bad_lines}; dropped by cause: {causes or 'none'}"
    )


# The first pass


def _gathered(
    options: Options, spool: Spool, statistics: Statistics, tell: Callable[[str], None]
) -> list[Row]:
    """Rows of the runs that are whole, in the order of the files; of a run that is there twice,
    the later record."""
    rows: dict[str, Row] = {}
    for record in _read(options, statistics, tell):
        for each in {source.type for source in record.sources}:
            statistics.source_types[each] += 1
        if why := cause(BROKEN, record, options.scores, options.bar):
            statistics.dropped[why] += 1
            continue
        clean, hits = scrub(record, options.rules)
        statistics.scrubbed.update(hits)
        statistics.scrubbed_runs += bool(hits)
        if clean.run_id in rows:
            statistics.dropped["an earlier record of the run"] += 1
        rows[clean.run_id] = _row(clean, spool, options)
    return list(rows.values())


def _read(
    options: Options, statistics: Statistics, tell: Callable[[str], None]
) -> Iterator[Record]:
    for each in records(options.records):
        if isinstance(each, Bad):
            if options.strict:
                raise BuildError(f"{each}\n--strict ends here; without it the line is left out")
            statistics.bad_lines += 1
            tell(str(each))
            continue
        statistics.read += 1
        if statistics.read % _EVERY == 0:
            tell(f"{statistics.read} records read")
        yield each


def _row(record: Record, spool: Spool, options: Options) -> Row:
    verdict = record.verdict
    rating = verdict.rating if verdict else ""
    asked = dumped([(each.role, each.content) for each in record.messages[: record.given]])
    score = options.scores.get(record.run_id, 0.0)
    return Row(
        run_id=record.run_id,
        place=spool.add(record),
        keys=keys(record),
        rank=(-score, -(rating == "up" or bool(corrected(record))), record.rounds, record.run_id),
        fingerprint=fingerprint(record),
        poor=cause(POOR, record, options.scores, options.bar),
        rating=rating,
        is_corrected=bool(corrected(record)),
        asked=hashlib.blake2b(asked.encode(), digest_size=16).digest(),
    )


# Between


def _kept(rows: Iterable[Row], near: float, statistics: Statistics) -> list[Row]:
    """Those that are examples, without doubles, in the order of the files."""
    good: dict[str, Row] = {}
    for row in rows:
        if row.poor:
            statistics.dropped[row.poor] += 1
        else:
            good[row.run_id] = row
    ranked = sorted(good.values(), key=lambda row: row.rank)
    found = doubles([row.fingerprint for row in ranked], near)
    for at, why in found.items():
        statistics.dropped[why] += 1
        del good[ranked[at].run_id]
    return list(good.values())


def _splits(
    rows: Sequence[Row],
    kept: Sequence[Row],
    groups: Groups,
    options: Options,
    statistics: Statistics,
) -> dict[str, str]:
    """The split of each group."""
    sizes = {groups.of(row.keys): 0 for row in rows}
    for row in kept:
        sizes[groups.of(row.keys)] += 1
    found = assigned(sizes, options.shares, options.seed)
    filled = {group: size for group, size in sizes.items() if size}
    statistics.told += unmet(filled, found, options.shares)
    return found


# The second pass


class Files:
    """The files of the output, each opened when it gets its first line."""

    def __init__(self, made: Path, stack: ExitStack) -> None:
        self._made = made
        self._stack = stack
        self._open: dict[tuple[str, str], BinaryIO] = {}

    def add(self, kind: str, split: str, row: Mapping[str, object]) -> None:
        """One line of a format, in a split."""
        if (kind, split) not in self._open:
            path = private.folder(self._made / kind) / f"{split}.jsonl"
            self._open[kind, split] = self._stack.enter_context(private.create(path))
        self._open[kind, split].write(dumped(row).encode() + b"\n")

    @property
    def names(self) -> list[tuple[str, str]]:
        """(format, split) of each file; splits of a format in their order."""
        formats = list(dict.fromkeys(kind for kind, _ in self._open))
        every = ((kind, split) for kind in formats for split in NAMES)
        return [each for each in every if each in self._open]


def _write(
    kept: Sequence[Row],
    groups: Groups,
    splits: Mapping[str, str],
    spool: Spool,
    options: Options,
    files: Files,
    statistics: Statistics,
) -> None:
    for row in kept:
        group = groups.of(row.keys)
        name = splits[group]
        record = with_correction(spool.read(row.place))
        made = conversation(record, group)
        if options.mask_failures:
            made = without_failures(made, failed)
        statistics.splits[name].take(made, record.rounds, options.tokens)
        for each in options.formats:
            if (line := FORMATS[each](made)) is None:
                statistics.left_out[each] += 1
            else:
                files.add(each, name, line)


def _pairs(rows: Sequence[Row], spool: Spool) -> Iterator[tuple[Row, Pair]]:
    """Those of corrections, then those of ratings; each with a row of its group."""
    asked: dict[bytes, tuple[list[int], list[int]]] = {}
    for at, row in enumerate(rows):
        if row.is_corrected and (pair := pairs.from_correction(spool.read(row.place))):
            yield row, pair
        if row.rating and not row.is_corrected:
            liked, disliked = asked.setdefault(row.asked, ([], []))
            (liked if row.rating == "up" else disliked).append(at)
    for liked, disliked in asked.values():
        for one, other in pairs.matched(liked, disliked):
            records = spool.read(rows[one].place), spool.read(rows[other].place)
            if pair := pairs.from_ratings(*records):
                yield rows[one], pair
