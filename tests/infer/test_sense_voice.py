"""A small random SenseVoice as a recogniser: segments, labels, batches, and what is refused."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.fakes import LoudnessVad, speech
from tests.models import sense_voice_folder

import mooer.infer.model
from mooer.audio.wave import write_wave
from mooer.cli.main import main
from mooer.errors import AudioError, ConfigError, ModelError
from mooer.export.sense_voice import export_onnx
from mooer.infer import RecognizeOptions
from mooer.infer.sense_voice import SenseVoiceRecognizer, load_sense_voice
from mooer.models.sense_voice_folder import VOCABULARY
from mooer.models.sense_voice_labels import LANGUAGE_QUERIES, STYLE_QUERIES, read_vocabulary

CLIP = speech((0.5, 0), (2, 0.5), (0.5, 0))


class Scripted:
    """Says one sentence with these labels, whatever it hears; notes what it was asked."""

    def __init__(self, vocabulary, labels, ids):
        self.vocabulary, self.labels, self.ids = vocabulary, labels, ids
        self.asked = []

    def log_probs(self, features, language, style):
        self.asked.append(([len(one) for one in features], language, style))
        classes = [self.vocabulary.labels[label] for label in self.labels] + self.ids
        said = np.full((len(classes), len(self.vocabulary)), -9.0, np.float32)
        said[np.arange(len(classes)), classes] = -0.5
        return [said for _ in features]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sense_voice_folder.save(tmp_path_factory.mktemp("sense-voice") / "SenseVoiceSmall")


def scripted(folder, labels, sentence=5):
    """A recogniser that says a golden sentence: 3 and 4 are English, 5 and 6 Chinese."""
    vocabulary = read_vocabulary(folder / VOCABULARY)
    ids = sense_voice_folder.read_golden()[f"ids_{sentence}"].tolist()[3:-3]  # no tags, no sign
    network = Scripted(vocabulary, labels, ids)
    real = load_sense_voice(folder, LoudnessVad())
    return SenseVoiceRecognizer(
        network, real.frontend, vocabulary, LoudnessVad(), name="fake", versions={}
    )


def test_a_folder_is_loaded_and_transcribes(folder):
    recognizer = load_sense_voice(folder, LoudnessVad(), num_threads=1)
    assert (recognizer.name, set(recognizer.versions)) == ("SenseVoiceSmall", {"mooer", "torch"})
    transcript = recognizer.transcribe(CLIP, rate_hz=16_000)
    [segment] = transcript.segments  # random weights say something
    [rich] = recognizer.hear([CLIP])
    assert segment.text
    assert rich.tokens
    assert 0.0 < segment.start_s < 0.5
    assert 2.5 < segment.end_s < 3.0


def test_language_and_text_come_of_the_labels(folder):
    recognizer = scripted(folder, ("zh", "HAPPY", "Speech", "withitn"))
    transcript = recognizer.transcribe(CLIP, rate_hz=16_000)
    assert transcript.language == "zh"
    assert transcript.text == "今天天气很好我们去公园散步"
    assert transcript.segments[0].avg_logprob == -0.5
    [rich] = recognizer.hear([CLIP])
    assert (rich.emotion.name, rich.event.name) == ("HAPPY", "Speech")


def test_what_is_asked_of_the_network(folder):
    recognizer = scripted(folder, ("zh", "HAPPY", "Speech", "withitn"), sentence=3)
    options = RecognizeOptions(language="English")
    assert recognizer.transcribe(CLIP, options, rate_hz=16_000).language == "en"
    recognizer.itn = False
    recognizer.hear([CLIP])
    asked = [one[1:] for one in recognizer.network.asked]
    assert asked == [
        (LANGUAGE_QUERIES["en"], STYLE_QUERIES["withitn"]),
        (LANGUAGE_QUERIES["auto"], STYLE_QUERIES["woitn"]),
    ]


def test_traditional_characters(folder):
    recognizer = scripted(folder, ("yue", "NEUTRAL", "Speech", "woitn"))
    options = RecognizeOptions(script="hant")
    transcript = recognizer.transcribe(CLIP, options, rate_hz=16_000)
    assert (transcript.language, transcript.text) == ("yue", "今天天氣很好我們去公園散步")


def test_no_speech_in_it_is_no_language(folder):
    recognizer = scripted(folder, ("nospeech", "EMO_UNKNOWN", "BGM", "woitn"), sentence=3)
    assert recognizer.transcribe(CLIP, rate_hz=16_000).language == "und"
    recognizer.network.ids = []
    assert recognizer.transcribe(CLIP, rate_hz=16_000).segments == ()


def test_an_unknown_emotion_is_banned_if_asked(folder):
    recognizer = scripted(folder, ("en", "EMO_UNKNOWN", "Speech", "woitn"))
    assert recognizer.hear([CLIP])[0].emotion.name == "EMO_UNKNOWN"
    recognizer.ban_unknown_emotion = True
    assert recognizer.hear([CLIP])[0].emotion is None  # all others are as unlikely: the first wins


def test_batches_hold_so_many_seconds_and_keep_the_order(folder):
    recognizer = load_sense_voice(folder, LoudnessVad())
    clips = [speech((s, 0.5)) for s in (1.0, 3.0, 0.5, 2.8)]
    alone = [recognizer.hear([clip])[0] for clip in clips]
    calls = []
    log_probs = recognizer.network.log_probs

    def noted(features, language, style):
        calls.append(len(features))
        return log_probs(features, language, style)

    recognizer.network.log_probs = noted
    recognizer.batch_s = 6.0
    together = recognizer.hear(clips)
    assert calls == [2, 2]
    assert [rich.tokens for rich in together] == [rich.tokens for rich in alone]


def test_many_chunks_are_in_order(folder):
    recognizer = scripted(folder, ("en", "SAD", "Speech", "woitn"), sentence=4)
    clip = speech(*[(0.7, 0), (2.0, 0.5)] * 4, (0.5, 0))
    options = RecognizeOptions(max_chunk_s=3.0, batch_size=2)
    segments = recognizer.transcribe(clip, options, rate_hz=16_000).segments
    assert len(segments) == 4
    starts = [segment.start_s for segment in segments]
    assert starts == sorted(starts)
    assert {segment.text for segment in segments} == {"she sells sea shells by the sea shore"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "ast"}, "does not translate"),
        ({"prompt": "x"}, "no use for prompt"),
        ({"words": True}, "no use for words"),
        ({"language": "de"}, "language de: it knows en, ja, ko, yue, zh"),
    ],
)
def test_what_it_cannot_do(folder, options, words):
    recognizer = scripted(folder, ("en", "SAD", "Speech", "woitn"))
    with pytest.raises(ConfigError, match=words):
        recognizer.transcribe(CLIP, RecognizeOptions(**options), rate_hz=16_000)


def test_bad_sound(folder):
    recognizer = load_sense_voice(folder, LoudnessVad())
    assert recognizer.transcribe(np.zeros(40_000, np.float32), rate_hz=16_000).segments == ()
    with pytest.raises(AudioError, match="leave it out"):
        recognizer.hear([np.zeros(300, np.float32)])
    assert recognizer.hear([]) == []


@pytest.mark.parametrize("name", ["am.mvn", VOCABULARY, "config.yaml"])
def test_a_file_that_is_missing_is_named(folder, tmp_path, name):
    bare = sense_voice_folder.save(tmp_path / "bare")
    (bare / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_sense_voice(bare, LoudnessVad())


def test_a_folder_with_onnx_says_the_same_without_torch(folder, tmp_path):
    export_onnx(folder, tmp_path / "onnx")
    recognizer = load_sense_voice(tmp_path / "onnx", LoudnessVad(), num_threads=1)
    assert set(recognizer.versions) == {"mooer", "onnxruntime"}
    on_torch = load_sense_voice(folder, LoudnessVad(), num_threads=1)
    clips = [CLIP, CLIP[:20_000]]
    for one, other in zip(recognizer.hear(clips), on_torch.hear(clips), strict=True):
        assert one.tokens == other.tokens
        assert one.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-4)
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from mooer.infer.sense_voice import load_sense_voice\n"
        f"recognizer = load_sense_voice(Path({str(tmp_path / 'onnx')!r}), None)\n"
        "recognizer.hear([np.ones(8000, np.float32)])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_vocabulary_that_is_not_of_the_network_is_refused(folder, tmp_path):
    bare = sense_voice_folder.save(tmp_path / "bare")
    tensors = torch.load(bare / "model.pt", weights_only=True)
    for name in ("weight", "bias"):
        tensors[f"ctc.ctc_lo.{name}"] = tensors[f"ctc.ctc_lo.{name}"][:300]
    torch.save(tensors, tmp_path / "model.pt")
    shutil.move(tmp_path / "model.pt", bare / "model.pt")
    with pytest.raises(ModelError, match="400 pieces, but the network 300 classes"):
        load_sense_voice(bare, LoudnessVad())


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
    wanted = load_sense_voice(folder, LoudnessVad(), num_threads=1).transcribe(CLIP, rate_hz=16_000)
    assert capsys.readouterr().out.strip() == wanted.text
    assert main([*arguments, "--part", "llm=x"]) == 2
    assert "is no speech LLM" in capsys.readouterr().err
