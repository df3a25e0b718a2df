"""Forced alignment against every path there is, against a plain reference, and over hours."""

import math
import tracemalloc

import numpy as np
import pytest
from tests.decoding.test_ctc import log_probs
from tests.fakes import LetterCtc

from mooer.decoding.alignment import (
    AlignOptions,
    align_words,
    best_path,
    mean_score,
    min_frames,
    pieces,
)
from mooer.decoding.emissions import LEAST, Emissions, hear, join, keep
from mooer.errors import ConfigError

PLAIN = AlignOptions(star_cost=math.inf)  # nothing but the text, as torchaudio's forced_align


def path_score(rows, columns, path):
    return sum(rows[frame, columns[state]] for frame, state in enumerate(path))


def every_path(num_frames, columns):
    """All ways through the states, by the rules of CTC."""
    num = len(columns)

    def steps(state):
        yield from (state, state + 1)
        if state % 2 and state + 2 < num and columns[state] != columns[state + 2]:
            yield state + 2

    paths = [(0,), (1,)]
    for _ in range(num_frames - 1):
        paths = [(*p, s) for p in paths for s in steps(p[-1]) if s < num]
    return [p for p in paths if p[-1] >= num - 2]


@pytest.mark.parametrize("units", [[1], [1, 2], [2, 2], [1, 3, 1], [3, 3, 3], [1, 1, 2, 2]])
@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_the_best_of_all(units, seed):
    rows = log_probs(8, 4, seed)
    columns = np.zeros(2 * len(units) + 1, int)
    columns[1::2] = units
    found = best_path(rows, len(rows), columns)
    wanted = max(path_score(rows, columns, p) for p in every_path(8, columns))
    assert found is not None
    assert tuple(found) in every_path(8, columns)
    assert path_score(rows, columns, found) == pytest.approx(wanted, abs=1e-4)


def reference(rows, units, blank):
    """Forced alignment cell by cell, as its definition reads: (unit, start, end) of each."""
    states = [blank]
    for unit in units:
        states += [unit, blank]
    best = np.full((len(rows), len(states)), -np.inf)
    came = np.zeros(best.shape, int)
    best[0, 0], best[0, 1] = rows[0, blank], rows[0, units[0]]
    for frame in range(1, len(rows)):
        for state, unit in enumerate(states):
            options = [(best[frame - 1, state], 0)]
            if state:
                options.append((best[frame - 1, state - 1], 1))
            if state > 1 and unit not in (blank, states[state - 2]):
                options.append((best[frame - 1, state - 2], 2))
            score, came[frame, state] = max(options, key=lambda pair: pair[0])
            best[frame, state] = score + rows[frame, unit]
    state = len(states) - 1 if best[-1, -1] >= best[-1, -2] else len(states) - 2
    path = []
    for frame in range(len(rows) - 1, -1, -1):
        path.append(state)
        state -= came[frame, state]
    path = path[::-1]
    frames = [[f for f, s in enumerate(path) if s == 2 * i + 1] for i in range(len(units))]
    return [(unit, f[0], f[-1] + 1) for unit, f in zip(units, frames, strict=True)]


@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("seed", range(4))
def test_units_are_where_the_plain_definition_has_them(blank, seed):
    rows = log_probs(60, 9, seed)
    letters = [u for u in range(9) if u != blank]
    units = np.random.default_rng(seed).choice(letters, 20).tolist()
    wanted = reference(rows, units, blank)
    found = align_words(keep(rows, blank, 0.02), [[unit] for unit in units], PLAIN)
    assert [(word.start, word.end) for word in found] == [(a, b) for _, a, b in wanted]
    for (unit, start, end), word in zip(wanted, found, strict=True):
        assert word.logprob == pytest.approx(rows[start:end, unit].max(), abs=6e-3)
        behind = (rows[start:end, unit] - rows[start:end].max(1)).max()
        assert word.score == pytest.approx(behind, abs=1.2e-2)


def test_words_have_the_frames_of_their_units():
    rows = log_probs(60, 9, seed=7)
    units = [3, 1, 4, 1, 5, 6]
    single = align_words(keep(rows, 0, 0.02), [[u] for u in units], PLAIN)
    words = align_words(keep(rows, 0, 0.02), [units[:2], units[2:5], units[5:]], PLAIN)
    assert [(w.start, w.end) for w in words] == [
        (single[a].start, single[b - 1].end) for a, b in ((0, 2), (2, 5), (5, 6))
    ]
    assert words[1].logprob == pytest.approx(np.mean([one.logprob for one in single[2:5]]))


# --- text that is not the sound's ---------------------------------------------------------------


def place(model, said, text, **options):
    """Times of the words of a text, in a sound of other words; and what was really said when."""
    samples, times = model.say(said)
    units = [model.spell(word) for word in text]
    emissions = hear([samples], model)
    found = align_words(emissions, units, AlignOptions(**options))
    return found, [(w, round(a / 0.02), round(b / 0.02)) for w, a, b in times]


def test_speech_that_the_text_lacks_pushes_no_word_out_of_place():
    said = ["so", "there", "you", "see", "a", "big", "dog", "now"]
    text = ["so", "you", "now"]
    found, times = place(LetterCtc(), said, text)
    wanted = [(a, b) for word, a, b in times if word in text]
    assert [(w.start, w.end) for w in found] == wanted
    assert all(w.score == pytest.approx(0, abs=0.01) for w in found)


