"""Scenarios made from recordings: where speech in them truly ends, pauses put in, levels set.

    clips = clips_of(read_jsonl("data/timit_sample.jsonl"), "en")
    scenarios = stage(Sounds(clips, requests, back_channels, others, noises), "en", num=10)

Real speech is taken as it is. What no recording holds (requests for a long answer, "mm-hm") is
spoken by a `Speaker`, by several voices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import soxr

from mooer.agent.duplex import RATE_HZ
from mooer.agent.events import Samples
from mooer.agent.scenarios import KINDS, Cue, Kind, Scenario
from mooer.audio.augment import change_gain, coloured_noise, decaying_response, reverberate
from mooer.audio.wave import read_wave
from mooer.data.manifest import Item
from mooer.errors import ConfigError
from mooer.speak.base import Speaker, Voice

REQUESTS = {
    "en": (
        "Please tell me a long story about a little dog.",
        "Can you explain to me how a bicycle works?",
        "What should I see when I visit Beijing for a week?",
        "Describe the four seasons for me, one after the other.",
    ),
    "zh": (
        "请给我讲一个关于小狗的长故事。",
        "你能给我解释一下自行车是怎么工作的吗?",
        "我去北京玩一个星期,应该看些什么?",
        "请给我一个一个地介绍一下四个季节。",
    ),
}
BACK_CHANNELS = {
    "en": ("Uh-huh.", "Yeah.", "Right.", "Okay.", "I see.", "Sure."),
    "zh": ("嗯。", "嗯嗯。", "对。", "好的。", "是的。", "哦。"),
}
_FRAME = 160  # 10 ms
_BACK_CHANNEL_DB, _SIDE_TALK_DB, _NOISE_DB = -6.0, -15.0, -10.0  # beside the user's speech
_ROOM_S, _ROOM_DIRECT_DB = 0.5, 0.0  # of somebody farther away
_FADE = 80  # samples, where a pause is put in


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording of one sentence, or of a sound."""

    name: str
    samples: Samples  # [T] at 16 kHz
    language: str = ""
    text: str = ""
    start_s: float = 0.0  # of the speech in it
    end_s: float = 0.0
    gaps: tuple[tuple[float, float], ...] = ()  # between words, if their times are known


@dataclass(frozen=True, eq=False)
class Sounds:
    """What the scenarios of a language are made from."""

    sentences: Sequence[Clip]  # each whole, to be answered
    requests: Sequence[Clip]  # to be answered at length
    back_channels: Sequence[Clip] = ()
    others: Sequence[Clip] = ()  # speech of somebody else
    noises: Sequence[Clip] = ()


# --- recordings -----------------------------------------------------------------------------------


def clips_of(
    items: Iterable[Item], language: str, *, min_s: float = 1.0, max_s: float = 6.0
) -> Iterator[Clip]:
    """Recordings of a manifest that are speech of a language, of such a length.

    Where the manifest has `words` with times they say when speech begins and ends; else its level
    does.
    """
    for item in items:
        row = item.fields
        spoken_s = float(row.get("duration") or 0.0)
        if row.get("language") != language or not row.get("text") or not min_s <= spoken_s <= max_s:
            continue
        samples = read_wave(item.path)
        words = row.get("words") or ()
        start_s, end_s = (words[0][1], words[-1][2]) if words else speech_bounds(samples)
        gaps = tuple((a[2], b[1]) for a, b in pairwise(words))
        yield Clip(item.id, samples, language, str(row["text"]), start_s, end_s, gaps)


def noises_of(items: Iterable[Item]) -> Iterator[Clip]:
    """Recordings of a manifest that are labelled as a sound and hold no text."""
    for item in items:
        if item.fields.get("event") and not item.fields.get("text"):
            samples = read_wave(item.path)
            yield Clip(item.id, samples, end_s=len(samples) / RATE_HZ)


