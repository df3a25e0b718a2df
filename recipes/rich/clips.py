"""Recordings with labels of language, emotion, gender, age and events, and the fold of each.

    python recipes/rich/clips.py --data ../shared/data --synth ../shared/synth --out runs/rich/clips

Writes clips.jsonl into --out, and the sounds that are made here: speech over events, music, noise,
and Japanese speech (by Kokoro; there is next to no real one). A fold holds whole speakers and whole
source recordings: those of ravdess two by two, of emodb one by one, esc10 by its own folds. Fold -1
is never tested on: what is synthetic, and sounds of which there is one recording alone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import japanese
import numpy as np
import sounds

from mooer.audio.augment import add_noise, fit_noise
from mooer.audio.wave import read_wave
from mooer.data.supervision import Utterance, read_manifest, write_manifest
from mooer.tasks.rich import EVENTS

NUM_FOLDS = 6
ALWAYS = -1
SPEECH = (
    *("ravdess", "emodb", "timit_sample", "speechocean762", "fsdd", "ljspeech"),
    *("magicdata_cs", "aishell", "zh_misc", "en_misc", "fleurs", "multilang"),
)
EMOTION = {"calm": "neutral", "disgust": "disgusted", "bored": "unknown"}
EVENT = {"crying_baby": "cry", "sneezing": "sneeze", "clapping": "applause"}
LANGUAGES = ("zh", "en", "ja")  # others are "other"
ADULT_YEARS = 14
ADULTS = ("ravdess", "timit_sample", "fsdd", "ljspeech", "magicdata_cs")
TWO_SOURCES = {"applause": 3, "clapping": 4, "music": 5}  # of events_misc, with their folds
NUM_SYNTHETIC = {"zh": 160, "en": 100}


def main() -> None:
    """Write clips.jsonl and the sounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--synth", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    clips = [one for name in SPEECH for one in speech(args.data, name)]
    synthetic = list(spoken(args.synth))
    events = list(noises(args.data))
    made = [
        *mixtures(events, synthetic, args.out, rng),
        *sounds.music(args.out, 60, rng),
        *sounds.noise(args.out, 30, rng),
        *japanese.speech(args.out, rng),
    ]
    rows = [*clips, *synthetic, *events, *made]
    write_manifest(args.out / "clips.jsonl", rows)
    tally = Counter((row.source or "", row.extra["fold"]) for row in rows)
    print(
        json.dumps(
            {f"{name} fold {fold}": n for (name, fold), n in sorted(tally.items())}, indent=1
        )
    )


def speech(folder: Path, name: str) -> Iterator[Utterance]:
    """A set of speech, each speaker in one fold; who is not named is somebody else each time."""
    places: dict[str, int] = defaultdict(lambda: len(places))
    per_fold = 2 if name == "ravdess" else 1
    utterances = sorted(read_manifest(folder / f"{name}.jsonl"), key=lambda one: one.id)
    shift = SPEECH.index(name)  # so that sets of one speaker are not all in the first fold
    for one in utterances:
        place = places[one.speaker or one.id] // per_fold
        fold = (place if name in ("ravdess", "emodb") else place + shift) % NUM_FOLDS
        language = one.language if one.language in LANGUAGES else "other"
        years = one.age if isinstance(one.age, int | float) else None
        is_child = years is not None and years < ADULT_YEARS
        age = "child" if is_child else "adult" if years or name in ADULTS else None
        yield replace(
            one,
            id=f"{name}-{one.id}",
            language=language,
            emotion=EMOTION.get(one.emotion, one.emotion) if one.emotion else None,
            gender=None if is_child else one.gender,  # children's voices are alike
            age=age,
            event="speech",
            source=name,
            extra={"fold": fold},
        )


def spoken(folder: Path) -> Iterator[Utterance]:
    """Synthetic speech, for its languages; blends of women's or of men's voices have a gender."""
    left = Counter(NUM_SYNTHETIC)
    for one in read_manifest(folder / "train.jsonl"):
        if one.language is None or left[one.language] <= 0 or (one.duration_s or 0) < 1.5:
            continue
        left[one.language] -= 1
        letters = {part[1] for part in (one.speaker or "").split("+")}
        gender = {"f": "female", "m": "male"}[letters.pop()] if len(letters) == 1 else None
        yield replace(
            one, gender=gender, event="speech", source="synthetic", extra={"fold": ALWAYS}
        )


def noises(folder: Path) -> Iterator[Utterance]:
    """Sounds that are no speech."""
    for one in read_manifest(folder / "esc10.jsonl"):
        fold = {1: 0, 2: 1, 5: 2}[one.extra["fold"]]
        event = EVENT.get(one.event or "", one.event)
        yield replace(one, id=f"esc10-{one.id}", event=event, source="esc10", extra={"fold": fold})
    for one in read_manifest(folder / "events_misc.jsonl"):
        fold = TWO_SOURCES.get(one.event or "", ALWAYS)
        event = EVENT.get(one.event or "", one.event)
        yield replace(one, event=event, source="events_misc", extra={"fold": fold})


def mixtures(
    events: list[Utterance], synthetic: list[Utterance], out: Path, rng: np.random.Generator
) -> Iterator[Utterance]:
    """Each event under a synthetic sentence, in the fold of the event."""
    for number, event in enumerate(events):
        voice = synthetic[number % len(synthetic)]
        said = read_wave(voice.audio)
        heard = fit_noise(read_wave(event.audio), len(said), rng)
        samples = add_noise(said, heard, float(rng.uniform(-3, 8)))
        path = sounds.write(out / "mixed" / f"{number:04}.wav", samples)
        assert event.event in EVENTS or event.event
        yield replace(
            voice,
            id=f"mixed-{number:04}",
            audio=str(path),
            duration_s=len(samples) / sounds.RATE_HZ,
            event=f"speech, {event.event}",
            source="mixed",
            text=None,
            extra={"fold": event.extra["fold"]},
        )


if __name__ == "__main__":
    main()
