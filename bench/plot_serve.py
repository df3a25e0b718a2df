"""Draw the table of throughput and latency in docs/serving.md as docs/images/serve-load.png.

python bench/plot_serve.py
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    lines = (DOCS / "serving.md").read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| server | callers |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, callers, speed, _, latency, _ = (cell.strip() for cell in line.strip("|").split("|"))
        found[name].append((int(callers), float(speed), float(latency.split("/")[1])))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, rows in found.items():
        callers, speeds, latencies = zip(*rows, strict=True)
        left.plot(callers, speeds, "o-", label=name)
        right.plot(callers, latencies, "o-", label=name)
    for axes, title in ((left, "seconds of sound a second"), (right, "95 % latency, s")):
        axes.set(title=title, xlabel="callers", xscale="log", ylim=(0, None))
        axes.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
        axes.legend()
    figure.savefig(DOCS / "images" / "serve-load.png", dpi=110)


if __name__ == "__main__":
    main()
