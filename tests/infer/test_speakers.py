"""Speakers told apart, with tones in the place of voices, and with real weights."""

import tracemalloc

import numpy as np
import pytest

from mooer.audio.wave import read_wave
from mooer.engines.segmentation import FRAME_SAMPLES, MIN_SAMPLES, WINDOW_SAMPLES, num_frames
from mooer.errors import ConfigError
from mooer.infer.speakers import Diarizer, SpeakerOptions, assign_speakers
from mooer.transcript import Segment

RATE_HZ = 16_000
PITCHES_HZ = (200, 400, 800, 1600, 3200)


def tone(speaker, seconds):
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.1 * np.sin(2 * np.pi * PITCHES_HZ[speaker] * time_s)).astype(np.float32)


def silence(seconds):
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def pitches(samples):
    """How strong each tone is in samples [T]."""
    time_s = np.arange(len(samples)) / RATE_HZ
    waves = np.exp(-2j * np.pi * np.outer(PITCHES_HZ, time_s))
    return np.abs(waves @ samples) / max(1, len(samples)) * 20


class Ears:
    """Hears which tones sound; the first in a window is its first speaker."""

    def __init__(self):
        self.windows = []

    def __call__(self, windows):
        found = np.zeros((len(windows), num_frames(windows.shape[1]), 3), np.float32)
        for window, row in zip(windows, found, strict=True):
            self.windows.append(len(window))
            order = []
            for frame in range(len(row)):
                begin = 360 + frame * FRAME_SAMPLES
                for tone in np.flatnonzero(pitches(window[begin : begin + FRAME_SAMPLES]) > 0.5):
                    if tone not in order:
                        order.append(tone)
                    row[frame, order.index(tone)] = 0.9
        return found


class Voices:
    """A tone's voice is its pitch."""

    def __init__(self):
        self.heard = 0

    def __call__(self, sounds):
        self.heard += len(sounds)
        found = np.stack([pitches(sound[:8000]) for sound in sounds]).astype(np.float32) + 1e-3
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def diarizer():
    return Diarizer(Ears(), Voices())


def blocks(samples, size=30_001):
    return (samples[start : start + size] for start in range(0, len(samples), size))


def close(turns, *expected):
    assert [turn.speaker for turn in turns] == [speaker for _, _, speaker in expected]
    for turn, (start_s, end_s, _) in zip(turns, expected, strict=True):
        assert turn.start_s == pytest.approx(start_s, abs=0.05)
        assert turn.end_s == pytest.approx(end_s, abs=0.05)


def test_a_conversation(diarizer):
    talk = [silence(1), tone(2, 3), silence(0.5), tone(0, 4), tone(2, 2.5), silence(1), tone(1, 3)]
    found = diarizer.diarize(blocks(np.concatenate(talk)))
    close(
        found.turns, (1, 4, "S1"), (4.5, 8.5, "S2"), (8.5, 11, "S1"), (12, 15, "S3")
    )  # in the order of speaking
    assert found.num_speakers == 3
    assert found.duration_s == 15
    assert found.warnings == ()


def test_how_it_is_cut_into_blocks_does_not_matter(diarizer):
    talk = np.concatenate([tone(0, 4), tone(1, 5), silence(1), tone(0, 3.3)])
    whole = diarizer.diarize([talk])
    for size in (777, 16_000, 100_000):
        assert diarizer.diarize(blocks(talk, size)) == whole


def test_it_listens_beside_a_recogniser(diarizer):
    talk = np.concatenate([tone(0, 4), tone(1, 5)])
    listening = diarizer.listen()
    passed = list(listening.overhear(blocks(talk)))
    np.testing.assert_array_equal(np.concatenate(passed), talk)
    assert listening.finish() == diarizer.diarize([talk])


def test_two_at_once(diarizer):
    both = tone(0, 2) + tone(1, 2)
    found = diarizer.diarize([np.concatenate([tone(0, 3), both, tone(1, 3)])])
    close(found.turns, (0, 5, "S1"), (3, 8, "S2"))


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.25, 1.0, 4.99, 5.0, 5.01, 7.4])
def test_clips_of_any_length(diarizer, seconds):
    found = diarizer.diarize([tone(1, seconds)])
    assert found.duration_s == pytest.approx(seconds, abs=1e-3)
    if seconds >= 0.25:
        (turn,) = found.turns
        assert turn.speaker == "S1"
        assert turn.end_s - turn.start_s > seconds - 0.1
    assert all(MIN_SAMPLES <= size <= WINDOW_SAMPLES for size in diarizer.segmenter.windows)


def test_nobody(diarizer):
    for sound in (silence(0), silence(0.2), silence(12)):
        found = diarizer.diarize([sound])
        assert found.turns == ()
        assert found.num_speakers == 0
    assert diarizer.diarize([]).duration_s == 0
    found = diarizer.diarize([silence(6)], 2)
    assert found.warnings == ("2 speakers were asked for, but only 0 voices could be told apart",)


