"""Where the time of each answer went: what was waited for, one wait after the other.

An answer's moments come from its `Waterfall` event. They are put in order of time, and the time up
to each is what was waited for it alone: a recogniser that is done before the turn is surely over
cost nothing, and what ran beside something slower is not counted twice. So the waits of an answer
add up to its latency.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mooer.agent.events import AnswerStarted, Event, Waterfall
from mooer.errors import MissingExtra
from mooer.files import write_whole

MOMENTS = (
    "speech_end",
    "vad",
    "turn",
    "asr_final",
    "retrieval",
    "first_token",
    "first_clause",
    "first_audio",
    "played",
)
TOTAL = "voice_to_voice"
_MAX_BARS = 40  # answers that a picture can show
_COLOURS = ("#9aa0a6", "#5f8dd3", "#2a6f97", "#7b5ea7", "#d98e04", "#c1666b", "#6a994e", "#333333")


@dataclass(frozen=True, slots=True)
class Wait:
    """What was waited for."""

    name: str  # the moment that ended it
    start_s: float  # since the end of the user's speech
    duration_s: float


@dataclass(frozen=True, slots=True)
class Fall:
    """The waits of one answer, in order of time."""

    answer: int
    turn: int | None
    origin_s: float  # of the stream: the end of the user's speech, or what there is instead
    waits: tuple[Wait, ...]

    @property
    def total_s(self) -> float:
        """From the end of the user's speech to the last moment that is known."""
        return sum(wait.duration_s for wait in self.waits)

    @property
    def is_played(self) -> bool:
        """Whether it was heard at all: one that was never played has no latency."""
        return any(wait.name == "played" for wait in self.waits)

    def __str__(self) -> str:
        parts = " + ".join(
            f"{wait.name} {wait.duration_s:.2f}" for wait in self.waits if wait.duration_s >= 0.005
        )
        return f"{self.total_s:.2f} s" + (f" = {parts}" if parts else "")


def fall_of(moments: Mapping[str, float], answer: int = 0, turn: int | None = None) -> Fall:
    """The waits between moments in seconds; what came before the user's end cost nothing.

    >>> str(fall_of({"speech_end": 2.0, "vad": 2.2, "asr_final": 2.6, "turn": 2.3, "played": 3.0}))
    '1.00 s = vad 0.20 + turn 0.10 + asr_final 0.30 + played 0.40'
    """
    known = [(moments[name], place, name) for place, name in enumerate(MOMENTS) if name in moments]
    origin_s = moments.get("speech_end", min(known)[0] if known else 0.0)
    waits: list[Wait] = []
    reached_s = origin_s
    for at_s, _, name in sorted(known):
        if name != "speech_end":
            wait_s = max(0.0, at_s - reached_s)
            waits.append(Wait(name, reached_s - origin_s, wait_s))
            reached_s += wait_s
    return Fall(answer, turn, origin_s, tuple(waits))


def falls_of(events: Iterable[Event]) -> tuple[Fall, ...]:
    """One of each answer that has a `Waterfall`, the last that was told of it, in their order."""
    turns: dict[int, int | None] = {}
    moments: dict[int, Mapping[str, float]] = {}
    for event in events:
        if isinstance(event, AnswerStarted):
            turns[event.answer] = event.turn
        elif isinstance(event, Waterfall):
            moments[event.answer] = event.moments
    return tuple(fall_of(moments[one], one, turns.get(one)) for one in sorted(moments))


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """How many, median, 95 % and most; only how many if there are none.

    >>> percentiles([1.0, 2.0, 3.0])
    {'num': 3, 'median': 2.0, 'p95': 2.9, 'max': 3.0}
    """
    if not values:
        return {"num": 0}
    median, p95 = np.percentile(values, (50, 95))
    return {
        "num": len(values),
        "median": round(float(median), 4),
        "p95": round(float(p95), 4),
        "max": round(float(max(values)), 4),
    }


def summary(falls: Sequence[Fall]) -> dict[str, dict[str, float]]:
    """Seconds of each wait, and of all together, over the answers that were played."""
    played = [fall for fall in falls if fall.is_played]
    waits: dict[str, list[float]] = {name: [] for name in MOMENTS[1:]}
    for fall in played:
        for wait in fall.waits:
            waits[wait.name].append(wait.duration_s)
    rows = {name: percentiles(values) for name, values in waits.items() if values}
    return {**rows, TOTAL: percentiles([fall.total_s for fall in played])}


def to_json(falls: Sequence[Fall]) -> str:
    """All answers and their percentiles, as the text of a file."""
    answers: list[dict[str, Any]] = [
        {**asdict(fall), "total_s": fall.total_s, "is_played": fall.is_played} for fall in falls
    ]
    found = {"answers": answers, "summary": summary(falls)}
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def draw(falls: Sequence[Fall], target: Path) -> Path:
    """A picture (png): a bar an answer, its waits from left to right; the median below.

    MissingExtra without matplotlib; of more than forty answers the last forty are drawn.
    """
    shown = [(f"answer {fall.answer}", fall.waits) for fall in falls[-_MAX_BARS:]]
    if len(falls) > 1:
        shown.append(("median", _median_waits(falls)))
    figure, save = open_figure(9, 1.4 + 0.32 * max(2, len(shown)))
    axes = figure.subplots()
    for place, (_, waits) in enumerate(shown):
        for wait in waits:
            axes.barh(
                place,
                wait.duration_s,
                left=wait.start_s,
                color=_COLOURS[MOMENTS.index(wait.name) - 1],
                height=0.7,
            )
    handles = [axes.barh(0, 0, color=colour) for colour in _COLOURS]
    axes.legend(handles, MOMENTS[1:], fontsize=7, ncols=4, loc="lower right")
    axes.set_yticks(range(len(shown)), [name for name, _ in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("seconds since the end of the user's speech")
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)
    save(target)
    return target


def _median_waits(falls: Sequence[Fall]) -> tuple[Wait, ...]:
    """The median of each wait; they need not add up to the median of the whole."""
    found: list[Wait] = []
    start_s = 0.0
    for name, row in summary(falls).items():
        if name != TOTAL and "median" in row:
            found.append(Wait(name, start_s, row["median"]))
            start_s += row["median"]
    return tuple(found)


def open_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches that needs no display, and what saves it whole at a path."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "plot") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    canvas = FigureCanvasAgg(figure)

    def save(target: Path) -> None:
        picture = io.BytesIO()
        canvas.print_png(picture)
        write_whole(target, picture.getvalue())

    return figure, save
