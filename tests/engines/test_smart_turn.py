"""Golden numbers by tools/golden_smart_turn.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from mooer.audio.wave import read_wave
from mooer.engines.smart_turn import SmartTurn, turn_features
from mooer.errors import AudioError, ModelError

ENDS_S = {"short": 1.5, "cut": 2.4, "whole": 60.0}
SHARED = Path(__file__).parents[3] / "shared/data"


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parents[1] / "golden/smart_turn.npz")


@pytest.fixture(scope="module")
def smart_turn():
    from mooer.store import fetch

    return SmartTurn(fetch("smart-turn-v3.2"))


@pytest.mark.parametrize("name", ENDS_S)
def test_features_are_those_of_the_reference(golden, examples, name):
    samples = read_wave(str(examples / "en.flac"))[: round(ENDS_S[name] * 16_000)]
    found = turn_features(samples)
    assert found.shape == (80, 800)
    assert np.abs(found[:, ::23] - golden[f"{name}_features"]).max() < 1e-3


def test_only_the_last_eight_seconds_count():
    noise = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    assert np.array_equal(turn_features(noise), turn_features(noise[-128_000:]))


def test_silence_has_features_and_a_turn_is_mono():
    assert np.isfinite(turn_features(np.zeros(0, np.float32))).all()
    with pytest.raises(AudioError, match="mono"):
        turn_features(np.zeros((2, 100), np.float32))


def test_a_folder_without_the_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"smart-turn\.onnx"):
        SmartTurn(tmp_path)


@pytest.mark.real
@pytest.mark.parametrize("name", ENDS_S)
def test_probabilities_are_those_of_the_reference(golden, smart_turn, examples, name):
    samples = read_wave(str(examples / "en.flac"))[: round(ENDS_S[name] * 16_000)]
    wanted = golden[f"{name}_probability"].item()
    assert smart_turn.complete(samples) == pytest.approx(wanted, abs=0.02)


@pytest.mark.real
@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared recordings are not beside the checkout")
def test_ends_of_sentences_are_told_from_pauses_within_them(smart_turn):
    """LJSpeech is cut where its reader paused: at the end of a sentence, or within one."""
    found = {True: [], False: []}
    with (SHARED / "ljspeech.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        samples = read_wave(str(SHARED / row["audio"]))
        probability = smart_turn.complete(np.pad(samples, (0, 3200)))
        found[row["text"].endswith(".")].append(probability > 0.5)
    assert np.mean(found[True]) >= 0.9
    assert np.mean(found[False]) <= 0.6
