"""Make tests/golden/diarization.json: error rates by `pyannote.metrics` of drawn conversations.

    pip install pyannote.metrics && python tools/golden_diarization.py

Stored are the turns [start, end, speaker] of reference and hypothesis, the options, and in seconds
what was said, missed, invented and given to another speaker in the first 45 s.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

PATH = Path(__file__).parents[1] / "tests" / "golden" / "diarization.json"
PARTS = ("total", "missed detection", "false alarm", "confusion")
END_S = 45


def turns(generator: np.random.Generator, num_speakers: int) -> list[tuple[float, float, str]]:
    """Thirty turns that overlap here and there."""
    found = []
    for start in np.sort(generator.uniform(0, 50, 30)):
        end = start + generator.exponential(2) + 0.05
        name = f"s{generator.integers(num_speakers)}"
        found.append((round(float(start), 3), round(float(end), 3), name))
    return found


def annotation(rows: list[tuple[float, float, str]]) -> Any:
    """The same for pyannote, each speaker's own overlaps joined."""
    found = Annotation()
    for i, (start, end, speaker) in enumerate(rows):
        found[Segment(start, end), i] = speaker
    return found.support()


def main() -> None:
    """Write the file."""
    cases = []
    for seed in range(4):
        for collar_s, skip_overlap in ((0.0, False), (0.25, False), (0.25, True)):
            generator = np.random.default_rng(seed)
            reference, hypothesis = turns(generator, 4), turns(generator, 5)
            metric = DiarizationErrorRate(collar=2 * collar_s, skip_overlap=skip_overlap)
            whole = Timeline([Segment(0, END_S)])
            told = metric(annotation(reference), annotation(hypothesis), uem=whole, detailed=True)
            cases.append(
                {
                    "reference": reference,
                    "hypothesis": hypothesis,
                    "options": {
                        "duration_s": END_S,
                        "collar_s": collar_s,
                        "skip_overlap": skip_overlap,
                    },
                    "parts": [round(told[name], 6) for name in PARTS],
                }
            )
    PATH.write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")


if __name__ == "__main__":
    main()
