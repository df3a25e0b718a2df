"""How well a voice agent took its turns, measured on what was heard, as Full-Duplex-Bench does.

`perform` plays a scenario to a session; `outcome_of` says what came of it:

- take-over rate (TOR): share of scenarios in which the agent spoke where it might not have: after a
  sentence or an interruption it is to, in a pause, after a back-channel, side talk or noise it is
  not to. Any audible sound counts, which is stricter than Full-Duplex-Bench (1 s or 4 words).
- latency: from the true end of the user's speech to the first audible sound of the answer.
- stop: from the true onset of the user's speech to the last sound of the answer it interrupts.
- paused: the answer was silent for a while, and then went on from the very sample.
- ended: it was not continued.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.agent.duplex import RATE_HZ, Pushed, converse
from mooer.agent.events import AnswerEnded, AnswerSound, Event, Flush, Samples
from mooer.agent.playout import Playout, Stretch
from mooer.agent.scenarios import KINDS, OVERLAPPING, Actor, Scenario
from mooer.agent.waterfall import open_figure, percentiles

STOP_BAR_S = 0.2
_AUDIBLE_DB = -50.0  # under full scale, of 10 ms
_FRAME = 160
_LEFT_S = 0.3  # an answer with less sound left cannot be interrupted
_EPS_S = 1e-6


@dataclass(frozen=True, eq=False)
class Run:
    """A scenario that was played."""

    scenario: Scenario
    begun_s: tuple[float | None, ...]  # of each cue
    events: tuple[Event, ...]
    stretches: tuple[Stretch, ...]
    user: Samples  # [T] at 16 kHz
    agent: Samples  # [T]


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario; None where a thing was not there to be measured."""

    name: str
    kind: str
    language: str
    is_tested: bool = True  # False: the answer was over before the user could say anything
    took_over: bool = False
    cut_in: bool = False  # spoke before the user's sentence had ended
    latency_s: float | None = None
    stop_s: float | None = None
    paused: bool = False  # the answer was silent, and went on
    ended: bool = False  # it did not go on
    pause_s: float | None = None  # how long it was silent before it went on


def perform(session: Pushed, scenario: Scenario, actor: Actor | None = None) -> Run:
    """Play a scenario to a session, faster than life if its jobs are virtual."""
    actor, playout = actor or Actor(scenario), Playout(RATE_HZ)
    actor.session = session
    events: list[Event] = []
    user, agent = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for frame in converse(session, actor, playout):
        events += [event for event in frame.events if not isinstance(event, AnswerSound)]
        user.append(frame.user)
        agent.append(frame.agent)
    return Run(
        scenario,
        tuple(actor.begun_s),
        tuple(events),
        tuple(playout.stretches),
        np.concatenate(user),
        np.concatenate(agent),
    )


def outcome_of(run: Run) -> Outcome:
    """Score one."""
    scenario = run.scenario
    begun_s, cue = run.begun_s[-1], scenario.cues[-1]
    base = Outcome(scenario.name, scenario.kind, scenario.language)
    if begun_s is None:
        return _changed(base, is_tested=False)
    start_s, end_s = begun_s + cue.start_s, begun_s + cue.end_s
    if scenario.kind in OVERLAPPING:
        return _overlap(run, base, start_s, end_s)
    heard_s = audible(run.agent)
    after = heard_s[heard_s >= end_s - _EPS_S]
    latency_s = float(after[0] - end_s) if len(after) else None
    cut_in = bool(np.any((heard_s >= start_s) & (heard_s < end_s - _EPS_S)))
    if scenario.kind == "pause":
        low, high = cue.pause or (cue.end_s, cue.end_s)
        taken = bool(np.any((heard_s >= begun_s + low) & (heard_s < begun_s + high)))
        return _changed(base, took_over=taken, cut_in=cut_in, latency_s=latency_s)
    if scenario.kind == "idle_noise":
        return _changed(base, took_over=bool(np.any(heard_s >= start_s)))
    return _changed(base, took_over=bool(len(after)), cut_in=cut_in, latency_s=latency_s)


def _overlap(run: Run, base: Outcome, start_s: float, end_s: float) -> Outcome:
    """What became of the answer that was heard when the user, or the room, began."""
    during = [one for one in run.stretches if one.start_s <= start_s < one.end_s]
    if not during:
        return _changed(base, is_tested=False)
    answer = during[0].answer
    ours = [one for one in run.stretches if one.answer == answer]
    flushed = [
        event.time_s
        for event in run.events
        if isinstance(event, Flush) and event.answer == answer and event.time_s >= start_s
    ]
    whole = any(
        isinstance(e, AnswerEnded) and e.answer == answer and e.is_whole for e in run.events
    )
    if not flushed and whole and ours[-1].end_s - start_s < _LEFT_S:
        return _changed(base, is_tested=False)
    others_s = [one.start_s for one in run.stretches if one.answer != answer]
    next_s = min((at_s for at_s in others_s if at_s >= start_s), default=None)
    heard_s = audible(run.agent)
    first_s = None if next_s is None else heard_s[heard_s >= next_s - _EPS_S]
    latency_s = None if first_s is None or not len(first_s) else float(first_s[0] - end_s)
    found: dict[str, Any] = {"took_over": next_s is not None, "latency_s": latency_s}
    if not flushed:
        return _changed(base, **found)
    stop_s = max(one.end_s for one in ours if one.start_s < flushed[0])
    again_s = next((one.start_s for one in ours if one.start_s > stop_s + _EPS_S), None)
    return _changed(
        base,
        **found,
        stop_s=stop_s - start_s,
        paused=again_s is not None,
        ended=again_s is None,
        pause_s=None if again_s is None else again_s - stop_s,
    )


