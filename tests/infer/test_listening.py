"""Sessions by each kind of recogniser, over scripted engines."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes import LoudnessVad, ScriptedWhisper, speech
from tests.infer.test_drafted import ScriptedNetwork, by_ctc
from tests.models import sense_voice_folder

from mooer.errors import ConfigError
from mooer.infer import EndPoint, Final, LiveOptions, RecognizeOptions, Recognizer, Said
from mooer.infer.drafted import DraftedRecognizer
from mooer.infer.listening import listen_by
from mooer.infer.sense_voice import load_sense_voice
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.transcript import Label

CLIP = speech((0.5, 0), (2.0, 0.5), (1.0, 0))
TEXT = "good morning to all of you"
LIVE = LiveOptions(adaptive=False)


def whisper(text=TEXT):
    engine = ScriptedWhisper(itertools.repeat(text))
    return Recognizer(engine, LoudnessVad(), name="whisper", versions={"mooer": "0"})


def mini(answers, text=TEXT):
    network = ScriptedNetwork(answers)
    second = SpeechLLMRecognizer(network, LoudnessVad(), name="mini", versions={"mooer": "0"})
    return DraftedRecognizer(whisper(text), second, draft_alone=True), network


def heard(recognizer, **options):
    """What is said in CLIP: the session and its segments."""
    session = listen_by(recognizer, RecognizeOptions(**options), LIVE)
    blocks = [CLIP[start : start + 1600] for start in range(0, len(CLIP), 1600)]
    events = list(session.follow(blocks))
    final = "".join(e.text for e in events if isinstance(e, Final)).strip()
    segments = [e.segment for e in events if isinstance(e, Said)]
    assert final == " ".join(s.text for s in segments)
    assert isinstance(events[-1], EndPoint)
    return session, segments


def test_whisper_says_its_words():
    session, [segment] = heard(whisper())
    assert segment.text == TEXT
    assert segment.language == "en"
    transcript = session.transcript([segment])
    assert (transcript.model, transcript.task, transcript.language) == ("whisper", "asr", "en")
    assert transcript.language_probability == 0.9
    assert transcript.duration_s == 3.5


def test_a_ctc_head_before_an_llm_says_its_words():
    recognizer, network = by_ctc(["今", "天", "好"], ["A fine day."])
    _, [segment] = heard(recognizer, task="asr_ast")
    assert (segment.text, segment.translation) == ("今天好", "A fine day.")
    assert network.asked[0][2] == "今天好"
    with pytest.raises(ConfigError, match="no use for prompt"):
        listen_by(recognizer, RecognizeOptions(prompt="as before"))


def test_whisper_translates_a_sentence_when_it_is_said():
    _, [segment] = heard(whisper(), task="ast", language="zh")
    assert segment.translation == TEXT  # what the engine says whatever it is asked
    _, [segment] = heard(whisper(), task="ast", language="en")
    assert segment.translation == segment.text


def test_mini_says_whispers_words_and_translates_the_sentence():
    recognizer, network = mini(["大家早上好"])
    session, [segment] = heard(recognizer, task="asr_ast", to="zh", language="en")
    assert segment.text == TEXT
    assert segment.translation == "大家早上好"
    [(task, seconds, draft)] = network.asked
    assert (task, draft) == ("ast_zh", TEXT)
    assert 1.5 < seconds < 3.5
    assert session.transcript([segment]).translation_language == "zh"


def test_mini_does_not_ask_its_llm_where_nothing_is_to_be_translated():
    for options in ({}, {"task": "ast", "to": "en", "language": "en"}):
        recognizer, network = mini([])
        heard(recognizer, **options)
        assert network.asked == []


def test_another_language_is_translated_by_whisper():
    recognizer, network = mini([])
    _, [segment] = heard(recognizer, task="ast", language="de")
    assert segment.translation == TEXT
    assert network.asked == []


def test_a_pair_that_nobody_translates_is_refused_if_it_is_known_and_else_told(caplog):
    recognizer, _ = mini([])
    with pytest.raises(ConfigError, match="German to Chinese"):
        listen_by(recognizer, RecognizeOptions(task="ast", to="zh", language="de"))
    recognizer, _ = mini([])
    recognizer.first.engine.detect_language = lambda encoded: [("de", 0.9)]
    _, [segment] = heard(recognizer, task="ast", to="zh")
    assert segment.translation is None
    assert "German to Chinese" in caplog.text


def test_whisper_alone_translates_into_english_only():
    with pytest.raises(ConfigError, match="into English alone, not 'zh': take mini"):
        listen_by(whisper(), RecognizeOptions(task="ast", to="zh"))


def test_sense_voice_says_what_its_ctc_hears(tmp_path):
    folder = sense_voice_folder.save(tmp_path / "SenseVoiceSmall")
    recognizer = load_sense_voice(folder, LoudnessVad(), num_threads=1)
    session = listen_by(recognizer, RecognizeOptions(language="en"), LIVE)
    events = list(session.follow(np.split(CLIP, 35)))  # random weights: it need not make sense
    finals = [word for e in events if isinstance(e, Final) for word in e.words]
    times = [t for word in finals for t in (word.start_s, word.end_s)]
    assert times == sorted(times)
    with pytest.raises(ConfigError, match="no use for hotwords"):
        listen_by(recognizer, RecognizeOptions(hotwords="MooER"))


class Teller:
    """An enricher that hears joy in everything; `seconds` are of what it heard."""

    def __init__(self):
        self.seconds = []

    def enrich(self, samples, segment):
        self.seconds.append(len(samples) / 16_000)
        happy = Label("happy", 0.9)
        return replace(segment, emotion=happy, gender=Label("female", 0.8), events=())


def test_a_sentence_is_labelled_when_it_is_said_and_then_translated():
    recognizer, teller = whisper(), Teller()
    recognizer.make_enricher = lambda: teller
    _, [segment] = heard(recognizer, rich=True, task="ast", language="zh")
    assert segment.emotion.name == "happy"
    assert segment.gender is None  # it was not asked for
    assert segment.translation == TEXT
    assert all(1.5 < seconds < 3.5 for seconds in teller.seconds)


def test_labels_that_nothing_can_tell_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="ask without gender"):
        listen_by(whisper(), RecognizeOptions(gender=True))
    folder = sense_voice_folder.save(tmp_path / "SenseVoiceSmall")
    recognizer = load_sense_voice(folder, LoudnessVad(), num_threads=1)
    with pytest.raises(ConfigError, match="leave rich out"):
        listen_by(recognizer, RecognizeOptions(rich=True))