def speech_bounds(samples: Samples) -> tuple[float, float]:
    """Seconds at which what is loud in a recording of one sentence begins and ends.

    Loud is a frame of 10 ms less than 30 dB under the loudest and, where there is noise, well above
    the quietest; three such frames of five, so that a click is none.
    """
    num = len(samples) // _FRAME
    if num < 5:
        return 0.0, len(samples) / RATE_HZ
    frames = samples[: num * _FRAME].reshape(num, _FRAME).astype(np.float64)
    level_db = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    top, bottom = np.percentile(level_db, 97), np.percentile(level_db, 3)
    loud = level_db > max(top - 30.0, bottom + 0.25 * (top - bottom))
    steady = np.convolve(loud, np.ones(5), "same") >= 3
    found = np.flatnonzero(loud & steady)
    if not len(found):
        return 0.0, len(samples) / RATE_HZ
    return float(found[0] * _FRAME / RATE_HZ), float((found[-1] + 1) * _FRAME / RATE_HZ)


def spoken(
    speaker: Speaker, texts: Iterable[str], language: str, voices: Sequence[str]
) -> Iterator[Clip]:
    """Texts as a speaker says them, by its voices in turn; of none if it has none."""
    for place, text in enumerate(texts):
        voice = Voice.parse(voices[place % len(voices)])
        samples = speaker.speak(text, language, voice)
        heard = soxr.resample(samples, speaker.rate_hz, RATE_HZ).astype(np.float32)
        start_s, end_s = speech_bounds(heard)
        yield Clip(f"{language}-{place}", heard, language, text, start_s, end_s)


def with_pause(clip: Clip, pause_s: float) -> tuple[Clip, tuple[float, float]]:
    """The clip with a silence inside it, and from when to when that lasts.

    It is put at the longest gap between words in the middle of the speech, or, where no times are
    known, at its quietest place.
    """
    span = clip.end_s - clip.start_s
    low, high = clip.start_s + 0.3 * span, clip.start_s + 0.75 * span
    gaps = [gap for gap in clip.gaps if low <= gap[0] <= high]
    if gaps:
        begin, end = max(gaps, key=lambda gap: gap[1] - gap[0])
        cut = round((begin + end) / 2 * RATE_HZ)
    else:
        cut = _quietest(clip.samples, round(low * RATE_HZ), round(high * RATE_HZ))
        begin = end = cut / RATE_HZ
    silence = np.zeros(round(pause_s * RATE_HZ), np.float32)
    before, after = clip.samples[:cut].copy(), clip.samples[cut:].copy()
    fade = min(_FADE, len(before), len(after))
    if fade:
        ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        before[-fade:] *= ramp[::-1]
        after[:fade] *= ramp
    joined = np.concatenate([before, silence, after])
    longer = replace(clip, samples=joined, end_s=clip.end_s + pause_s, gaps=())
    return longer, (begin, end + pause_s)


