"""Torch against llama.cpp, from sound to text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.export.saved import save_speech_llm
from typer.testing import CliRunner

from mooer.audio.wave import write_wave
from mooer.cli.models import app
from mooer.errors import AudioError
from mooer.export.parity import compare, table

# peft looks for the config of a base that is a GGUF file
pytestmark = pytest.mark.filterwarnings("ignore:Could not find a config file")


@pytest.fixture
def chirp(tone, tmp_path):
    write_wave(tmp_path / "chirp.wav", tone)
    return tmp_path / "chirp.wav"


def test_float32_answers_as_torch_does(small, chirp):
    exported = replace(small.exported, llms={"f32": small.exported.llms["f32"]})
    [clip] = compare(small.folder, exported, [chirp], max_new_tokens=12)
    assert clip.embeddings.mean < clip.embeddings.max < 2e-3
    llm = clip.llms["f32"]
    assert llm.logprobs.mean <= llm.logprobs.max < 1e-3
    assert llm.answer == clip.answer
    assert clip.answer_as_trained is None  # it was trained with silence up to 30 s
    head, row = table([clip])
    assert len(head) == len(row)
    assert row[:2] == ("chirp.wav", "f32")
    assert row[-1] == "same"


def test_the_weights_of_another_model_are_seen(small, chirp, tmp_path):
    other, _ = save_speech_llm(tmp_path, lora=False)
    [clip] = compare(other, small.exported, [chirp], max_new_tokens=4)
    assert clip.llms["f32"].logprobs.max > 0.01


def test_a_quiet_recording_is_warned_of(small, tone, tmp_path, caplog):
    write_wave(tmp_path / "quiet.wav", 0.003 * tone)
    [clip] = compare(small.folder, small.exported, [tmp_path / "quiet.wav"], max_new_tokens=1)
    assert "so quiet" in caplog.text
    assert clip.embeddings.max > 2e-3
    assert clip.embeddings_floored.max < 2e-3  # which is why


def test_a_recording_longer_than_a_window_is_refused(small, tone, tmp_path):
    write_wave(tmp_path / "long.wav", np.tile(tone, 16))
    with pytest.raises(AudioError, match="cuts at 30 s"):
        compare(small.folder, small.exported, [tmp_path / "long.wav"])


def test_the_command_exports_and_compares(small, chirp, tmp_path):
    command = f"export {small.folder} --out {tmp_path / 'out'} --precision f32 --check {chirp}"
    run = CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert run.exit_code == 0, run.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "mmproj-f32.gguf",
        "llm-f32.gguf",
        "lora.gguf",
    }
    assert str(tmp_path / "out" / "llm-f32.gguf") in run.stdout
    assert "same" in run.stdout


def test_the_command_refuses_other_formats(small, tmp_path):
    run = CliRunner().invoke(
        app, ["export", str(small.folder), "--out", str(tmp_path / "out"), "--to", "ggml"]
    )
    assert run.exit_code != 0
    assert "did you mean gguf" in str(run.exception)
