"""Whisper searched by ourselves finds what CTranslate2 finds, and lets others have a say."""

import json

import numpy as np
import pytest

from mooer.audio.wave import read_wave
from mooer.engines.whisper import DecodeOptions, Whisper
from mooer.engines.whisper_search import WhisperSearch, _order_times
from mooer.errors import ConfigError, ModelError
from mooer.store import fetch

FIRST_TIME, END = 10, 5


def scores(**likely):
    row = np.full(20, -5.0, np.float32)
    for name, value in likely.items():
        row[int(name[1:])] = value
    return row


def allowed(said, row):
    _order_times(said, row, FIRST_TIME, END)
    return set(np.flatnonzero(np.isfinite(row)).tolist())


def test_a_text_with_times_begins_with_one():
    assert allowed([], scores()) == set(range(10, 20))


def test_after_the_first_time_comes_text():
    assert allowed([10], scores(_3=9.0)) == set(range(10))


def test_after_text_a_time_may_come_but_none_before_the_last():
    assert allowed([12, 3], scores(_3=9.0)) == {*range(10), *range(13, 20)}


def test_times_that_are_likelier_than_any_text_win():
    assert allowed([12, 3], scores(_14=9.0)) == set(range(13, 20))


def test_a_segment_that_ends_is_followed_by_the_next_or_the_end():
    assert allowed([10, 3, 14], scores(_5=9.0)) == {*range(5, 10), *range(14, 20)}


@pytest.fixture(scope="module")
def whisper():
    return Whisper(fetch("whisper-base"), compute_type="float32", num_threads=1)


@pytest.fixture(scope="module")
def search(whisper):
    return WhisperSearch(whisper)


@pytest.mark.real
@pytest.mark.parametrize(("name", "timestamps"), [("zh", True), ("en", False)])
def test_the_same_text_as_ctranslate2(whisper, search, examples, name, timestamps):
    encoded = whisper.encode(read_wave(examples / f"{name}.flac")[: 16_000 * 10])
    options = DecodeOptions(timestamps=timestamps)
    [theirs] = whisper.decode([encoded], name, options, 100)
    [ours] = search.decode([encoded], name, options, 100)
    assert ours.tokens == theirs.tokens
    assert ours.text == theirs.text
    assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-3)


@pytest.mark.real
@pytest.mark.parametrize(("name", "timestamps"), [("zh", True), ("en", False)])
def test_the_same_texts_have_the_same_probabilities(whisper, search, examples, name, timestamps):
    """So that lists of both searches can be put together."""
    encoded = whisper.encode(read_wave(examples / f"{name}.flac")[: 16_000 * 10])
    options = DecodeOptions(timestamps=timestamps, num_best=5)
    [theirs] = whisper.hypotheses([encoded], name, options, 100)
    [ours] = search.hypotheses([encoded], name, options, 100)
    assert len(ours) == 5
    known = [(one.text, one.logprob) for one in theirs]  # a text more than once: with other times
    both = [one for one in ours if one.text in dict(known)]
    assert len(both) >= 3
    for one in both:
        assert min(abs(one.logprob - p) for text, p in known if text == one.text) < 0.02


@pytest.mark.real
def test_others_have_a_say(whisper, search, examples):
    encoded = whisper.encode(read_wave(examples / "en.flac")[: 16_000 * 3])
    options = DecodeOptions(beam_size=2)
    [plain] = search.decode([encoded], "en", options, 20)
    token = plain.tokens[0]

    def forbid(said, scores):
        scores[token] -= 1000

    [other] = search.decode([encoded], "en", options, 20, adjust=forbid)
    assert token not in other.tokens
    # far too much of it: nothing that is expected is said
    [unexpected] = search.decode([encoded], "en", options, 20, ilm_weight=5.0)
    assert unexpected.tokens != plain.tokens


@pytest.mark.real
def test_what_tokens_write(whisper, search):
    tokens = whisper.tokens("摩尔 café")
    assert b"".join(search.vocabulary[token] for token in tokens) == "摩尔 café".encode()
    assert search.vocabulary[search.end] == b""


@pytest.mark.real
def test_it_does_not_draw(search):
    with pytest.raises(ConfigError, match="does not draw"):
        search.decode([], "en", DecodeOptions(temperature=0.4), 20)


@pytest.mark.real
@pytest.mark.parametrize("config", [None, {}, {"suppress_ids": 1, "suppress_ids_begin": []}])
def test_a_folder_that_does_not_tell_what_is_text(tmp_path, config):
    for path in fetch("whisper-base").iterdir():
        if path.name != "config.json":
            (tmp_path / path.name).symlink_to(path)
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="does not tell which tokens are no text"):
        WhisperSearch(Whisper(tmp_path, num_threads=1))
