"""What is kept of each frame, and windows joined as if the sound had been heard at once."""

import numpy as np
import pytest
from tests.decoding.test_ctc import log_probs
from tests.fakes import LetterCtc

from mooer.decoding.ctc import greedy
from mooer.decoding.emissions import WINDOW_S, hear, keep, windows
from mooer.errors import DecodeError, ModelError


def blocks(samples, size=100_000):
    return (samples[start : start + size] for start in range(0, len(samples), size))


def test_all_units_are_kept_if_there_are_few():
    rows = log_probs(50, 9, seed=0)
    kept = keep(rows, 3, 0.02)
    assert kept.columns([8, 0, 4]) == pytest.approx(rows[:, [8, 0, 4]], abs=6e-3)
    assert kept.blanks == pytest.approx(rows[:, 3], abs=6e-3)
    assert kept.best == pytest.approx(np.delete(rows, 3, 1).max(1), abs=6e-3)
    assert kept.top == pytest.approx(rows.max(1), abs=6e-3)
    assert [(u.unit, u.start, u.end) for u in kept.greedy()] == [
        (u.unit, u.start, u.end) for u in greedy(rows, 3)
    ]


def test_of_many_units_the_rest_shares_what_is_left():
    rows = log_probs(20, 500, seed=1, sharpness=3.0)
    kept = keep(rows, 0, 0.02, top_k=16)
    found = np.exp(kept.columns(list(range(1, 500))).astype(float)).sum(1) + np.exp(rows[:, 0])
    assert found == pytest.approx(np.ones(20), abs=0.01)
    best = rows[:, 1:].argmax(1) + 1
    assert kept.columns(sorted(set(best.tolist()))).max(1) == pytest.approx(
        rows[:, 1:].max(1), abs=6e-3
    )
    unknown = kept.columns([int(rows[0, 1:].argmin()) + 1])[0, 0]
    assert unknown <= kept.values[0].min()
    assert kept.num_bytes == 20 * (2 + 2 + 16 * 4)


@pytest.mark.parametrize("seconds", [0.5, 29.9, 30.0, 31.0, 100.3])
def test_windows_are_joined_frame_by_frame(seconds):
    model = LetterCtc()
    count = round(seconds / 0.06)
    samples, _ = model.say(["abcdefgh"[i % 8] for i in range(count)])
    found = hear(blocks(samples), model)
    assert len(found) == len(samples) // 320
    assert [u.unit for u in found.greedy()] == [i % 8 + 1 for i in range(count)]
    assert max(model.windows) <= WINDOW_S


def test_frames_that_are_no_whole_number_of_windows():
    shown = list(windows(blocks(np.arange(16_000 * 70, dtype=np.float32)), 0.06))
    at, kept = 0, []
    for samples, start, end in shown:
        frames = samples[: len(samples) // 960 * 960].reshape(-1, 960)[start:end]
        kept += frames[:, 0].tolist()
        at += 1
    assert kept == [960.0 * i for i in range(len(kept))]
    assert len(kept) == 70 * 16_000 // 960
    assert at == 3


def test_nothing_was_heard():
    found = hear([], LetterCtc())
    assert len(found) == 0
    assert found.greedy() == []
    assert found.columns([3, 4]).shape == (0, 2)


def test_what_is_wrong_with_a_model_is_told():
    rows = log_probs(4, 3, seed=0)
    with pytest.raises(ModelError, match="blank 7"):
        keep(rows, 7, 0.02)
    rows[1, 1] = np.nan
    with pytest.raises(DecodeError, match="NaN"):
        keep(rows, 0, 0.02)
    lazy = LetterCtc()
    lazy.log_probs = lambda samples: log_probs(10, 5, seed=0)
    with pytest.raises(ModelError, match=r"10 frames for 30\.0 s"):
        hear(blocks(np.zeros(16_000 * 60, np.float32)), lazy)
