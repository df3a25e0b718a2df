"""Whisper searched by ourselves finds what CTranslate2 finds, and lets others have a say."""

import json

import numpy as np
import pytest

from mooer.audio.wave import read_wave
from mooer.engines.whisper import DecodeOptions, Whisper
from mooer.engines.whisper_search import SearchedWhisper, _order_times
from mooer.errors import ModelError
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
    return SearchedWhisper(fetch("whisper-base"), compute_type="float32", num_threads=1)


@pytest.mark.real
@pytest.mark.parametrize(("name", "timestamps"), [("zh", True), ("en", False)])
def test_the_same_text_as_ctranslate2(whisper, examples, name, timestamps):
    encoded = whisper.encode(read_wave(examples / f"{name}.flac")[: 16_000 * 10])
    options = DecodeOptions(timestamps=timestamps)
    [theirs] = Whisper.decode(whisper, [encoded], name, options, 100)
    [ours] = whisper.decode([encoded], name, options, 100)
    assert ours.tokens == theirs.tokens
    assert ours.text == theirs.text
    assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-3)


@pytest.mark.real
def test_others_have_a_say(whisper, examples, monkeypatch):
    encoded = whisper.encode(read_wave(examples / "en.flac")[: 16_000 * 3])
    options = DecodeOptions(beam_size=2)
    [plain] = whisper.decode([encoded], "en", options, 20)
    token = plain.tokens[0]
    monkeypatch.setattr(
        whisper, "adjust", lambda said, row: row.__setitem__(token, row[token] - 1000)
    )
    [other] = whisper.decode([encoded], "en", options, 20)
    assert token not in other.tokens
    monkeypatch.setattr(whisper, "adjust", None)
    monkeypatch.setattr(whisper, "ilm_weight", 5.0)  # far too much: nothing expected is said
    [unexpected] = whisper.decode([encoded], "en", options, 20)
    assert unexpected.tokens != plain.tokens


@pytest.mark.real
def test_what_tokens_write(whisper):
    tokens = whisper.tokens("摩尔 café")
    assert b"".join(whisper.vocabulary[token] for token in tokens) == "摩尔 café".encode()
    assert whisper.vocabulary[whisper.end] == b""


@pytest.mark.real
@pytest.mark.parametrize("config", [None, {}, {"suppress_ids": 1, "suppress_ids_begin": []}])
def test_a_folder_that_does_not_tell_what_is_text(tmp_path, config):
    for path in fetch("whisper-base").iterdir():
        if path.name != "config.json":
            (tmp_path / path.name).symlink_to(path)
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="does not tell which tokens are no text"):
        SearchedWhisper(tmp_path)