def test_a_word_without_a_spelling_is_whatever_is_said_between_its_neighbours():
    said = ["so", 0.3, "привет".translate(str.maketrans("привет", "qrstuv")), 0.3, "now"]
    found, times = place(LetterCtc(), said, ["so", "привет", "now"])
    assert [w.is_spelled for w in found] == [True, False, True]
    assert [(w.start, w.end) for w in found] == [(a, b) for _, a, b in times]
    assert mean_score(found) == pytest.approx(0, abs=0.01)


def test_the_score_reveals_a_word_that_is_not_said():
    said = ["take", "the", "red", "book"]
    found, _ = place(LetterCtc(), said, ["take", "the", "blue", "book"])
    assert [w.score > -0.1 for w in found] == [True, True, False, True]
    assert found[2].score < -2
    wrong, _ = place(LetterCtc(), said, ["fish", "my", "jump"])
    assert mean_score(wrong) < -2


def test_a_blank_that_costs_lengthens_units():
    samples, _ = (model := LetterCtc(sure=0.6)).say(["abc"], unit_frames=4, rests=2)
    rows = model.log_probs(samples)
    rows[:, 1:4] = np.maximum(rows[:, 1:4], np.log(0.2))
    lengths = [
        sum(
            u.end - u.start
            for u in align_words(keep(rows, 0, 0.02), [[1, 2, 3]], AlignOptions(blank_cost=cost))[
                0
            ].units
        )
        for cost in (0.0, 2.0)
    ]
    assert lengths[0] == 6
    assert lengths[1] == 12


def test_more_text_than_sound_is_squeezed_and_told():
    rows = log_probs(5, 9, seed=0)
    assert min_frames([[1, 1], [1], []]) == 6
    found = align_words(keep(rows, 0, 0.02), [[1, 1], [1], []])
    assert [w.is_placed for w in found] == [False] * 3
    assert (found[0].start, found[-1].end) == (0, 5)
    assert mean_score(found) == LEAST


def test_no_words_and_no_sound():
    assert align_words(keep(log_probs(5, 4, seed=0), 0, 0.02), []) == []
    [word] = align_words(hear([], LetterCtc()), [[1]])
    assert not word.is_placed
    assert mean_score([]) is None
    with pytest.raises(ConfigError, match="star_cost"):
        AlignOptions(star_cost=-1.0)


# --- hours ----------------------------------------------------------------------------------------


def recording(num_words, seed=0, sure=0.97):
    """Emissions of random words of three letters, 3 frames each, and the frames of the words."""
    generator = np.random.default_rng(seed)
    words = generator.integers(1, 30, (num_words, 3))
    frames = np.zeros((num_words * 3, 4), np.int64)
    frames[:, 1] = frames[:, 2] = words.ravel()
    path = frames.ravel()
    rows = np.full((len(path), 31), math.log((1 - sure) / 30), np.float32)
    rows[np.arange(len(path)), path] = math.log(sure)
    starts = np.arange(num_words) * 12 + 1
    return keep(rows, 0, 0.02, top_k=4), words.tolist(), list(zip(starts, starts + 10, strict=True))


def test_a_long_recording_is_cut_and_nothing_is_lost():
    emissions, words, wanted = recording(600)
    assert len(pieces(emissions, words)) > 6
    found = align_words(emissions, words)
    assert [(w.start, w.end) for w in found] == wanted


def test_minutes_of_other_sound_and_minutes_of_other_text():
    one, words, wanted = recording(400, seed=1)
    noise = keep(np.tile(np.log([0.98, *[0.02 / 30] * 30]), (4000, 1)).astype(np.float32), 0, 0.02)
    noise = Emissions(0.02, noise.blanks, noise.units[:, :4], noise.values[:, :4], noise.others)
    emissions = join([one.cut(0, 2400), noise, one.cut(2400, 4800)], 0.02)
    found = align_words(emissions, words)
    moved = [(a + 4000, b + 4000) if a >= 2400 else (a, b) for a, b in wanted]
    assert [(w.start, w.end) for w in found] == moved
    _, others, _ = recording(100, seed=2)
    found = align_words(one, [*words[:200], *others, *words[200:]])
    assert [(w.start, w.end) for w in found[:198]] == wanted[:198]
    assert [(w.start, w.end) for w in found[302:]] == wanted[202:]
    assert mean_score(found[200:300]) < -10
    assert mean_score(found[:198]) > -0.1
    # At the beginning and at the end.
    found = align_words(one, [*others, *words, *others])
    assert [(w.start, w.end) for w in found[102:498]] == wanted[2:398]


def test_a_band_finds_what_the_whole_finds():
    emissions, words, wanted = recording(80)
    found = align_words(emissions, words, AlignOptions(max_cells=960 * 100))
    assert [(w.start, w.end) for w in found] == wanted


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording():
    peaks = []
    for num_words in (1_000, 8_000):  # 4 and 32 minutes
        emissions, words, wanted = recording(num_words)
        tracemalloc.start()
        found = align_words(emissions, words)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
        assert [(w.start, w.end) for w in found] == wanted
    # What grows are the words themselves: under 1 kB each.
    assert peaks[1] - peaks[0] < 7_000 / 2**10 * 1.2, peaks
