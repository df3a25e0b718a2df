"""The losses of several runs of `mooer train` in one picture.

python recipes/mini/curves.py runs/mini/stride-4 runs/mini/stride-6 --out curves.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--loss", default="ctc", help="the key in metrics.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for run in args.runs:
        lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if args.loss in row and "stage" in row]
        axes.plot([r["step"] for r in rows], [r[args.loss] for r in rows], label=run.name)
    axes.set_xlabel("step")
    axes.set_ylabel(f"{args.loss}, nats a unit")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=120)


if __name__ == "__main__":
    main()
