"""The losses of a run as a table and as a picture."""

import csv
import importlib
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

from training.tuning.watching import Point


def table(points: Sequence[Point], path: Path) -> None:
    """One line for each entry of the log; what was not measured is empty."""
    with path.open("w", newline="") as sink:
        writer = csv.writer(sink)
        writer.writerow([field.name for field in fields(Point)])
        writer.writerows(astuple(point) for point in points)


def picture(points: Sequence[Point], path: Path, *, title: str, log: bool, best: int) -> None:
    """Train and eval curves; `best` is the step whose adapter was kept, 0 = the last."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    train = [(p.step, p.train_loss) for p in points if p.train_loss is not None]
    held = [(p.step, p.eval_loss) for p in points if p.eval_loss is not None]
    if train:
        axes.plot(*zip(*train, strict=True), label="train", linewidth=1.2)
    if held:
        axes.plot(*zip(*held, strict=True), label="held out", marker="o", markersize=4)
    if best:
        axes.axvline(best, color="grey", linewidth=0.8, linestyle="--", label=f"kept: step {best}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(title=title, xlabel="step", ylabel="loss (nats per token)")
    if log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
