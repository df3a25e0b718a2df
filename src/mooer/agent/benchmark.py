"""Scenarios from folders of speech, played to sessions one after the other, and what came of them.

folder/scenarios/     the sounds and true times that were played
folder/runs/NAME/     each as `recorder` keeps conversations, with what came of it
folder/bench.json     every outcome, and rates; also bench.md, bench.png
folder/waterfall.*    where the time of the answers went
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, Protocol

from mooer.agent import score, waterfall
from mooer.agent.duplex import FRAME_S, RATE_HZ, Pushed
from mooer.agent.recorder import Recorder
from mooer.agent.scenarios import OVERLAPPING, Scenario
from mooer.agent.score import Outcome, Run, outcome_of, perform
from mooer.agent.staging import BACK_CHANNELS, REQUESTS, Clip, Sounds, clips_of, noises_of, spoken
from mooer.data.manifest import Item, read_jsonl
from mooer.errors import ManifestError, MissingExtra
from mooer.files import write_whole
from mooer.speak.base import Speaker, voices_for

logger = logging.getLogger(__name__)

SCHEMA = "mooer.agent_bench/1"
_NUM_VOICES = 4


class Closable(Pushed, Protocol):
    """A session of its own for each scenario."""

    def close(self) -> None:
        """Stop all work."""
        ...


def usual_mind(kind: str) -> str:
    """What answers in scenarios of a kind: where something is to be interrupted, who speaks long.

    Elsewhere a mind that takes its time, and knows where sentences end.
    """
    return "reciter" if kind in OVERLAPPING else "embedded"


def manifests_in(paths: Iterable[Path]) -> list[Path]:
    """Manifests (.jsonl), and those of folders; ManifestError where there is none."""
    found: list[Path] = []
    for path in paths:
        some = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not some or not all(one.exists() for one in some):
            raise ManifestError(
                f"{path} is no manifest of speech: name a .jsonl with audio, text and language, or "
                "a folder that holds some"
            )
        found += some
    return found


def sounds_of(
    manifests: Sequence[Path], language: str, speaker: Speaker, *, num: int = 10
) -> Sounds:
    """What scenarios of a language need: up to `num` real sentences of each manifest, in turns.

    Where the manifests have none, sentences are spoken too; what only a speaker can say always is.
    """
    items: list[list[Item]] = [read_jsonl(path) for path in manifests]
    real = _in_turns(islice(clips_of(one, language), 2 * num) for one in items)
    voices = voices_for(speaker, language)
    voices = voices[:: max(1, len(voices) // _NUM_VOICES)][:_NUM_VOICES]
    requests = list(spoken(speaker, REQUESTS[language], language, voices))
    if not real:
        logger.warning("no real sentences in %r were found: spoken ones take their place", language)
        real = requests
    half = max(1, len(real) // 2)  # the rest are somebody else's
    return Sounds(
        sentences=real[:half],
        requests=requests,
        back_channels=list(spoken(speaker, BACK_CHANNELS[language], language, voices)),
        others=real[half:] or real,
        noises=_in_turns(islice(noises_of(one), 2 * num) for one in items),
    )


def _in_turns(groups: Iterable[Iterable[Clip]]) -> list[Clip]:
    rows = zip_longest(*(list(group) for group in groups))
    return [clip for clip in chain.from_iterable(rows) if clip is not None]


def run_bench(
    open_session: Callable[[Scenario], Closable],
    scenarios: Iterable[Scenario],
    *,
    folder: Path | None = None,
) -> Iterator[tuple[Run, Outcome]]:
    """Play scenarios one after the other, each to a session of its own; `folder` keeps them all."""
    for scenario in scenarios:
        session = open_session(scenario)
        try:
            run = perform(session, scenario)
        finally:
            session.close()
        outcome = outcome_of(run)
        if folder is not None:
            _keep(run, outcome, folder / "runs" / scenario.name)
        yield run, outcome


def _keep(run: Run, outcome: Outcome, folder: Path) -> None:
    with Recorder(folder, source=run.scenario.name, draws=False) as recorder:
        recorder.note(run.events)
        size = round(RATE_HZ * FRAME_S) * 50
        for start in range(0, len(run.user), size):
            recorder.push(run.user[start : start + size], run.agent[start : start + size])
    write_whole(folder / "outcome.json", json.dumps(asdict(outcome), indent=2) + "\n")


def write_report(
    folder: Path, runs: Sequence[tuple[Run, Outcome]], about: Mapping[str, Any]
) -> None:
    """Tables and pictures of a benchmark; `about` says what was measured."""
    outcomes = [outcome for _, outcome in runs]
    falls = [fall for run, _ in runs for fall in waterfall.falls_of(run.events)]
    data = {
        "schema": SCHEMA,
        **about,
        "summary": score.summary(outcomes),
        "waterfall": waterfall.summary(falls),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    write_whole(folder / "bench.json", json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    write_whole(folder / "bench.md", score.to_markdown(outcomes))
    write_whole(folder / "waterfall.json", waterfall.to_json(falls))
    try:
        score.draw(outcomes, folder / "bench.png")
        waterfall.draw(falls, folder / "waterfall.png")
    except MissingExtra as error:
        logger.warning("there are no pictures: %s", error)
