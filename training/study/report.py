"""What the study came to, as JSON and as Markdown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.study.marks import Marks
from training.study.points import Point

_TITLES = {
    "right": "right",
    "credit": "in part",
    "answered": "answered",
    "profiled": "first program ran",
    "ran": "programs that ran",
    "columns": "named columns used",
}


@dataclass(frozen=True)
class Scored:
    """One that was asked: the rules engine, or a checkpoint; marks by part."""

    name: str
    minutes: float | None
    marks: Mapping[str, Marks]


@dataclass(frozen=True)
class Study:
    """`fit`: what training.study.fit says of itself."""

    fit: Mapping[str, Any]
    points: Sequence[Point]
    scored: Sequence[Scored]

    def as_json(self) -> dict[str, Any]:
        """The whole, but for the points between checkpoints."""
        kept = [asdict(each) for each in self.points if each.checkpoint]
        return {
            "fit": dict(self.fit),
            "curve": kept,
            "scores": [asdict(each) for each in self.scored],
        }

    def as_markdown(self) -> str:
        """Two tables: losses, and marks."""
        return "\n".join([*self._setting(), "", *self._losses(), "", *self._scores(), ""])

    def _setting(self) -> list[str]:
        fit = self.fit
        return [
            f"A Qwen3 of {fit['parameters']:,} parameters (width {fit['width']}, {fit['layers']} "
            f"layers, {fit['vocabulary']} tokens), random at first, trained for "
            f"{fit['minutes']:g} minutes on {fit['device']}: {fit['steps']} steps of "
            f"{fit['batch']}, {fit['epochs']:g} times over {fit['conversations']['train']} "
            f"conversations, {fit['tokens_seen']:,} tokens.",
        ]

    def _losses(self) -> list[str]:
        rows = [
            f"| {p.seconds / 60:.1f} | {p.step} | {p.train_loss:.3f} | {p.kin_loss:.3f} "
            f"| {p.strange_loss:.3f} |"
            for p in self.points
            if p.checkpoint
        ]
        head = "| minutes | steps | loss | held out, kin | held out, strange |"
        return [head, "| --- " * 5 + "|", *rows]

    def _scores(self) -> list[str]:
        head = "| answered by | schemas | runs | " + " | ".join(_TITLES.values()) + " |"
        rows = [
            f"| {each.name} | {part} | {marks.runs} | "
            + " | ".join(f"{getattr(marks, name):.0%}" for name in _TITLES)
            + " |"
            for each in self.scored
            for part, marks in each.marks.items()
        ]
        return [head, "| --- " * (3 + len(_TITLES)) + "|", *rows]
