"""Where speech begins and ends, by arithmetic on a fake and by the real model on real speech."""

from itertools import pairwise

import numpy as np
import pytest
from tests.fakes import LoudnessVad, speech

from mooer.audio.vad import FRAME_SAMPLES, SpeechModel, VadOptions, speech_spans
from mooer.errors import ModelError


def spans_of(samples, block=7_777, **options):
    blocks = (samples[i : i + block] for i in range(0, len(samples), block))
    return list(speech_spans(blocks, LoudnessVad(), VadOptions(**options)))


def test_a_span_is_padded_and_in_place():
    [span] = spans_of(speech((2, 0), (3, 0.5), (2, 0)), pad_s=0.25)
    assert abs(span.start_sample / 16_000 - 1.75) < 0.05
    assert abs(span.end_sample / 16_000 - 5.25) < 0.05
    assert span.speech_prob > 0.8


def test_spans_do_not_overlap_and_short_silence_is_kept():
    samples = speech((1, 0.5), (0.1, 0), (1, 0.5), (0.6, 0), (1, 0.5))
    first, second = spans_of(samples, pad_s=0.1)
    assert first.end_sample <= second.start_sample
    assert abs(first.end_sample / 16_000 - 2.2) < 0.1


def test_the_size_of_blocks_does_not_matter():
    samples = speech((0.4, 0), (1.3, 0.5), (0.9, 0), (2.2, 0.5), (0.3, 0))
    whole = spans_of(samples, block=len(samples))
    for block in (100, 512, 5_000):
        parts = spans_of(samples, block=block)
        assert [s.start_sample for s in parts] == [s.start_sample for s in whole]
        for a, b in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(a.samples, b.samples)


def test_clicks_are_no_speech():
    assert spans_of(speech((1, 0), (0.05, 0.5), (1, 0)), min_speech_s=0.1) == []


def test_endless_speech_is_cut_and_nothing_is_lost():
    samples = speech((75, 0.5))
    spans = spans_of(samples)
    assert all(len(s.samples) <= 30 * 16_000 for s in spans)
    assert all(a.end_sample == b.start_sample for a, b in pairwise(spans))
    assert spans[0].start_sample == 0
    assert spans[-1].end_sample >= len(samples)


def test_silence_and_nothing_have_no_spans():
    assert spans_of(np.zeros(50_000, np.float32)) == []
    assert list(speech_spans([], LoudnessVad())) == []


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "vad.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a usable VAD"):
        SpeechModel(path)


@pytest.mark.real
def test_real_speech_between_silences(examples):
    from mooer.audio.wave import read_wave
    from mooer.store import fetch

    model = SpeechModel(next(fetch("silero-vad").glob("*.onnx")))
    said = read_wave(examples / "zh.flac")
    silence = np.zeros(5 * 16_000, np.float32)
    spans = list(speech_spans([np.concatenate([silence, said, silence])], model))
    assert spans
    assert spans[0].start_sample > 4 * 16_000
    assert spans[-1].end_sample < len(said) + 7 * 16_000
    assert sum(len(s.samples) for s in spans) > 0.6 * len(said)
    assert not list(speech_spans([silence], model))
    assert spans[0].start_sample % FRAME_SAMPLES == 0
