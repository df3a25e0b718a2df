"""Find what is wrong with a manifest before training does: its lines, its sounds, its texts."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.data.lines import read_lines
from mooer.data.processes import process_pool
from mooer.data.pseudo import in_script
from mooer.data.sound import PartReader, recordings
from mooer.data.supervision import Utterance
from mooer.errors import AudioError, ConfigError, ManifestError
from mooer.tasks.answers import units
from mooer.text import CHARACTER_LANGUAGES

_CHUNK = 16  # lines that a process is handed at a time


@dataclass(frozen=True)
class Bounds:
    """What is taken for sound. The defaults are wide: what they catch is worth a look."""

    min_s: float = 0.1
    max_s: float = 30.0
    max_duration_error_s: float = 0.1  # between manifest and file; of long ones 1 % if that is more
    silence_db: float = -60.0  # a recording whose loudest 100 ms are below is silent
    characters_per_s: tuple[float, float] = (0.5, 12.0)  # Chinese and the like
    words_per_s: tuple[float, float] = (0.3, 8.0)
    needs_text: bool = False  # a line without text is a problem
    reads_sound: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_s < self.max_s:
            raise ConfigError(f"lengths must be 0 <= min < max, got {self.min_s} and {self.max_s}")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one line."""

    line: int
    id: str | None  # None: the line could not be read
    kind: str
    detail: str


