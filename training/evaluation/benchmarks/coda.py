"""CoDA-Bench (Zhang et al., ICML 2026, arXiv 2606.15300), as scripts/setup_dataset.py of
ruc-datalab/CoDA-Bench lays it out:

    coda_bench.json, coda_bench_hard.json     instance_id, question, answer, answer_guidelines,
                                              release_community, …
    communities/community_N/full_community/   hundreds of files, of which a task needs a few

docs/evaluation_protocol.md has data/ in the place of communities/. To find the files is a part of
the task: a question names the source and the folder, and no file.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from training.evaluation.benchmarks.reading import (
    LAST_LINE,
    BenchmarkError,
    found,
    grouped,
    rows,
    text,
)
from training.evaluation.dataset import LAKE, Domain, Question, Reference

_PREFIX = "coda"
_NEEDED = ("instance_id", "question", "answer", "answer_guidelines", "release_community")


def read(folder: Path, communities: Collection[str] = (), *, hard: bool = False) -> list[Domain]:
    """A domain for each community; none = all that tasks name. Raises BenchmarkError."""
    name = f"coda_bench{'_hard' if hard else ''}.json"
    tasks = found([folder / name, folder / "data" / name], "the file of tasks")
    told = grouped(_questions(tasks))
    chosen = {each: of for each, of in told.items() if not communities or each in communities}
    places = {each: _place(folder, each) for each in chosen}
    if missing := [each for each, place in places.items() if place is None]:
        raise BenchmarkError(
            f"{folder} does not hold the files of {', '.join(missing)}: extract their archives as "
            "the benchmark's scripts/setup_dataset.py does, or name those that are there with "
            "--domain"
        )
    return [
        Domain(each, _files(place, each), {}, tuple(chosen[each]))
        for each, place in places.items()
        if place is not None
    ]


def _questions(path: Path) -> Iterator[tuple[str, Question]]:
    for row in rows(path, _NEEDED):
        yield str(row["release_community"]), _question(row)


def _question(row: Mapping[str, Any]) -> Question:
    where = f"{_PREFIX}/{row['release_community']}/"
    return Question(
        id=f"{_PREFIX}-{row['instance_id']}",
        text=text(
            row["question"],
            f"The data lies among the files of the source `{LAKE}` below `{where}`, of which most "
            "have nothing to do with the question: list them with "
            f'sources["{LAKE}"].list, and read those that matter.',
            f"Guidelines for the answer: {row['answer_guidelines']}",
            LAST_LINE,
        ),
        data=(LAKE,),
        expects=(Reference(str(row["answer"]), "coda"),),
    )


def _place(folder: Path, community: str) -> Path | None:
    for above in ("communities", "data"):
        place = folder / above / community / "full_community"
        if place.is_dir():
            return place
    return None


def _files(place: Path, community: str) -> dict[str, Path]:
    return {
        f"{_PREFIX}/{community}/{each.relative_to(place).as_posix()}": each
        for each in sorted(place.rglob("*"))
        if each.is_file()
    }
