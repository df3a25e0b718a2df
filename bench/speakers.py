"""Who speaks when: the options tuned, the error rate, and the time that an hour takes.

    python bench/speakers.py tune speechocean762.jsonl ravdess.jsonl
    python bench/speakers.py score ami_diarization.jsonl
    python bench/speakers.py score timit_sample.jsonl --joined
    python bench/speakers.py hour timit_sample.jsonl

`tune` and `--joined` join conversations of 1 to 5 speakers out of recordings of one speaker each:
some utterances overlap, each speaker has a loudness of his own, and there is noise. What is tuned
on one set is reported on another.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mooer.audio.vad import SpeechModel, VadOptions, speech_spans
from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave
from mooer.data.manifest import inputs
from mooer.evaluate.diarization import DiarizationError, diarization_error
from mooer.evaluate.speakers import reference_turns
from mooer.infer.speakers import Diarizer, Listening, SpeakerOptions, load_diarizer
from mooer.store import fetch
from mooer.subtitles.rttm import Turn

VAD = VadOptions(pad_s=0.0, min_silence_s=0.3)
BLOCK = 10 * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Recording:
    """A recording, and who speaks when."""

    name: str
    samples: np.ndarray
    turns: tuple[Turn, ...]

    @property
    def duration_s(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE_HZ

    @property
    def num_speakers(self) -> int:
        """How many there are."""
        return len({turn.speaker for turn in self.turns})


def labelled(manifest: Path) -> list[Recording]:
    """Recordings whose turns are known."""
    return [
        Recording(item.id, read_wave(item.path), reference_turns(item))
        for item in inputs([str(manifest)])
    ]


def joined(manifest: Path, num: int, seconds: float, seed: int) -> list[Recording]:
    """Conversations of 1 to 5 speakers, in turn, out of recordings of one speaker each."""
    generator = np.random.default_rng(seed)
    vad = SpeechModel(fetch("silero-vad") / "silero_vad_16k_sequence.onnx")
    pool = defaultdict(list)
    for item in inputs([str(manifest)]):
        pool[str(item.fields["speaker"])].append(item.path)
    found = []
    for i in range(num):
        wanted = min(1 + i % 5, len(pool))
        chosen = generator.choice(sorted(pool), wanted, replace=False)
        found.append(
            conversation(
                f"{manifest.stem}-{i}",
                {name: [read_wave(path) for path in pool[name]] for name in chosen},
                vad,
                seconds,
                generator,
            )
        )
    return found


def conversation(name, voices, vad, seconds, generator) -> Recording:
    """One after the other, never the same twice; a sixth begin before the last has ended."""
    sound = np.zeros(int((seconds + 30) * SAMPLE_RATE_HZ), np.float32)
    gains = {speaker: 10 ** (generator.uniform(-4, 4) / 20) for speaker in voices}
    queues = {
        speaker: itertools.cycle(generator.permutation(len(own))) for speaker, own in voices.items()
    }
    turns: list[Turn] = []
    place, last = 0.3, ""
    while place < seconds:
        others = [speaker for speaker in voices if speaker != last] or list(voices)
        last = others[generator.integers(len(others))]
        samples = voices[last][next(queues[last])]
        samples = samples * (0.05 * gains[last] / max(1e-4, float(np.std(samples))))
        start = int(place * SAMPLE_RATE_HZ)
        sound[start : start + len(samples)] += samples
        for span in speech_spans([samples], vad, VAD):
            begin = place + span.start_sample / SAMPLE_RATE_HZ
            turns.append(Turn(begin, begin + len(span.samples) / SAMPLE_RATE_HZ, last))
        overlaps = len(voices) > 1 and generator.random() < 1 / 6
        gap = -generator.uniform(0.2, 1.0) if overlaps else generator.uniform(0.05, 1.0)
        place = max(place + 0.2, turns[-1].end_s + gap if turns else place)
    sound = sound[: int((turns[-1].end_s + 0.3) * SAMPLE_RATE_HZ)]
    noise = 0.05 * 10 ** (-generator.uniform(20, 35) / 20)
    sound = sound + generator.normal(0, noise, len(sound)).astype(np.float32)
    return Recording(name, np.clip(sound, -1, 1), tuple(turns))


def blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
    yield from (samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK))


def heard(diarizer: Diarizer, recording: Recording) -> Listening:
    """A recording, heard to its end but for the clustering, which can be done again and again."""
    listening = diarizer.listen()
    for block in blocks(recording.samples):
        listening.push(block)
    return listening


def scored(recording: Recording, turns: tuple[Turn, ...], **how) -> DiarizationError:
    return diarization_error(recording.turns, turns, duration_s=recording.duration_s, **how)


def tune(manifests: list[Path], num: int, seconds: float) -> None:
    """Error and speakers found, by distance."""
    diarizer = load_diarizer()
    recordings = [r for m in manifests for r in joined(m, num, seconds, seed=1)]
    sessions = [heard(diarizer, recording) for recording in recordings]
    print(f"{len(recordings)} conversations of {seconds:.0f} s\n")
    print("| distance | DER, % | speakers too many | too few |\n|---|---|---|---|")
    for distance in np.arange(0.16, 0.44, 0.02).tolist():
        options = replace(SpeakerOptions(), distance=distance, same_distance=0.0)
        total, more, less = DiarizationError(), 0, 0
        for recording, session in zip(recordings, sessions, strict=True):
            session.options = options
            found = session.finish()
            total += scored(recording, found.turns)
            more += max(0, found.num_speakers - recording.num_speakers)
            less += max(0, recording.num_speakers - found.num_speakers)
        print(f"| {distance:.2f} | {percent(total)} | {more} | {less} |", flush=True)


def score(recordings: list[Recording]) -> None:
    """The table: each recording by itself, and ways to do worse or better beside it."""
    diarizer = load_diarizer()
    ways = ("one speaker for all", "number found", "number given")
    totals = {way: defaultdict(DiarizationError) for way in ways}
    rows = []
    for recording in recordings:
        session = heard(diarizer, recording)
        counted = session.finish()
        told = session.finish(recording.num_speakers)
        alone = tuple(replace(turn, speaker="S1") for turn in counted.turns)
        found = dict(zip(ways, (alone, counted.turns, told.turns), strict=True))
        for way, turns in found.items():
            totals[way]["strict"] += scored(recording, turns)
            totals[way]["collar"] += scored(recording, turns, collar_s=0.25)
            totals[way]["easy"] += scored(recording, turns, collar_s=0.25, skip_overlap=True)
        cells = [percent(scored(recording, found[way])) for way in ways]
        rows.append(
            f"| {recording.name} | {recording.num_speakers} | {counted.num_speakers} | "
            + " | ".join(cells)
            + " |"
        )
    print("| | DER, % | missed | false alarm | confusion | collar 0.25 s | and no overlap |")
    print("|---|---|---|---|---|---|---|")
    for way, by in totals.items():
        s = by["strict"]
        parts = [f"{100 * v / s.total_s:.1f}" for v in (s.missed_s, s.false_alarm_s, s.confusion_s)]
        cells = [percent(s), *parts, percent(by["collar"]), percent(by["easy"])]
        print(f"| {way} | " + " | ".join(cells) + " |")
    print(
        "\n| recording | speakers | found | " + " | ".join(f"{way}, DER %" for way in ways) + " |"
    )
    print("|---|---|---|" + "---|" * len(ways))
    print("\n".join(rows))


def percent(error: DiarizationError) -> str:
    return "-" if error.rate is None else f"{100 * error.rate:.1f}"


def hour(manifest: Path) -> None:
    """Seconds for an hour of conversation, and the memory that it takes."""
    diarizer = load_diarizer()
    pieces = [recording.samples for recording in joined(manifest, 4, 180.0, seed=3)]
    print("| minutes | seconds | of these clustering | real-time factor | peak memory, MB |")
    print("|---|---|---|---|---|")
    for minutes in (10, 60):
        began, listening, done = time.perf_counter(), diarizer.listen(), 0
        for samples in itertools.cycle(pieces):
            listening.push(samples[: minutes * 60 * SAMPLE_RATE_HZ - done])
            done += len(samples)
            if done >= minutes * 60 * SAMPLE_RATE_HZ:
                break
        heard_s = time.perf_counter() - began
        found = listening.finish()
        wall_s = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        factor = wall_s / found.duration_s
        cells = f"{wall_s:.1f} | {wall_s - heard_s:.1f} | {factor:.4f} | {peak:.0f}"
        print(f"| {minutes} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("tune", "score", "hour"))
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--joined", action="store_true", help="join conversations")
    parser.add_argument("--num", type=int, default=15, help="conversations of a manifest")
    parser.add_argument("--seconds", type=float, default=60.0, help="of a conversation")
    args = parser.parse_args()
    if args.what == "tune":
        tune(args.manifests, args.num, args.seconds)
    elif args.what == "hour":
        hour(args.manifests[0])
    elif args.joined:
        score([r for m in args.manifests for r in joined(m, args.num, args.seconds, seed=2)])
    else:
        score([recording for m in args.manifests for recording in labelled(m)])


if __name__ == "__main__":
    main()