def test_a_number_of_speakers_is_obeyed(diarizer):
    talk = np.concatenate([tone(0, 4), tone(1, 4), tone(2, 2)])
    assert diarizer.diarize([talk], 2).num_speakers == 2
    assert diarizer.diarize([talk], 1).num_speakers == 1
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        diarizer.diarize([talk], 0)


def test_more_speakers_than_there_are(diarizer):
    talk = np.concatenate([tone(0, 6), tone(1, 6), tone(0, 6)])
    found = diarizer.diarize([talk], 5)
    assert found.num_speakers == 2
    assert found.warnings == ("5 speakers were asked for, but only 2 voices could be told apart",)


def test_who_says_one_word_is_told_apart_if_he_is_asked_for(diarizer):
    talk = np.concatenate([tone(0, 6), tone(3, 0.9), tone(0, 6)])
    assert diarizer.diarize([talk]).num_speakers == 1
    found = diarizer.diarize([talk], 2)
    close(found.turns, (0, 6, "S1"), (6, 6.9, "S2"), (6.9, 12.9, "S1"))


def test_one_word_is_nobody_of_his_own(diarizer):
    talk = np.concatenate([tone(0, 6), tone(3, 0.3), tone(0, 6)])
    assert diarizer.diarize([talk]).num_speakers == 1


def test_a_recording_can_be_finished_again(diarizer):
    listening = diarizer.listen()
    listening.push(np.concatenate([tone(0, 5), tone(1, 5)]))
    assert listening.finish(1).num_speakers == 1
    heard = diarizer.encoder.heard
    assert listening.finish().num_speakers == 2
    assert diarizer.encoder.heard == heard


def test_an_hour_takes_no_more_memory_than_its_windows():
    class Quick(Ears):
        def __call__(self, windows):
            found = np.zeros((len(windows), num_frames(windows.shape[1]), 3), np.float32)
            found[:, :, 0] = 0.9
            return found

    class Same:
        def __call__(self, sounds):
            return np.ones((len(sounds), 256), np.float32) / 16

    listening = Diarizer(Quick(), Same()).listen()
    block, held = tone(0, 16), []
    tracemalloc.start()
    try:
        for _ in range(3):
            for _ in range(40):  # as many windows as fill whole batches, but for a few
                listening.push(block)
            held.append(tracemalloc.get_traced_memory()[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(held) - min(held) < 12e6  # at most a batch of windows, and what is kept
    assert len(listening._windows) > 700
    kept = sum(window.activity.nbytes for window in listening._windows)
    assert kept < 1000 * len(listening._windows)  # an hour has 1440
    assert peak < 40e6
    assert listening.finish().num_speakers == 1


@pytest.mark.parametrize(
    "options",
    [{"threshold": 1.0}, {"distance": 0.1, "same_distance": 0.2}, {"hop_frames": 0},
     {"hop_frames": 297}],
)  # fmt: skip
def test_options_that_cannot_be(options):
    with pytest.raises(ConfigError):
        SpeakerOptions(**options)


def test_segments_are_told_their_speakers(diarizer):
    talk = np.concatenate([tone(0, 4), tone(1, 4)])
    segments = [Segment(0, 3.9, "Hello.", "en"), Segment(4.1, 8, "Hello!", "en")]
    found = assign_speakers(talk, segments, diarizer=diarizer)
    assert [segment.speaker for segment in found] == ["S1", "S2"]
    assert [segment.text for segment in found] == ["Hello.", "Hello!"]


@pytest.fixture(scope="module")
def real():
    from mooer.infer.speakers import load_diarizer

    return load_diarizer()


@pytest.mark.real
def test_two_people(real, examples):
    first, second = (read_wave(str(examples / f"{name}.flac")) for name in ("zh", "en"))
    found = real.diarize(blocks(np.concatenate([first, second, first])))
    assert found.num_speakers == 2
    middle = len(first) / RATE_HZ, (len(first) + len(second)) / RATE_HZ
    for turn in found.turns:
        between = middle[0] <= (turn.start_s + turn.end_s) / 2 <= middle[1]
        assert turn.speaker == ("S2" if between else "S1")
    asked = real.diarize([np.concatenate([first, second])], 5)
    assert asked.num_speakers < 5
    assert "5 speakers were asked for" in asked.warnings[0]


@pytest.mark.real
def test_one_person(real, examples):
    for name in ("zh", "en"):
        whole = read_wave(str(examples / f"{name}.flac"))
        assert real.diarize(blocks(whole)).num_speakers == 1
        assert real.diarize([whole[8000:12_000]]).num_speakers <= 1  # a quarter of a second
