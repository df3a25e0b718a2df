"""What a manifest holds: hours, lengths, languages, speakers and labels, without reading sound."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from mooer.data.supervision import Utterance

_SHARES = (0.0, 0.05, 0.5, 0.95, 1.0)
_GROUPS = ("language", "task", "emotion", "event", "gender", "source", "licence")
_MAX_ROWS = 12


def statistics(utterances: Iterable[Utterance]) -> dict[str, Any]:
    """Plain values for JSON: numbers, seconds, quantiles, and hours by each label."""
    durations: list[float] = []
    speakers: set[str] = set()
    known: Counter[str] = Counter()
    hours: dict[str, dict[str, float]] = {name: defaultdict(float) for name in _GROUPS}
    num = num_chars = 0
    for utterance in utterances:
        num += 1
        duration_s = utterance.duration_s or 0.0
        durations.append(duration_s)
        num_chars += len(utterance.text or "")
        if utterance.speaker is not None:
            speakers.add(utterance.speaker)
        for name in ("text", "translation", "answer", "conversation", "duration_s"):
            known[name.removesuffix("_s")] += int(getattr(utterance, name) is not None)
        for name in _GROUPS:
            value = getattr(utterance, name)
            if value is not None:
                hours[name][value] += duration_s / 3600
    durations.sort()
    return {
        "num_utterances": num,
        "hours": round(sum(durations) / 3600, 4),
        "num_speakers": len(speakers),
        "num_chars": num_chars,
        "seconds": {f"{share:.0%}": round(quantile(durations, share), 3) for share in _SHARES},
        "known": dict(known),
        "hours_by": {
            name: {value: round(h, 4) for value, h in _largest_first(counts)}
            for name, counts in hours.items()
            if counts
        },
    }


def _largest_first(hours: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(hours.items(), key=lambda row: (-row[1], row[0]))


def quantile(ordered: list[float], share: float) -> float:
    """The value below which that share of a sorted list is; 0 of nothing.

    >>> quantile([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    return ordered[round(share * (len(ordered) - 1))] if ordered else 0.0


def to_text(found: dict[str, Any]) -> str:
    """The same to be read."""
    lines = [
        f"{found['num_utterances']} utterances, {found['hours']:.2f} h, "
        f"{found['num_speakers']} speakers, {found['num_chars']} characters of text",
        "seconds: " + ", ".join(f"{share} {value:g}" for share, value in found["seconds"].items()),
        "known: " + ", ".join(f"{name} {n}" for name, n in found["known"].items() if n),
    ]
    for name, hours in found["hours_by"].items():
        rows = list(hours.items())
        shown = ", ".join(f"{value} {h:.2f} h" for value, h in rows[:_MAX_ROWS])
        more = f", and {len(rows) - _MAX_ROWS} more" if len(rows) > _MAX_ROWS else ""
        lines.append(f"{name}: {shown}{more}")
    return "\n".join(lines) + "\n"