def _changed(base: Outcome, **found: Any) -> Outcome:
    seconds = {k: round(v, 4) for k, v in found.items() if isinstance(v, float)}
    return Outcome(base.name, base.kind, base.language, **{**found, **seconds})


def audible(samples: Samples) -> NDArray[np.floating[Any]]:
    """Seconds at which each 10 ms begin that can be heard.

    >>> audible(np.array([0.0] * 160 + [0.1] * 320, np.float32))
    array([0.01, 0.02])
    """
    num = len(samples) // _FRAME
    frames = samples[: num * _FRAME].reshape(num, _FRAME).astype(np.float64)
    power = np.mean(frames**2, axis=1) if num else np.zeros(0)
    return np.flatnonzero(power > 10 ** (_AUDIBLE_DB / 10)) * (_FRAME / RATE_HZ)


# --- tables ---------------------------------------------------------------------------------------

HEADER = (
    "scenario",
    "language",
    "tested",
    "taken over, %",
    "cut in, %",
    "latency, s (50 / 95 %)",
    "stop, s (50 / 95 %)",
    f"stopped in {STOP_BAR_S:g} s, %",
    "paused, %",
    "pause, s (50 / 95 %)",
    "ended, %",
)


def summary(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Of each kind and language, in the order of `KINDS`: rates from 0 to 1, seconds."""
    found = list(outcomes)
    order = [(kind, lang) for kind in KINDS for lang in sorted({o.language for o in found})]
    rows = []
    for kind, language in order:
        group = [o for o in found if (o.kind, o.language) == (kind, language)]
        tested = [o for o in group if o.is_tested]
        if not group:
            continue
        row: dict[str, Any] = {"kind": kind, "language": language}
        row |= {"num": len(group), "tested": len(tested)}
        row["take_over_rate"] = _rate([o.took_over for o in tested])
        row["latency_s"] = percentiles([o.latency_s for o in tested if o.latency_s is not None])
        if kind in OVERLAPPING:
            row["stop_s"] = percentiles([o.stop_s for o in tested if o.stop_s is not None])
            stopped = [o.stop_s is not None and o.stop_s <= STOP_BAR_S for o in tested]
            row["stopped_in_time_rate"] = _rate(stopped)
            row["paused_rate"] = _rate([o.paused for o in tested])
            row["ended_rate"] = _rate([o.ended for o in tested])
            row["pause_s"] = percentiles([o.pause_s for o in tested if o.pause_s is not None])
        else:
            row["cut_in_rate"] = _rate([o.cut_in for o in tested])
        rows.append(row)
    return rows


def _rate(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def table_rows(outcomes: Iterable[Outcome]) -> list[list[str]]:
    """The cells under `HEADER`."""

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f}"

    def seconds(spread: dict[str, float]) -> str:
        return f"{spread['median']:.2f} / {spread['p95']:.2f}" if spread.get("num") else "-"

    return [
        [
            row["kind"].replace("_", " "),
            row["language"],
            f"{row['tested']} of {row['num']}",
            percent(row["take_over_rate"]),
            percent(row.get("cut_in_rate")),
            seconds(row["latency_s"]),
            seconds(row.get("stop_s", {})),
            percent(row.get("stopped_in_time_rate") if row["kind"] == "interruption" else None),
            percent(row.get("paused_rate")),
            seconds(row.get("pause_s", {})),
            percent(row.get("ended_rate")),
        ]
        for row in summary(outcomes)
    ]


def to_markdown(outcomes: Iterable[Outcome]) -> str:
    """The table."""
    lines = [HEADER, ["---"] * len(HEADER), *table_rows(outcomes)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def draw(outcomes: Sequence[Outcome], target: Path) -> Path:
    """A picture (png): latencies and stops as cumulative shares, and the rate of taking over."""
    figure, save = open_figure(11, 3.4)
    left, middle, right = figure.subplots(1, 3)
    for axes, name, kinds in (
        (left, "latency_s", ("turn_taking", "pause", "interruption")),
        (middle, "stop_s", ("interruption", "back_channel")),
    ):
        for kind in kinds:
            values = sorted(
                getattr(o, name)
                for o in outcomes
                if o.kind == kind and o.is_tested and getattr(o, name) is not None
            )
            if values:
                shares = np.arange(1, len(values) + 1) / len(values)
                axes.step(values, shares, where="post", label=kind.replace("_", " "))
        axes.set_ylim(0, 1)
        axes.set_xlabel("seconds")
        axes.set_ylabel("share of scenarios")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    left.set_title("end of speech to answer")
    middle.set_title("onset of speech to silence")
    middle.axvline(STOP_BAR_S, color="0.6", linewidth=1)
    tested = {kind: [o for o in outcomes if o.kind == kind and o.is_tested] for kind in KINDS}
    names = [kind for kind in KINDS if tested[kind]]
    rates = [float(np.mean([o.took_over for o in tested[kind]])) for kind in names]
    right.barh([name.replace("_", " ") for name in names], rates, color="#5f8dd3")
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.set_title("taken over")
    save(target)
    return target