def _quietest(samples: Samples, low: int, high: int) -> int:
    """The middle of the quietest 60 ms between two samples."""
    width = 6 * _FRAME
    power = np.convolve(samples[low:high].astype(np.float64) ** 2, np.ones(width), "valid")
    return low + (int(np.argmin(power)) + width // 2 if len(power) else (high - low) // 2)


# --- scenarios ------------------------------------------------------------------------------------


def stage(
    sounds: Sounds, language: str, *, num: int, kinds: Sequence[Kind] = KINDS, seed: int = 0
) -> Iterator[Scenario]:
    """`num` scenarios of each kind; ConfigError names the sounds that one lacks."""
    rng = np.random.default_rng(seed)
    for kind in kinds:
        for place in range(num):
            cues = _MAKERS[kind](sounds, place, rng)
            yield Scenario(f"{language}-{kind}-{place}", kind, language, cues)


def _turn_taking(sounds: Sounds, place: int, rng: np.random.Generator) -> tuple[Cue, ...]:
    return (_cue("turn", _pick(sounds.sentences, place, "sentences"), rng.uniform(0.3, 1.0)),)


def _pause(sounds: Sounds, place: int, rng: np.random.Generator) -> tuple[Cue, ...]:
    clip, pause = with_pause(_pick(sounds.sentences, place, "sentences"), rng.uniform(0.6, 1.2))
    return (replace(_cue("turn", clip, rng.uniform(0.3, 1.0)), pause=pause),)


def _back_channel(sounds: Sounds, place: int, rng: np.random.Generator) -> tuple[Cue, ...]:
    said = _levelled(_pick(sounds.back_channels, place, "back-channels"), _BACK_CHANNEL_DB)
    return _over(sounds, place, "back_channel", said, rng)


def _interruption(sounds: Sounds, place: int, rng: np.random.Generator) -> tuple[Cue, ...]:
    said = _pick(sounds.sentences, place + 1, "sentences")
    return _over(sounds, place, "interruption", said, rng)


def _side_talk(sounds: Sounds, place: int, rng: np.random.Generator) -> tuple[Cue, ...]:
    said = _levelled(_pick(sounds.others, place, "speech of others"), _SIDE_TALK_DB)
    far = reverberate(said.samples, decaying_response(_ROOM_S, _ROOM_DIRECT_DB, rng))
    return _over(sounds, place, "side_talk", replace(said, samples=far), rng)


def _noise(sounds: Sounds, place: int, rng: np.random.Generator) -> tuple[Cue, ...]:
    return _over(sounds, place, "noise", _noise_clip(sounds, place, rng), rng)


def _idle_noise(sounds: Sounds, place: int, rng: np.random.Generator) -> tuple[Cue, ...]:
    return (_cue("idle_noise", _noise_clip(sounds, place, rng), 1.0),)


_MAKERS: dict[Kind, Callable[[Sounds, int, np.random.Generator], tuple[Cue, ...]]] = {
    "turn_taking": _turn_taking,
    "pause": _pause,
    "back_channel": _back_channel,
    "interruption": _interruption,
    "side_talk": _side_talk,
    "noise": _noise,
    "idle_noise": _idle_noise,
}


def _over(
    sounds: Sounds, place: int, role: str, clip: Clip, rng: np.random.Generator
) -> tuple[Cue, ...]:
    """A request, and what is heard while it is answered."""
    asked = _cue("turn", _pick(sounds.requests, place, "requests"), 0.5)
    return asked, replace(_cue(role, clip, rng.uniform(1.0, 2.5)), after="answer")


def _noise_clip(sounds: Sounds, place: int, rng: np.random.Generator) -> Clip:
    """A recorded noise; without any, a burst of pink noise."""
    if sounds.noises:
        return _levelled(sounds.noises[place % len(sounds.noises)], _NOISE_DB)
    samples = coloured_noise(2 * RATE_HZ, 1.0, rng)
    return _levelled(Clip("pink", samples, end_s=2.0), _NOISE_DB)


def _levelled(clip: Clip, gain_db: float) -> Clip:
    """So many dB beside speech of -25 dB under full scale."""
    rms = float(np.sqrt(np.mean(clip.samples.astype(np.float64) ** 2))) or 1.0
    return replace(clip, samples=change_gain(clip.samples, gain_db - 25.0 - 20 * np.log10(rms)))


def _cue(role: str, clip: Clip, delay_s: float) -> Cue:
    return Cue(
        role,
        clip.samples,
        round(float(delay_s), 3),
        text=clip.text,
        start_s=clip.start_s,
        end_s=clip.end_s,
    )


def _pick(clips: Sequence[Clip], place: int, what: str) -> Clip:
    if not clips:
        raise ConfigError(
            f"there are no {what} to make scenarios from: name a folder that has them by --speech, "
            "or leave this kind out by --kinds"
        )
    return clips[place % len(clips)]
