"""Loss curves as a picture, drawn from metrics.jsonl."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from mooer.errors import MissingExtra
from mooer.train import journal


def draw(folder: Path) -> Path:
    """Write `folder`/curves.png: losses, then scores, learning rate and gradient norm."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "train") from error
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    starts: dict[str, int] = {}
    for row in journal.read(folder):
        for name, value in journal.scalars(row).items():
            curves[name].append((row["step"], value))
        if "stage" in row:
            starts.setdefault(str(row["stage"]), row["step"])
    panels = _panels(curves)
    figure = Figure(figsize=(9, 2.6 * len(panels)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (title, names) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels):  # noqa: B905
        for name in names:
            _plot(axes, name, curves[name])
        for stage, step in starts.items():
            axes.axvline(step, color="0.8", linewidth=1)
            axes.annotate(stage, (step, 1), xycoords=("data", "axes fraction"), fontsize=7)
        axes.set_ylabel(title)
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
        if title == "loss" and min(v for n in names for _, v in curves[n]) > 0:
            axes.set_yscale("log")
    axes.set_xlabel("step")
    target = folder / "curves.png"
    partial = folder / ".curves.png"
    with partial.open("wb") as file:
        canvas.print_png(file)
    partial.replace(target)
    return target


def _panels(curves: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Titles and curves of the panels that have any."""
    table = {
        "loss": ("loss", "ctc"),
        "error rate": ("wer", "cer", "mer"),
        "BLEU": ("bleu",),
        "accuracy": ("accuracy",),
        "learning rate": ("lr",),
        "gradient norm": ("grad_norm",),
    }
    panels = [
        (title, [name for name in curves if name.rpartition("/")[2] in wanted])
        for title, wanted in table.items()
    ]
    return [(title, names) for title, names in panels if names]


def _plot(axes: Any, name: str, points: list[tuple[int, float]]) -> None:
    steps, values = zip(*points, strict=True)
    dense = len(points) > 200
    axes.plot(
        steps, values, label=name, linewidth=0.6 if dense else 1.4, marker="" if dense else "."
    )
