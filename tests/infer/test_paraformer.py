"""A small random Paraformer as a recogniser: words, times, and what is refused."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from tests.fakes import LoudnessVad, speech
from tests.models import paraformer_folder
from tests.models.paraformer_folder import NAMES, TOOL, read_golden

import mooer.infer.model
from mooer.audio.wave import write_wave
from mooer.cli.main import main
from mooer.errors import ConfigError, ModelError
from mooer.export.paraformer import export_onnx
from mooer.infer import RecognizeOptions
from mooer.infer.paraformer import (
    ParaformerOptions,
    ParaformerRecognizer,
    load_paraformer,
    options_from,
    read,
)
from mooer.models.paraformer_folder import Tokens

CLIP = speech((0.5, 0), (2, 0.5), (0.5, 0))


@dataclass(frozen=True)
class Said:
    log_probs: np.ndarray
    weights: np.ndarray
    parts: int = 1


def said(*names, step=4):
    """These tokens and the end of the sentence, one each few frames."""
    ids = [TOOL.TOKENS.index(name) for name in (*names, "</s>")]
    log_probs = np.full((len(ids), len(TOOL.TOKENS)), np.log(0.2 / 39), np.float32)
    log_probs[np.arange(len(ids)), ids] = np.log(0.8)
    weights = np.zeros(step * len(ids) + 3, np.float32)
    weights[step - 1 :: step][: len(ids)] = 1.0
    return Said(log_probs, weights)


class Scripted:
    """Says the same whatever it hears."""

    num_tokens = None

    def __init__(self, one):
        self.one = one
        self.calls = []

    def say(self, features):
        self.calls.append(len(features))
        return [self.one for _ in features]


@pytest.fixture(scope="module", params=NAMES)
def folder(request, tmp_path_factory):
    return paraformer_folder.save(tmp_path_factory.mktemp("models") / "paraformer", request.param)


def scripted(tmp_path, one, **options):
    real = load_paraformer(paraformer_folder.save(tmp_path / "fake", NAMES[0]), LoudnessVad())
    return ParaformerRecognizer(
        Scripted(one),
        real.frontend,
        real.tokens,
        LoudnessVad(),
        ParaformerOptions(**options),
        versions={},
    )


def test_a_folder_is_loaded_and_transcribes(folder):
    recognizer = load_paraformer(folder, LoudnessVad(), num_threads=1)
    assert (recognizer.name, set(recognizer.versions)) == ("paraformer", {"mooer", "torch"})
    transcript = recognizer.transcribe(CLIP, RecognizeOptions(words=True), rate_hz=16_000)
    assert transcript.text  # random weights say something
    assert transcript.language == "zh"
    words = [word for segment in transcript.segments for word in segment.words]
    assert all(0.0 <= word.start_s <= word.end_s <= 3.0 for word in words)


def test_words_are_made_of_tokens():
    heard = read(said("今", "天", "wor@@", "ld", "t", "v", "好"), Tokens(TOOL.TOKENS))
    assert [word.text for word in heard.words] == ["今", "天", " world", " TV", "好"]
    assert [word.probability for word in heard.words] == pytest.approx([0.8] * 5)
    assert heard.avg_logprob == pytest.approx(np.log(0.8))
    starts = [word.start_s for word in heard.words]
    assert starts == pytest.approx([0.09, 0.33, 0.57, 1.05, 1.53])
    assert heard.words[2].end_s == pytest.approx(1.05)


def test_words_are_those_of_funasr():
    golden = read_golden()
    compared = 0
    for name in NAMES:
        for i in range(4):
            if f"{name}_{i}_log_probs" not in golden:
                continue
            key = "alphas" if name == "Paraformer" else "us_alphas"
            parts = 1 if name == "Paraformer" else 3
            one = Said(golden[f"{name}_{i}_log_probs"], golden[f"{name}_{i}_{key}"], parts)
            said = [TOOL.TOKENS[token] for token in one.log_probs.argmax(1) if token > 2]
            if any(
                a.endswith("@@") and not b.isascii()
                for a, b in zip(said, [*said[1:], "今"], strict=True)
            ):
                continue  # a word without its end, which funasr leaves out
            heard = read(one, Tokens(TOOL.TOKENS))
            text = "".join(word.text for word in heard.words).replace(" ", "")
            assert text == str(golden[f"{name}_{i}_text"]).replace(" ", "")
            compared += len(heard.words)
    assert compared > 10


def test_a_file_without_weights_gives_no_times():
    one = said("今", "天")
    heard = read(Said(one.log_probs, np.zeros(0, np.float32)), Tokens(TOOL.TOKENS))
    assert {(word.start_s, word.end_s) for word in heard.words} == {(0.0, 0.0)}


def test_segments_are_cut_at_pauses(tmp_path):
    one = said("今", "天", "气", "很", "好", "我", "们")
    weights = one.weights.copy()
    later = np.concatenate([weights[:18], np.zeros(20, np.float32), weights[18:]])
    recognizer = scripted(tmp_path, Said(one.log_probs, later))
    clip = speech((0.2, 0), (4, 0.5), (0.5, 0))
    segments = recognizer.transcribe(clip, rate_hz=16_000).segments
    assert [segment.text for segment in segments] == ["今天气很", "好我们"]
    assert segments[0].avg_logprob == round(float(np.log(0.8)), 4)
    assert segments[0].end_s < segments[1].start_s


def test_batches_hold_so_many_seconds(tmp_path):
    recognizer = scripted(tmp_path, said("今"), batch_size_s=6.0)
    recognizer.hear([speech((s, 0.5)) for s in (1.0, 3.0, 0.5, 2.8)])
    assert recognizer.network.calls == [2, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "ast"}, "does not translate"),
        ({"hotwords": "x"}, "no use for hotwords"),
        ({"language": "ja"}, "language ja: it knows zh and en"),
    ],
)
def test_what_it_cannot_do(tmp_path, options, words):
    recognizer = scripted(tmp_path, said("今"))
    with pytest.raises(ConfigError, match=words):
        recognizer.transcribe(CLIP, RecognizeOptions(**options), rate_hz=16_000)


def test_options_by_name():
    assert options_from({"merge_vad": "false"}) == ParaformerOptions(merge_vad=False)
    with pytest.raises(ConfigError, match="unknown key itn"):
        options_from({"itn": "true"})


@pytest.mark.parametrize("missing", ["am.mvn", "tokens.json", "config.yaml"])
def test_a_file_that_is_missing_is_named(tmp_path, missing):
    bare = paraformer_folder.save(tmp_path / "bare", NAMES[0])
    (bare / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        load_paraformer(bare, LoudnessVad())


def test_a_folder_with_onnx_says_the_same_without_torch(folder, tmp_path):
    export_onnx(folder, tmp_path / "onnx")
    recognizer = load_paraformer(tmp_path / "onnx", LoudnessVad(), num_threads=1)
    assert set(recognizer.versions) == {"mooer", "onnxruntime"}
    on_torch = load_paraformer(folder, LoudnessVad(), num_threads=1)
    clips = [CLIP, CLIP[:20_000]]
    for one, other in zip(recognizer.hear(clips), on_torch.hear(clips), strict=True):
        assert [word.text for word in one.words] == [word.text for word in other.words]
        assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-4)
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from mooer.infer.paraformer import load_paraformer\n"
        f"recognizer = load_paraformer(Path({str(tmp_path / 'onnx')!r}), None)\n"
        "recognizer.hear([np.ones(8000, np.float32)])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_command_line_takes_its_folder(folder, tmp_path, monkeypatch, capsys):
    fetch = mooer.infer.model.fetch
    (tmp_path / "vad.onnx").touch()
    monkeypatch.setattr(
        mooer.infer.model,
        "fetch",
        lambda name, **options: tmp_path if name == "silero-vad" else fetch(name, **options),
    )
    monkeypatch.setattr(mooer.infer.model, "SpeechModel", lambda path: LoudnessVad())
    write_wave(tmp_path / "a.wav", CLIP)
    arguments = ["transcribe", str(tmp_path / "a.wav"), "--model", str(folder), "--threads", "1"]
    assert main(arguments) == 0
    wanted = load_paraformer(folder, LoudnessVad(), num_threads=1).transcribe(CLIP, rate_hz=16_000)
    assert capsys.readouterr().out.split() == [
        s for one in wanted.segments for s in one.text.split()
    ]
