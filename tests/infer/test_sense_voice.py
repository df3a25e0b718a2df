"""A small random SenseVoice as a recogniser: segments, labels, batches, and what is refused."""

import json
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
from mooer.decoding.fusion import FusionOptions
from mooer.decoding.lm.load import write_ngram
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.errors import AudioError, ConfigError, ModelError
from mooer.export.sense_voice import export_onnx
from mooer.infer import RecognizeOptions
from mooer.infer.fusion import load_fusion
from mooer.infer.sense_voice import (
    SenseVoiceOptions,
    SenseVoiceRecognizer,
    load_sense_voice,
    options_from,
    words_of,
)
from mooer.models.sense_voice_folder import VOCABULARY
from mooer.models.sense_voice_labels import LANGUAGE_QUERIES, STYLE_QUERIES, read_vocabulary
from mooer.transcript import Event, Label

CLIP = speech((0.5, 0), (2, 0.5), (0.5, 0))


class Scripted:
    """Says one sentence with these labels, whatever it hears; notes what it was asked."""

    def __init__(self, vocabulary, labels, ids):
        self.vocabulary, self.labels, self.ids = vocabulary, labels, ids
        self.asked = []

    num_classes = None

    def logits(self, features, language, style):
        self.asked.append(([len(one) for one in features], language, style))
        spoken = [one for i in self.ids for one in (i, 0, 0)]
        classes = [self.vocabulary.labels[label] for label in self.labels] + spoken
        said = np.zeros((len(classes), len(self.vocabulary)), np.float32)
        said[np.arange(len(classes)), classes] = np.log(4 * (len(self.vocabulary) - 1))  # 0.8
        return [said for _ in features]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sense_voice_folder.save(tmp_path_factory.mktemp("sense-voice") / "SenseVoiceSmall")


