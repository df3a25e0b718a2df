"""rich-mini, the heads that come with the package, with their real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.processor import HAS_VNNI

from mooer.audio.wave import read_wave
from mooer.decoding.ctc import steady
from mooer.evaluate.metrics import compare
from mooer.store import catalog, path

EXAMPLES = Path(__file__).parents[2] / "examples"
MAX_BYTES = 12 * 10**6
TEXT = {
    "zh": "大家好，欢迎使用语音识别，今天天气很好，我们一起去公园散步吧。",
    "en": "Good morning, everyone. Thank you for coming. "
    "Today, we will talk about how machines learn to understand human speech.",
}


@pytest.fixture(scope="module")
def rich():
    from mooer.infer.rich import load_rich

    return load_rich()


@pytest.fixture(scope="module")
def reader():
    from mooer.infer.attended import load_reader

    return load_reader()


def test_it_comes_with_the_package_and_is_small():
    entry = catalog()["rich-mini"]
    assert entry.shipped
    assert sum(file.size_bytes for file in entry.files) <= MAX_BYTES
    assert "whisper-base" in entry.needs
    assert (path("rich-mini") / "MODEL_CARD.md").is_file()


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_it_tells_the_language_and_that_somebody_speaks(rich, language):
    labels, events = rich.tell(read_wave(EXAMPLES / f"{language}.flac"))
    assert labels.language.name == language
    assert {event.name for event in events} == {"speech"}


@pytest.mark.real
def test_silence_is_no_event(rich):
    events = rich.tell(np.zeros(48_000, np.float32))[1]
    least_s = 0.0 if HAS_VNNI else 0.2
    assert [event for event in events if event.end_s - event.start_s > least_s] == []


@pytest.mark.real
def test_it_writes_chinese_by_itself(rich):
    log_probs = rich.log_probs(read_wave(EXAMPLES / "zh.flac"))
    units = [one.unit for one in steady(log_probs, rich.blank, rich.change_cost)]
    [counts] = compare("cer", TEXT["zh"], rich.units.text(units), "zh")[:1]
    assert counts.rate < 0.5


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_wrong_text_is_told_from_the_right_one(rich, reader, language):
    from mooer.infer.aligned import Passing, align
    from mooer.infer.attended import attended
    from mooer.infer.placed import share_heard

    samples = read_wave(EXAMPLES / f"{language}.flac")
    right = align(samples, TEXT[language], rich)
    other = TEXT["en" if language == "zh" else "zh"]
    wrong = align(samples, other, rich)
    assert share_heard(right.segments) > 0.5 > share_heard(wrong.segments)
    timed = attended(Passing(samples), right.segments, reader)
    words = [word for segment in timed for word in segment.words]
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert words[-1].end_s <= len(samples) / 16_000


@pytest.mark.real
def test_all_of_it_at_once():
    from mooer import load

    said = load().transcribe(EXAMPLES / "zh.flac", rich=True, gender=True, age=True, words=True)
    assert said.language == "zh"
    for segment in said.segments:
        assert segment.emotion is not None
        assert segment.gender is not None
        assert segment.words