@dataclass
class Report:
    """What was found."""

    manifest: str
    num_lines: int = 0
    num_bad_lines: int = 0
    duration_s: float = 0.0  # measured where sound was read, claimed elsewhere
    problems: list[Problem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Problems by kind, the most frequent first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "manifest": self.manifest,
            "num_lines": self.num_lines,
            "num_bad_lines": self.num_bad_lines,
            "hours": round(self.duration_s / 3600, 4),
            "counts": self.counts,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def to_text(self, max_examples: int = 5) -> str:
        """A summary, and some examples of each kind."""
        lines = [
            f"{self.manifest}: {self.num_lines} utterances, {self.duration_s / 3600:.2f} h, "
            f"{self.num_bad_lines or 'none'} with problems"
        ]
        for kind, number in self.counts.items():
            lines.append(f"\n{kind}: {number}")
            some = [p for p in self.problems if p.kind == kind][:max_examples]
            lines += [f"  line {p.line} {p.id or ''}: {p.detail}" for p in some]
            if number > len(some):
                lines.append(f"  … and {number - len(some)} more (--json lists all)")
        return "\n".join(lines) + "\n"


def validate(
    manifest: Path,
    bounds: Bounds = Bounds(),
    *,
    num_workers: int = 1,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Examine every line; the sounds are read by `num_workers` processes.

    ManifestError only if the manifest itself cannot be read, or is empty.
    """
    report = Report(str(manifest))
    total = sum(1 for _ in read_lines(manifest))
    if not total:
        raise ManifestError(f"{manifest} lists nothing: write one utterance a line")
    ids: dict[str, int] = {}
    chunks = _chunks(manifest, report, ids)
    for found in _checked(chunks, bounds, num_workers):
        for problems, duration_s in found:
            report.duration_s += duration_s
            report.problems += problems
            report.num_lines += 1
        on_progress(report.num_lines, total)
    report.num_lines = total
    on_progress(total, total)
    report.problems.sort(key=lambda problem: problem.line)
    report.num_bad_lines = len({problem.line for problem in report.problems})
    return report


_Line = tuple[int, Utterance]
_Found = tuple[list[Problem], float]


def _chunks(manifest: Path, report: Report, ids: dict[str, int]) -> Iterator[list[_Line]]:
    """Lines that can be read; what is wrong with the list itself goes into the report."""
    chunk: list[_Line] = []
    for number, parsed in read_lines(manifest):
        if isinstance(parsed, ManifestError):
            report.problems.append(Problem(number, None, "line", str(parsed)))
            continue
        if parsed.id in ids:
            detail = f"its id is that of line {ids[parsed.id]}"
            report.problems.append(Problem(number, parsed.id, "duplicate", detail))
        ids.setdefault(parsed.id, number)
        chunk.append((number, parsed))
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _checked(
    chunks: Iterable[list[_Line]], bounds: Bounds, num_workers: int
) -> Iterator[list[_Found]]:
    if num_workers <= 1:
        for chunk in chunks:
            yield check_all(chunk, bounds)
        return
    source = iter(chunks)
    with process_pool(num_workers) as pool:
        waiting: list[Future[list[_Found]]] = []
        try:
            while True:
                for chunk in itertools.islice(source, 3 * num_workers - len(waiting)):
                    waiting.append(pool.submit(check_all, chunk, bounds))
                if not waiting:
                    return
                yield waiting.pop(0).result()
        except BrokenExecutor as error:
            raise AudioError("a process that reads sound has died: memory may be short") from error
        finally:
            for future in waiting:
                future.cancel()


def check_all(lines: Sequence[_Line], bounds: Bounds) -> list[_Found]:
    """Problems of each line, and its duration in seconds."""
    with closing(PartReader()) as read:
        return [_check(number, utterance, bounds, read) for number, utterance in lines]


def _check(number: int, utterance: Utterance, bounds: Bounds, read: PartReader) -> _Found:
    duration_s = utterance.duration_s
    found: list[tuple[str, str]] = []
    if bounds.reads_sound:
        try:
            samples = np.concatenate([read(one) for one in recordings(utterance)])
        except (AudioError, ManifestError) as error:
            problem = Problem(number, utterance.id, "unreadable", str(error))
            return [problem, *_named(number, utterance, check_text(utterance, None, bounds))], 0.0
        measured_s = len(samples) / SAMPLE_RATE_HZ
        found += _check_sound(samples, measured_s, utterance, bounds)
        duration_s = measured_s
    if duration_s is not None:
        found += _check_length(duration_s, bounds)
    found += check_text(utterance, duration_s, bounds)
    return _named(number, utterance, found), duration_s or 0.0


def _named(number: int, utterance: Utterance, found: Iterable[tuple[str, str]]) -> list[Problem]:
    return [Problem(number, utterance.id, kind, detail) for kind, detail in found]


def _check_length(duration_s: float, bounds: Bounds) -> Iterator[tuple[str, str]]:
    if duration_s < bounds.min_s:
        yield "too short", f"{duration_s:.3f} s, less than {bounds.min_s:g} s"
    elif duration_s > bounds.max_s:
        yield "too long", f"{duration_s:.1f} s, more than {bounds.max_s:g} s"


def _check_sound(
    samples: np.ndarray[Any, np.dtype[np.float32]],
    measured_s: float,
    utterance: Utterance,
    bounds: Bounds,
) -> Iterator[tuple[str, str]]:
    claimed_s = utterance.duration_s
    if claimed_s is not None:
        error_s = abs(measured_s - claimed_s)
        if error_s > max(bounds.max_duration_error_s, 0.01 * measured_s):
            yield "duration", f"the manifest says {claimed_s:.2f} s, the sound has {measured_s:.2f}"
    loudness_db = loudest_db(samples)
    if loudness_db < bounds.silence_db:
        yield "silent", f"the loudest 100 ms are at {loudness_db:.0f} dB"


def loudest_db(samples: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    """RMS of the loudest 100 ms, in dB below full scale; -inf for digital silence.

    >>> round(loudest_db(np.full(16000, 0.1, np.float32)))
    -20
    """
    size = min(len(samples), SAMPLE_RATE_HZ // 10)
    if not size:
        return -math.inf
    power = np.square(samples[: len(samples) // size * size], dtype=np.float64)
    loudest = float(power.reshape(-1, size).mean(axis=1).max())
    return 10 * math.log10(loudest) if loudest > 0 else -math.inf


def check_text(
    utterance: Utterance, duration_s: float | None, bounds: Bounds
) -> list[tuple[str, str]]:
    """Kinds and details of what is wrong with the text of an utterance."""
    text, language = utterance.text, utterance.language
    if text is None or not units(text):
        given = "no text" if text is None else f"the text {text!r} has no word"
        return [("no text", given)] if bounds.needs_text or text is not None else []
    found: list[tuple[str, str]] = []
    if language is not None and not in_script(text, language):
        found.append(("language", f"{language} is not written like {text[:40]!r}"))
    if duration_s:
        num = len(units(text))
        by_characters = language in CHARACTER_LANGUAGES
        least, most = bounds.characters_per_s if by_characters else bounds.words_per_s
        # Short recordings hold a word more or less than their length would tell.
        if not least * duration_s - 1 <= num <= most * duration_s + 2:
            name = "characters" if by_characters else "words"
            detail = f"{num} {name} in {duration_s:.2f} s: {text[:40]!r}"
            found.append(("rate", detail))
    return found