def scripted(folder, labels, sentence=5, **options):
    """A recogniser that says a golden sentence: 3 and 4 are English, 5 and 6 Chinese."""
    vocabulary = read_vocabulary(folder / VOCABULARY)
    ids = sense_voice_folder.read_golden()[f"ids_{sentence}"].tolist()[3:-3]  # no tags, no sign
    network = Scripted(vocabulary, labels, ids)
    real = load_sense_voice(folder, LoudnessVad())
    return SenseVoiceRecognizer(
        network,
        real.frontend,
        vocabulary,
        LoudnessVad(),
        SenseVoiceOptions(**options),
        name="fake",
        versions={},
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
    assert transcript.segments[0].avg_logprob == round(float(np.log(0.8)), 4)
    [rich] = recognizer.hear([CLIP])
    assert (rich.emotion.name, rich.event.name) == ("HAPPY", "Speech")


def test_a_language_model_mends_what_is_misheard(folder, tmp_path):
    recognizer = scripted(folder, ("zh", "HAPPY", "Speech", "withitn"))
    network, ids = recognizer.network, recognizer.network.ids
    said = network.logits([CLIP], 0, 0)[0]
    wrong = ids[0]  # the first character sounds a little likelier where the last is said
    said[-3, wrong] = said[-3].max() + 0.3
    network.logits = lambda features, *asked: [network.asked.append(asked) or said]
    text = "今天天气很好我们去公园散步"
    assert recognizer.transcribe(CLIP, rate_hz=16_000).text != text
    write_ngram(train_ngram([text, "好"], TrainOptions(2)).tables, tmp_path / "lm.bin")
    fusion = load_fusion(FusionOptions("shallow", 0.5), lm=tmp_path / "lm.bin")
    transcript = recognizer.transcribe(CLIP, RecognizeOptions(fusion=fusion), rate_hz=16_000)
    assert transcript.text == text
    assert transcript.segments[0].emotion == Label("happy", 0.8)
    assert network.asked[-1] == (LANGUAGE_QUERIES["auto"], STYLE_QUERIES["woitn"])
    [heard] = recognizer.hear_as([CLIP], RecognizeOptions(fusion=fusion))
    assert [one.start for one in heard.tokens] == [3 * i for i in range(len(ids))]


def test_what_is_asked_of_the_network(folder):
    recognizer = scripted(folder, ("zh", "HAPPY", "Speech", "withitn"), sentence=3)
    options = RecognizeOptions(language="English")
    assert recognizer.transcribe(CLIP, options, rate_hz=16_000).language == "en"
    plain = scripted(folder, ("zh", "HAPPY", "Speech", "woitn"), itn=False)
    plain.hear([CLIP])
    assert [one[1:] for one in recognizer.network.asked + plain.network.asked] == [
        (LANGUAGE_QUERIES["en"], STYLE_QUERIES["withitn"]),
        (LANGUAGE_QUERIES["auto"], STYLE_QUERIES["woitn"]),
    ]


def test_traditional_characters(folder):
    recognizer = scripted(folder, ("yue", "NEUTRAL", "Speech", "woitn"))
    options = RecognizeOptions(script="hant")
    transcript = recognizer.transcribe(CLIP, options, rate_hz=16_000)
    assert (transcript.language, transcript.text) == ("yue", "今天天氣很好我們去公園散步")


def test_no_speech_in_it_is_no_language(folder):
    recognizer = scripted(folder, ("nospeech", "EMO_UNKNOWN", "Speech", "woitn"), sentence=3)
    assert recognizer.transcribe(CLIP, rate_hz=16_000).language == "und"
    recognizer.network.ids = []
    assert recognizer.transcribe(CLIP, rate_hz=16_000).segments == ()


def test_an_unknown_emotion_is_banned_if_asked(folder):
    labels = ("en", "EMO_UNKNOWN", "Speech", "woitn")
    assert scripted(folder, labels).hear([CLIP])[0].emotion.name == "EMO_UNKNOWN"
    # all others are as unlikely: the first wins
    assert scripted(folder, labels, ban_emo_unk=True).hear([CLIP])[0].emotion is None


def test_batches_hold_so_many_seconds_and_keep_the_order(folder):
    recognizer = load_sense_voice(
        folder, LoudnessVad(), options=SenseVoiceOptions(batch_size_s=6.0)
    )
    clips = [speech((s, 0.5)) for s in (1.0, 3.0, 0.5, 2.8)]
    alone = [recognizer.hear([clip])[0] for clip in clips]
    calls = []
    logits = recognizer.network.logits

    def noted(features, language, style):
        calls.append(len(features))
        return logits(features, language, style)

    recognizer.network.logits = noted
    together = recognizer.hear(clips)
    assert calls == [2, 2]
    assert [rich.text for rich in together] == [rich.text for rich in alone]


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
        ({"hotwords": "x"}, "no use for hotwords"),
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
        assert [token.id for token in one.tokens] == [token.id for token in other.tokens]
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
    assert capsys.readouterr().out == wanted.render("txt")
    assert main([*arguments, "--part", "itn=false", "--json"]) == 0
    [segment] = json.loads(capsys.readouterr().out)["segments"]
    assert {"emotion", "events", "language_probability"} <= segment.keys()
    assert main([*arguments, "--part", "llm=x"]) == 2
    assert "unknown key llm" in capsys.readouterr().err


# --- labels and times of a transcript ---------------------------------------------------------


def test_a_segment_tells_emotion_event_and_language(folder):
    recognizer = scripted(folder, ("zh", "HAPPY", "BGM", "withitn"))
    [segment] = recognizer.transcribe(CLIP, rate_hz=16_000).segments
    assert segment.emotion == Label("happy", 0.8)
    assert segment.events == (Event(segment.start_s, segment.end_s, "music", 0.8),)
    assert (segment.language, segment.language_probability) == ("zh", 0.8)
    asked = RecognizeOptions(language="zh")
    [segment] = recognizer.transcribe(CLIP, asked, rate_hz=16_000).segments
    assert segment.language_probability is None


@pytest.mark.parametrize(
    ("labels", "emotion", "events"),
    [
        (("en", "EMO_UNKNOWN", "Speech", "woitn"), "unknown", ["speech"]),
        (("en", "DISGUSTED", "Event_UNK", "woitn"), "disgusted", []),
        (("en", "Cry", "SAD", "woitn"), None, []),
    ],
)
def test_labels_by_the_names_of_a_transcript(folder, labels, emotion, events):
    recognizer = scripted(folder, labels, sentence=3)
    [segment] = recognizer.transcribe(CLIP, rate_hz=16_000).segments
    assert (segment.emotion.name if segment.emotion else None) == emotion
    assert [event.name for event in segment.events] == events


def test_what_is_heard_without_words_is_a_segment_of_its_own(folder):
    recognizer = scripted(folder, ("nospeech", "EMO_UNKNOWN", "Laughter", "woitn"))
    recognizer.network.ids = []
    [segment] = recognizer.transcribe(CLIP, rate_hz=16_000).segments
    assert (segment.text, segment.language, segment.emotion) == ("", "und", None)
    assert segment.events[0].name == "laughter"
    recognizer.network.labels = ("nospeech", "EMO_UNKNOWN", "Speech", "woitn")
    assert recognizer.transcribe(CLIP, rate_hz=16_000).segments == ()


def test_words_have_the_times_of_their_frames(folder):
    recognizer = scripted(folder, ("zh", "NEUTRAL", "Speech", "woitn"))
    options = RecognizeOptions(words=True)
    [segment] = recognizer.transcribe(CLIP, options, rate_hz=16_000).segments
    assert [word.text for word in segment.words] == list("今天天气很好我们去公园散步")
    assert {word.probability for word in segment.words} == {0.8}
    starts = [word.start_s for word in segment.words]
    assert starts == sorted(starts)
    [rich] = recognizer.hear([CLIP])
    frames = np.array([token.start for token in rich.tokens if token.text])
    expected = np.maximum(0, frames * 0.06 - 0.03)  # as FunASR counts
    begins = [word.start_s for word in words_of(rich, 9.0)]
    assert set(np.round(expected, 3)) <= set(np.round(begins, 3))
    [segment] = recognizer.transcribe(CLIP, rate_hz=16_000).segments
    assert segment.words is None


def test_spans_of_speech_are_joined_as_asked(folder):
    clip = speech(*[(0.7, 0), (2.0, 0.5)] * 4, (0.5, 0))

    def lengths(**options):
        recognizer = scripted(folder, ("en", "SAD", "Speech", "woitn"), 4, **options)
        recognizer.transcribe(clip, rate_hz=16_000)
        return sorted(n for asked, *_ in recognizer.network.asked for n in asked)

    assert len(lengths(merge_vad=False)) == 4
    assert len(lengths(merge_length_s=6.0)) == 2
    assert len(lengths()) == 1


def test_several_inputs_share_their_batches(folder, tmp_path):
    recognizer = scripted(folder, ("en", "SAD", "Speech", "woitn"), 4)
    paths = [str(tmp_path / f"{i}.wav") for i in range(9)]
    for i, path in enumerate(paths):
        write_wave(path, speech((0.5, 0), (1.0 + i / 9, 0.5), (0.5, 0)))
    found = list(recognizer.transcribe_all([paths[0], str(tmp_path / "none.wav"), *paths[1:]]))
    assert [isinstance(one, AudioError) for one in found] == [False, True, *[False] * 8]
    assert [one.source for one in found if not isinstance(one, AudioError)] == paths
    assert max(len(lengths) for lengths, *_ in recognizer.network.asked) > 1


def test_options_by_name():
    options = options_from({"itn": "false", "batch_size_s": "20", "precision": "int8"})
    assert options == SenseVoiceOptions(itn=False, batch_size_s=20.0, precision="int8")
    with pytest.raises(ConfigError, match="did you mean merge_length_s"):
        options_from({"merge_lengths": "3"})
    with pytest.raises(ConfigError, match="batch_size_s must be above 0"):
        options_from({"batch_size_s": "0"})


def test_a_folder_without_a_network_for_onnxruntime(folder):
    with pytest.raises(ConfigError, match=r"models export .* --to onnx"):
        load_sense_voice(folder, LoudnessVad(), options=SenseVoiceOptions(engine="onnx"))
