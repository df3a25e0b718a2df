"""Ends of turns told from pauses: by the voice, by the words, and by both; as Markdown.

    python bench/agent_endings.py --shared ../shared --num 30

Read sentences are heard twice, each up to 0.25 s of silence: whole, and up to a pause put in at the
longest gap between words of their middle, or at the quietest place. Smart Turn judges the sound,
the embedded LLM what Whisper wrote of it. AUC is how often an end gets more than a cut. Below the
table stand the weights that a logistic regression finds on these clips, and what
`mooer.agent.endings` has.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import table

from agent import SETS
from mooer.agent import endings
from mooer.agent.build import PartsOptions, open_hear
from mooer.agent.endings import probability_of_end
from mooer.agent.minds.embedded import Embedded
from mooer.agent.staging import Clip, clips_of, with_pause
from mooer.data.manifest import read_jsonl
from mooer.engines.smart_turn import SmartTurn
from mooer.store import fetch

RATE_HZ = 16_000
SILENCE_S, PAUSE_S, LEAD_S = 0.25, 0.9, 0.3
THRESHOLD = 0.5


@dataclass(frozen=True)
class Judged:
    """One sound and what is thought of it."""

    language: str
    is_end: bool
    by_voice: float
    by_words: float

    @property
    def both(self) -> float:
        """As the agent has it."""
        return probability_of_end(self.by_voice, self.by_words)


def sounds(clip: Clip) -> Iterator[tuple[bool, np.ndarray]]:
    """Whether it is whole, and the samples."""
    longer, (pause_s, _) = with_pause(clip, PAUSE_S)
    for is_end, samples, end_s in (
        (True, clip.samples, clip.end_s),
        (False, longer.samples, pause_s),
    ):
        first = round(max(0.0, clip.start_s - LEAD_S) * RATE_HZ)
        last = round((end_s + SILENCE_S) * RATE_HZ)
        heard = samples[first:last]
        yield is_end, np.pad(heard, (0, last - first - len(heard)))


def judged(args: argparse.Namespace) -> Iterator[Judged]:
    turn, mind = SmartTurn(fetch("smart-turn-v3.2")), Embedded.open(num_threads=args.threads)
    hear = open_hear(PartsOptions(), args.threads)
    for language, names in SETS.items():
        for name in names:
            items = read_jsonl(args.shared / "data" / f"{name}.jsonl")
            random.Random(3).shuffle(items)
            for clip in itertools.islice(clips_of(items, language, max_s=8.0), args.num):
                for is_end, samples in sounds(clip):
                    text = hear.hear(samples).text.rstrip(endings.MARKS)
                    if text:
                        by_words = mind.ends(text)
                        yield Judged(language, is_end, turn.complete(samples), by_words)


def auc(ends: Sequence[float], cuts: Sequence[float]) -> float:
    more = np.array(ends)[:, None] - np.array(cuts)[None]
    return float((more > 0).mean() + 0.5 * (more == 0).mean())


def rows(found: Sequence[Judged]) -> Iterator[Sequence[str]]:
    for language in SETS:
        ends = [one for one in found if one.language == language and one.is_end]
        cuts = [one for one in found if one.language == language and not one.is_end]
        for name in ("by_voice", "by_words", "both"):
            high, low = ([getattr(one, name) for one in group] for group in (ends, cuts))
            shares = ["-", "-"]
            if name != "by_words":  # which is no probability of the end of a turn
                shares = [f"{100 * np.mean(np.array(x) >= THRESHOLD):.0f}" for x in (high, low)]
            label = name.replace("_", " ")
            yield language, f"{len(ends)} / {len(cuts)}", label, f"{auc(high, low):.2f}", *shares


def fitted(found: Sequence[Judged], steps: int = 5000) -> np.ndarray:
    """Weights of the log-odds by the voice and the log by the words, and a constant."""
    least = endings.LEAST
    voice = np.clip([one.by_voice for one in found], least, 1 - least)
    words = np.log(np.maximum([one.by_words for one in found], least))
    inputs = np.stack([np.log(voice / (1 - voice)), words, np.ones(len(found))], axis=1)
    is_end = np.array([one.is_end for one in found], float)
    weights = np.zeros(3)
    for _ in range(steps):
        wrong = 1 / (1 + np.exp(-inputs @ weights)) - is_end
        weights -= 0.05 * (inputs.T @ wrong / len(found) + 1e-3 * weights * (1, 1, 0))
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--num", type=int, default=30, help="clips a set")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    found = list(judged(args))
    header = ("language", "ends / cuts", "judged", "AUC", "ends taken, %", "cuts taken, %")
    table(header, rows(found))
    voice, words, constant = fitted(found)
    print(
        f"Fitted: {voice:.2f} by the voice, {words:.2f} by the words, which tell nothing at "
        f"{np.exp(-constant / words):.2f}; used: {endings.BY_VOICE}, {endings.BY_WORDS}, "
        f"{endings.NEUTRAL}."
    )


if __name__ == "__main__":
    main()
