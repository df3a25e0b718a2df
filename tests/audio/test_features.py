"""Features against other implementations' numbers and against their own definitions."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tests.audio.sounds import tone

from mooer.audio import features
from mooer.audio.features import (
    KALDI,
    PARAFORMER,
    WHISPER,
    Cmvn,
    apply_cmvn,
    kaldi_fbank,
    load_cmvn,
    log_mel,
    mel_filters,
    paraformer_features,
    stack_frames,
)
from mooer.errors import AudioError, ModelError

ROOT = Path(__file__).parents[2]


def load_tool():
    spec = importlib.util.spec_from_file_location("golden", ROOT / "tools" / "golden_features.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


TOOL = load_tool()
SOUNDS = TOOL.sounds()


@pytest.fixture(scope="module")
def golden():
    with np.load(ROOT / "tests" / "golden" / "features.npz") as file:
        return dict(file)


def plain_log_mel(samples, num_mels):
    """OpenAI's definition in float64, frame by frame."""
    padded = np.pad(samples.astype(np.float64), 200, mode="reflect")
    window = np.hanning(401)[:-1]
    columns = [
        np.abs(np.fft.rfft(padded[160 * i : 160 * i + 400] * window)) ** 2
        for i in range(len(samples) // 160)
    ]
    mels = mel_filters(num_mels).astype(np.float64) @ np.array(columns).T
    logs = np.log10(np.maximum(mels, 1e-10))
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


# ---------------------------------------------------------------- Whisper


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("num_mels", [80, 128])
def test_log_mel_is_faster_whispers(golden, name, num_mels):
    mels = log_mel(SOUNDS[name], num_mels)
    assert mels.dtype == np.float32
    assert mels.flags.c_contiguous
    np.testing.assert_allclose(mels[:, ::5], golden[f"whisper_{num_mels}_{name}"], atol=5e-5)


@pytest.mark.parametrize("name", SOUNDS)
@pytest.mark.parametrize("num_mels", [40, 80, 128])
def test_log_mel_is_its_definition(name, num_mels):
    expected = plain_log_mel(SOUNDS[name], num_mels)
    np.testing.assert_allclose(log_mel(SOUNDS[name], num_mels), expected, atol=5e-5)


@pytest.mark.parametrize("num_samples", [0, 1, 159, 160, 161, 319, 400, 80_000, 80_161, 80_319])
def test_log_mel_of_any_length(num_samples):
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, num_samples).astype(np.float32)
    mels = log_mel(sound)
    assert mels.shape == (80, num_samples // 160)
    if num_samples >= 160:
        np.testing.assert_allclose(mels, plain_log_mel(sound, 80), atol=1e-5)


@pytest.mark.parametrize("num_samples", [0, 1, 100, 16_000, 16_001, 479_900, 480_000, 500_000])
def test_padding_is_padding_with_silence(num_samples):
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, num_samples).astype(np.float32)
    padded = np.concatenate([sound, np.zeros(max(0, 480_000 - num_samples), np.float32)])
    mels = log_mel(sound, pad_to_s=30)
    assert mels.shape == (80, max(3_000, num_samples // 160))
    np.testing.assert_allclose(mels, log_mel(padded), atol=1e-5)


def test_log_mel_of_a_far_louder_past_keeps_eight_decades():
    loud = np.concatenate([tone(1.0, 16_000, level=1.0), tone(1.0, 16_000, level=1e-6)])
    mels = log_mel(loud.astype(np.float32))
    assert mels.max() - mels.min() == pytest.approx(2.0, abs=1e-5)
    np.testing.assert_allclose(mels, plain_log_mel(loud.astype(np.float32), 80), atol=1e-4)


def test_a_tone_lands_in_its_mel():
    mels = log_mel(tone(1.0, 16_000, hz=1_000).astype(np.float32))
    centre = mel_filters(80)[:, 25].argmax()  # bin 25 is 1000 Hz
    assert set(mels[:, 10:90].argmax(axis=0)) == {centre}


def test_log_mel_wants_mono():
    with pytest.raises(AudioError, match="mono"):
        log_mel(np.zeros((2, 16_000), np.float32))


def test_filters_have_equal_area():
    filters = mel_filters(80).astype(np.float64)
    assert filters.shape == (80, 201)
    assert (filters >= 0).all()
    wide = filters[50:].sum(axis=1) * 40  # 40 Hz a bin; the low ones are too narrow to sample
    np.testing.assert_allclose(wide, 1, atol=0.05)


# ---------------------------------------------------------------- Kaldi, LFR, CMVN


@pytest.mark.parametrize("name", SOUNDS)
def test_fbank_is_kaldis_formula(golden, name):
    frames = kaldi_fbank(SOUNDS[name])
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames[::5], golden[f"fbank_{name}"], atol=0.02)
    povey = kaldi_fbank(SOUNDS[name], 40, window="povey")
    np.testing.assert_allclose(povey[::5], golden[f"povey_{name}"], atol=0.02)


@pytest.mark.parametrize("num_samples", [0, 1, 399, 400, 559, 560, 16_000])
def test_fbank_of_any_length(num_samples):
    frames = kaldi_fbank(np.zeros(num_samples, np.float32))
    assert frames.shape == (max(0, 1 + (num_samples - 400) // 160), 80)


def test_fbank_is_the_same_every_time():
    np.testing.assert_array_equal(kaldi_fbank(SOUNDS["noise"]), kaldi_fbank(SOUNDS["noise"]))


def test_fbank_scales_to_16_bit():
    quiet = kaldi_fbank(SOUNDS["noise"], scale_16_bit=False)[20:]
    scaled = kaldi_fbank(SOUNDS["noise"])[20:]
    np.testing.assert_allclose(scaled - quiet, 2 * np.log(32768), atol=1e-3)


def test_fbank_wants_mono():
    with pytest.raises(AudioError, match="mono"):
        kaldi_fbank(np.zeros((2, 16_000), np.float32))


@pytest.mark.parametrize("name", SOUNDS)
def test_paraformers_features_end_to_end(golden, name):
    random = np.random.default_rng(3)
    cmvn = Cmvn(random.normal(size=560).astype("f"), random.uniform(0.1, 1, 560).astype("f"))
    expected = (golden[f"lfr_{name}"] + cmvn.shift) * cmvn.scale
    np.testing.assert_allclose(paraformer_features(SOUNDS[name], cmvn)[::5], expected, atol=0.02)


@pytest.mark.parametrize("num_frames", range(1, 30))
@pytest.mark.parametrize(("stack", "stride"), [(7, 6), (1, 1), (5, 1), (4, 3)])
def test_stacking_is_a_plain_loop(num_frames, stack, stride):
    frames = np.random.default_rng(0).normal(size=(num_frames, 3)).astype(np.float32)
    stacked = stack_frames(frames, stack, stride)
    np.testing.assert_array_equal(stacked, TOOL.plain_lfr(frames, stack, stride))
    assert stacked.dtype == np.float32


def test_stacking_nothing_gives_nothing():
    assert stack_frames(np.zeros((0, 80), np.float32)).shape == (0, 560)


AM_MVN = """<Nnet>
<Splice> 3 3
[ 0 ]
<AddShift> 3 3
<LearnRateCoef> 0 [ -8.3 -8.6 1e1 ]
<Rescale> 3 3
<LearnRateCoef> 0 [ 0.155 0.154 2 ]
</Nnet>
"""


def test_cmvn_reads_kaldis_text(tmp_path):
    path = tmp_path / "am.mvn"
    path.write_text(AM_MVN)
    cmvn = load_cmvn(path)
    np.testing.assert_allclose(cmvn.shift, [-8.3, -8.6, 10])
    np.testing.assert_allclose(cmvn.scale, [0.155, 0.154, 2])
    normal = apply_cmvn(np.ones((4, 3), np.float32), cmvn)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal, [[-7.3 * 0.155, -7.6 * 0.154, 22]] * 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "<AddShift>"),
        (AM_MVN.replace("<Rescale>", "<Scale>"), "<Rescale>"),
        (AM_MVN.replace("-8.6", "eight"), "<AddShift>"),
        (AM_MVN.replace("-8.6 ", ""), "2 shifts but 3 scales"),
        (AM_MVN.replace("]", ""), "<AddShift>"),
        ("\0\1\2", "<AddShift>"),
    ],
)
def test_a_damaged_cmvn_says_so(tmp_path, text, words):
    path = tmp_path / "am.mvn"
    path.write_text(text)
    with pytest.raises(ModelError, match=words):
        load_cmvn(path)


def test_a_cmvn_that_is_not_there_or_does_not_fit(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load_cmvn(tmp_path / "none")
    cmvn = Cmvn(np.zeros(560, np.float32), np.ones(560, np.float32))
    with pytest.raises(ModelError, match="width 80 do not fit a CMVN of width 560"):
        apply_cmvn(np.zeros((4, 80), np.float32), cmvn)


def test_every_feature_declares_its_pace():
    assert (WHISPER.frame_s, KALDI.frame_s, PARAFORMER.frame_s) == (0.01, 0.01, 0.06)
    assert log_mel(np.zeros(16_000, np.float32)).shape[1] == round(WHISPER.rate_hz)
    assert features.SAMPLE_RATE_HZ == 16_000
