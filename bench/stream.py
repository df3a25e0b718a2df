"""Latency, stability, error and cost of streams, as Markdown tables.

    python bench/stream.py --shared ../shared                      # whisper-base and rich-mini
    python bench/stream.py --models whisper-base --sets timit_sample --limit 8
    python bench/stream.py --step 0.4 --step 1.0                   # a table for each

Recordings are played to a session in blocks of 0.1 s on a virtual clock: a block arrives when its
last sample would be spoken, and what a push gives is there when the push is done, by the time it
took here, or later if the one before was late. So a latency is what a person in front of this
machine would feel, with nothing else running on it.

- first: from the end of a word in the sound to when it is first shown as it will stay
- last: to when the shown text last changed at that word
- changed: share of words in whose place something else was shown before, or that went away again
- error: WER or CER of what the session said; offline: of `Model.transcribe` on the same sound, for
  a CTC model of its steady text of each whole clip
- CPU: seconds of processor time a second of sound, all threads together

Ends of words are those of the labels where a set has them, else those of the offline words; words
that were not heard as they are there do not count in latencies.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

import mooer
from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave
from mooer.decoding.commit import bare
from mooer.engines.llm import usable_cores
from mooer.errors import MooerError
from mooer.evaluate.metrics import Counts, compare
from mooer.infer import Final, LiveOptions, Partial, Said, Session
from mooer.infer.ctc_ear import ctc_ear
from mooer.infer.listening import holds_ctc
from mooer.infer.rich import load_rich
from mooer.store import fetch
from mooer.text import join_text, split_words
from mooer.text.edit import align

Args = argparse.Namespace
Row = dict[str, Any]
Timed = tuple[str, float, float]
Show = tuple[float, int, tuple[str, ...]]  # time, final words before, words from there on

BLOCK_S = 0.1
SETS = ("timit_sample", "aishell", "zh_misc", "longform")
MODELS = ("whisper-base", "rich-mini")
_TAIL_S = 1.2  # of silence after a clip, as a person leaves it
_REACH = 12  # words beyond the open ones that these are compared with


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models",
        nargs="+",
        default=MODELS,
        help="of the catalog, or folders; mini+draft=ctc: a part of one",
    )
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--limit", type=int, help="clips a set")
    parser.add_argument("--max-s", type=float, help="of a clip")
    parser.add_argument("--step", type=float, action="append", help="seconds; several for several")
    parser.add_argument("--fixed", action="store_true", help="every step, however late it comes")
    args = parser.parse_args()
    header = ["model", "set", "step, s", "words", "first, s (50 / 95 %)", "last, s (50 / 95 %)"]
    header += ["changed, %", "error, %", "offline, %", "CPU", "steps left out"]
    table(header, lines(args))


def lines(args: Args) -> Iterator[list[Any]]:
    for model in args.models:
        system = System(model, args)
        for name in args.sets:
            rows = rows_of(args, name)
            offline = [system.offline(row) for row in rows]
            for step_s in args.step or [LiveOptions().step_s]:
                live = LiveOptions(step_s=step_s, adaptive=not args.fixed)
                total = Total()
                for row, words in zip(rows, offline, strict=True):
                    total.add(row, play(system.session(row, live), row["samples"]), words)
                yield [system.name, name, f"{step_s:g}", *total.cells()]


class System:
    """A model, offline and as a stream."""

    def __init__(self, model: str, args: Args) -> None:
        self.name = Path(model).name
        model, *given = model.split("+")
        parts = dict(part.split("=", 1) for part in given)
        self._model, self._threads = model, args.threads
        self._is_ctc = holds_ctc(fetch(model))
        self._loaded: Any = (
            load_rich(str(fetch(model)), num_threads=args.threads)
            if self._is_ctc
            else mooer.load(model, num_threads=args.threads, parts=parts)
        )

    def session(self, row: Row, live: LiveOptions) -> Session:
        """A stream for one clip."""
        if self._is_ctc:
            session = mooer.listen(
                self._model, live=live, language=row["language"], num_threads=self._threads
            )
        else:
            session = self._loaded.listen(live, language=row["language"])
        session.run_by(time.perf_counter)
        return session

    def offline(self, row: Row) -> list[Timed]:
        """The words of a clip that is there as a whole."""
        if not self._is_ctc:
            said = self._loaded.transcribe(
                row["samples"], rate_hz=SAMPLE_RATE_HZ, language=row["language"], words=True
            )
            return [(w.text, w.start_s, w.end_s) for s in said.segments for w in s.words or ()]
        found: list[Timed] = []
        ear = ctc_ear(self._loaded, language=row["language"])
        size = round(20.0 * SAMPLE_RATE_HZ)
        for start in range(0, len(row["samples"]), size):
            part = row["samples"][start : start + size]
            guess = ear.hear(part, (), speech_prob=1.0, last=True)
            shift_s = start / SAMPLE_RATE_HZ
            words = guess.words if guess else ()
            found += [(w.text, w.start_s + shift_s, w.end_s + shift_s) for w in words]
        return found


@dataclass
class Played:
    """What a session showed, and when on the virtual clock."""

    shows: list[Show]
    finals: list[Timed]
    text: str
    cpu_s: float
    sound_s: float
    has_left_out: bool


def play(session: Session, samples: np.ndarray) -> Played:
    """Push a clip as it would come."""
    size = round(BLOCK_S * SAMPLE_RATE_HZ)
    tail = np.zeros(round(_TAIL_S * SAMPLE_RATE_HZ), np.float32)
    sound = np.concatenate([samples, tail])
    shows: list[Show] = []
    finals: list[Timed] = []
    texts: list[str] = []
    free_s = 0.0  # when what was pushed before is done
    cpu_began = time.process_time()
    for start in [*range(0, len(sound), size), len(sound)]:
        block = sound[start : start + size]
        began = time.perf_counter()
        events = session.push(block) if len(block) else session.flush()
        took_s = time.perf_counter() - began
        free_s = max(free_s, (start + len(block)) / SAMPLE_RATE_HZ) + took_s
        for event in events:
            if isinstance(event, Said):
                texts.append(event.segment.text)
            elif isinstance(event, Final):
                before = len(finals)
                finals += [(w.text, w.start_s, w.end_s) for w in event.words]
                shows.append((free_s, before, tuple(bare(w.text) for w in event.words)))
            elif isinstance(event, Partial):
                shows.append((free_s, len(finals), tuple(bare(w.text) for w in event.words)))
    cpu_s = time.process_time() - cpu_began
    left_out = any("some are left out" in one for one in session.warnings)
    return Played(
        seen_at_once(shows), finals, join_text(texts), cpu_s, len(sound) / SAMPLE_RATE_HZ, left_out
    )


def seen_at_once(shows: Sequence[Show]) -> list[Show]:
    """A Final and the Partial behind it are seen together: what one push gives is one show."""
    seen: list[Show] = []
    for at_s, before, words in shows:
        if seen and seen[-1][0] == at_s:
            _, first, shown = seen.pop()
            seen.append((at_s, first, (*shown[: before - first], *words)))
        else:
            seen.append((at_s, before, words))
    return seen


def history(played: Played) -> list[tuple[float, float, bool]]:
    """Of each final word: when it was first shown, when its place last changed, whether it did."""
    words = [bare(text) for text, _, _ in played.finals]
    first = [np.inf] * len(words)
    last = [np.inf] * len(words)  # since then it is shown without a break
    changed = [False] * len(words)
    shown: list[str | None] = [None] * len(words)
    for at_s, before, seen in played.shows:
        ahead = words[before : before + len(seen) + _REACH]
        now: list[str | None] = [None] * len(ahead)
        i = j = 0
        for op in align(ahead, seen).ops:
            if op in "=S":
                now[i] = seen[j]
            i += op != "I"
            j += op != "D"
        for place, word in enumerate(now, before):
            if word == words[place]:
                first[place] = min(first[place], at_s)
                if shown[place] != word:
                    last[place] = at_s
            changed[place] |= shown[place] is not None and shown[place] != word
            shown[place] = word
    return list(zip(first, last, changed, strict=True))


@dataclass
class Total:
    """Sums over the clips of a set."""

    firsts: list[float] = field(default_factory=list)
    lasts: list[float] = field(default_factory=list)
    changed: list[bool] = field(default_factory=list)
    error: Counts = field(default_factory=Counts)
    offline: Counts = field(default_factory=Counts)
    cpu_s: float = 0.0
    sound_s: float = 0.0
    num_left_out: int = 0

    def add(self, row: Row, played: Played, offline: Sequence[Timed]) -> None:
        """Count one clip."""
        known = row.get("words") or offline
        told = history(played)
        ends = ends_of(played.finals, known)
        for (first_s, last_s, has_changed), end_s in zip(told, ends, strict=True):
            self.changed.append(has_changed)
            if end_s is not None and np.isfinite(last_s):
                self.firsts.append(first_s - end_s)
                self.lasts.append(last_s - end_s)
        language = row["language"]
        metric = "cer" if language in ("zh", "yue", "ja") else "wer"
        if row["whole"]:
            self.error += compare(metric, row["text"], played.text, language)[0]
            text = join_text(word.strip() for word, _, _ in offline)
            self.offline += compare(metric, row["text"], text, language)[0]
        self.cpu_s += played.cpu_s
        self.sound_s += played.sound_s
        self.num_left_out += played.has_left_out

    def cells(self) -> list[Any]:
        """The rest of the row."""

        def spread(values: Sequence[float]) -> str:
            if not values:
                return "-"
            return " / ".join(f"{q:.2f}" for q in np.percentile(values, (50, 95)))

        def rate(counts: Counts) -> str:
            return "-" if counts.rate is None else f"{100 * counts.rate:.1f}"

        changed = f"{100 * np.mean(self.changed):.1f}" if self.changed else "-"
        return [
            len(self.changed),
            spread(self.firsts),
            spread(self.lasts),
            changed,
            rate(self.error),
            rate(self.offline),
            f"{self.cpu_s / max(self.sound_s, 1e-9):.2f}",
            f"in {self.num_left_out} clips" if self.num_left_out else "none",
        ]


def ends_of(finals: Sequence[Timed], known: Iterable[Sequence[Any]]) -> list[float | None]:
    """The end of each final word in the sound; None where another word was said."""
    reference: list[tuple[str, float]] = []
    for text, start_s, end_s in known:
        parts = [bare(part) for part in split_words(text)]
        step_s = (end_s - start_s) / max(1, len(parts))
        reference += [(part, start_s + (i + 1) * step_s) for i, part in enumerate(parts) if part]
    found: list[float | None] = [None] * len(finals)
    i = j = 0
    said = [bare(text) for text, _, _ in finals]
    for op in align(said, [word for word, _ in reference]).ops:
        if op == "=":
            found[i] = reference[j][1]
        i += op != "I"
        j += op != "D"
    return found


def rows_of(args: Args, name: str) -> list[Row]:
    manifest = args.shared / "data" / f"{name}.jsonl"
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    rows = rows[: args.limit]
    for row in rows:
        row["samples"] = read_wave(str(manifest.parent / row["audio"]), max_s=args.max_s)
        row["whole"] = not args.max_s or row["duration"] <= args.max_s
    return rows


if __name__ == "__main__":
    try:
        main()
    except MooerError as error:
        raise SystemExit(f"stream.py: {error}") from None
