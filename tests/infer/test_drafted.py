"""Whisper and a speech LLM behind it, both scripted: whose words are kept, and what is told."""

import logging

import numpy as np
import pytest
from tests.fakes import LoudnessVad, ScriptedWhisper, speech

from mooer.decoding.generation import Hypothesis
from mooer.errors import AudioError, ConfigError
from mooer.infer import RecognizeOptions, Recognizer
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.drafted import DraftedRecognizer, retimed, timed_pieces
from mooer.infer.longform import Chunk
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.text.units import Units
from mooer.transcript import Word

CLIP = speech((0.5, 0), (3, 0.5), (0.5, 0))


class ScriptedNetwork:
    """Says `answers` in turn; stands in for a network, whose prompts are what it was asked."""

    template = "mini"

    def __init__(self, answers):
        self._answers = iter(answers)
        self.asked = []

    def require_end(self):
        return None

    def prompts(self, task, utterances, drafts=(), hotwords=()):
        self.hotwords = hotwords
        found = [(task, len(u) / 16_000, d) for u, d in zip(utterances, drafts, strict=True)]
        self.asked += found
        return found

    def decode(self, prompts, search, limits):
        texts = [next(self._answers) for _ in prompts]
        return [[Hypothesis(tuple(t.encode()), (-0.1,), -0.1, ended=True)] for t in texts]

    def stream(self, prompt, search):
        assert search.num_beams == 1
        yield from next(self._answers).encode()

    def text(self, ids):
        return bytes(ids).decode(errors="replace")

    def num_tokens(self, text):
        return len(text.split())


def drafted(drafts, answers, *, draft_alone=False):
    network = ScriptedNetwork(answers)
    vad = LoudnessVad()
    recognizer = DraftedRecognizer(
        Recognizer(ScriptedWhisper(drafts), vad, name="w", versions={"ctranslate2": "4"}),
        SpeechLLMRecognizer(network, vad, name="mini", versions={"mooer": "0"}),
        draft_alone=draft_alone,
    )
    return recognizer, network


class SayingCtc:
    """Spells a text whatever it hears, one unit a frame of 80 ms from the third on."""

    frame_s = 0.08
    blank = 0
    change_cost = 0.0

    def __init__(self, *names):
        self.units = Units(names, (-1.0,) * len(names), ("",) * len(names))

    def spell(self, word):
        return self.units.spell(word)

    def log_probs(self, samples):
        path = np.zeros(round(len(samples) / 16_000 / self.frame_s), int)
        path[2 : 2 + len(self.units)] = range(1, len(self.units) + 1)
        found = np.full((len(path), len(self.units) + 1), 1e-4)
        found[np.arange(len(path)), path] = 1 - 1e-4 * len(self.units)
        return np.log(found).astype(np.float32)


def by_ctc(names, answers, *, draft_alone=True):
    vad, network = LoudnessVad(), ScriptedNetwork(answers)
    first = CtcRecognizer(SayingCtc(*names), vad, name="mini", versions={})
    second = SpeechLLMRecognizer(network, vad, name="mini", versions={"mooer": "0"})
    return DraftedRecognizer(first, second, draft_alone=draft_alone), network


def listen(drafts, answers, *, samples=CLIP, language="en", draft_alone=False, **options):
    recognizer, network = drafted(drafts, answers, draft_alone=draft_alone)
    asked = RecognizeOptions(language=language, **options)
    return recognizer.transcribe(samples, asked, rate_hz=16_000), network


def test_a_draft_is_mended_and_keeps_its_times():
    transcript, network = listen(["good knight to you all"], ["Good night to you all."], words=True)
    [segment] = transcript.segments
    assert segment.text == "Good night to you all."
    assert [w.text for w in segment.words] == ["Good", "night", "to", "you", "all."]
    assert segment.words[1].start_s == pytest.approx(segment.words[0].end_s)
    [(task, heard_s, draft)] = network.asked
    assert (task, draft) == ("asr", "good knight to you all")
    assert 2.9 < heard_s < 4.0
    assert transcript.model == "mini"
    assert transcript.versions == {"ctranslate2": "4", "mooer": "0"}


@pytest.mark.parametrize(
    "answer",
    [
        "Something that nobody has said at all here.",
        "good night " * 30,
        "I'm sorry, but I cannot transcribe this.",
        "",
    ],
)
def test_an_answer_that_is_far_from_the_draft_is_not_believed(answer):
    transcript, _ = listen(["good night to you"], [answer] * 2)
    assert transcript.text == "good night to you"


def test_the_same_words_keep_their_times():
    transcript, _ = listen(["good night to you"], ["Good night, to you."], words=True)
    assert [w.text for w in transcript.segments[0].words] == ["good", "night", "to", "you"]


def test_translation_alone_keeps_the_draft_as_its_text():
    transcript, network = listen(["how are you today"], ["你今天好吗？"], task="ast", to="zh")
    [segment] = transcript.segments
    assert (segment.text, segment.translation) == ("how are you today", "你今天好吗？")
    assert network.asked[0][0] == "ast_zh"
    assert (transcript.task, transcript.translation_language) == ("ast", "zh")


def test_both_at_once():
    transcript, network = listen(
        ["how are you two day"], ["How are you today?\n你今天好吗？"], task="asr_ast", to="zh"
    )
    [segment] = transcript.segments
    assert (segment.text, segment.translation) == ("How are you today?", "你今天好吗？")
    assert network.asked[0][0] == "asr_ast_zh"


def test_an_llm_that_does_not_hear_translates_and_mends_nothing():
    asked = {"task": "asr_ast", "to": "zh", "draft_alone": True}
    transcript, network = listen(["how are you two day"], ["你今天好吗？"], **asked)
    [segment] = transcript.segments
    assert (segment.text, segment.translation) == ("how are you two day", "你今天好吗？")
    assert network.asked[0][0] == "ast_zh"
    transcript, network = listen(["good knight"], [], draft_alone=True)
    assert (transcript.text, network.asked) == ("good knight", [])


def test_the_draft_comes_before_the_answer_is_written():
    recognizer, network = drafted(["how are you"], ["你今天好吗？"], draft_alone=True)
    asked = RecognizeOptions(language="en", task="asr_ast", to="zh")
    pieces = recognizer.stream(CLIP, asked, rate_hz=16_000)
    assert (next(pieces), network.asked) == ("how are you", [])
    assert list(pieces)[:3] == ["\n", "你", "今"]
    assert network.asked == [("ast_zh", 4.0, "how are you")]


@pytest.mark.parametrize(("draft", "options"), [("", {"task": "ast"}), ("hi", {})])
def test_where_nothing_is_to_be_made_of_it_the_draft_is_all(draft, options):
    recognizer, _ = drafted([draft], [], draft_alone=True)
    asked = RecognizeOptions(language="en", to="zh", **options)
    assert list(recognizer.stream(CLIP, asked, rate_hz=16_000)) == [draft] * bool(draft)


def test_another_language_is_streamed_with_whispers_own_translation():
    recognizer, network = drafted(["guten abend", "good evening"], [], draft_alone=True)
    asked = RecognizeOptions(language="de", task="ast")
    pieces = list(recognizer.stream(CLIP, asked, rate_hz=16_000))
    assert pieces == ["guten abend", "\n", "good evening"]
    assert network.asked == []


def test_silence_is_streamed_as_nothing():
    recognizer, _ = drafted([], [], draft_alone=True)
    asked = RecognizeOptions(task="asr_ast")
    assert list(recognizer.stream(np.zeros(80_000, np.float32), asked, rate_hz=16_000)) == []


def test_language_models_are_refused_where_a_text_is_streamed():
    recognizer, _ = drafted([], [])
    with pytest.raises(ConfigError, match="without language models"):
        recognizer.stream(CLIP, RecognizeOptions(fusion=object()), rate_hz=16_000)


def test_only_an_utterance_is_streamed():
    recognizer, _ = drafted([], [])
    with pytest.raises(AudioError, match="longer than 30 s"):
        recognizer.stream(np.zeros(31 * 16_000, np.float32), rate_hz=16_000)


def test_a_doubtful_translation_is_told():
    transcript, _ = listen(["how are you today"], ["How are you today"] * 2, task="ast", to="zh")
    assert "translation_language" in transcript.segments[0].warnings


def test_english_into_english_is_not_asked_for():
    transcript, network = listen(["good night"], ["Good night."], task="ast")
    assert transcript.segments[0].translation == "Good night."
    assert network.asked[0][0] == "asr"


def test_a_translation_that_is_missing_is_not_replaced_by_another_language():
    transcript, _ = listen(["how are you today"], ["", ""], task="ast", to="zh")
    [segment] = transcript.segments
    assert segment.translation in (None, "")
    assert "translation_empty" in segment.warnings


def test_other_languages_stay_whispers_and_that_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        transcript, network = listen(["guten abend", "good evening"], [], language="de", task="ast")
    [segment] = transcript.segments
    assert (segment.text, segment.translation) == ("guten abend", "good evening")
    assert network.asked == []
    assert "for German this is Whisper's own" in caplog.text


def test_hotwords_are_told_to_both():
    transcript, network = listen(["good knight"], ["Good night."], hotwords="night, day")
    assert transcript.text == "Good night."
    assert [one.phrase for one in network.hotwords] == ["night", "day"]


def test_silence_is_heard_by_neither():
    transcript, network = listen([], [], samples=np.zeros(80_000, np.float32))
    assert transcript.segments == ()
    assert network.asked == []


def test_a_language_that_it_does_not_translate_into_is_told():
    with pytest.raises(ConfigError, match="German"):
        listen(["good night"], [], task="ast", to="de")
    with pytest.raises(ConfigError, match="German"):
        listen(["guten abend"], [], language="de", task="ast", to="zh")


def test_the_words_of_another_text_get_the_times_of_these():
    words = [Word(0.0, 0.2, "你", 0.9), Word(0.2, 0.4, "豪，", 0.2), Word(0.5, 0.9, "再", 0.8)]
    found = retimed(words, "你好，再见", "zh")
    assert [(w.text, w.start_s, w.end_s) for w in found] == [
        ("你", 0.0, 0.2),
        ("好，", 0.2, 0.4),
        ("再", 0.5, 0.9),
        ("见", 0.9, 0.9),
    ]
    [first, second] = retimed([Word(0.0, 1.0, "新谷", 0.5)], "新股", "zh")
    assert (first.text, first.end_s, second.start_s, second.end_s) == ("新", 0.5, 0.5, 1.0)
    assert "".join(timed_pieces("a4纸，3.5%。", "zh")) == "a4纸，3.5%。"


def test_a_part_of_a_chunk_by_times_of_the_input():
    chunk = Chunk(np.arange(48_000, dtype=np.float32), ((16_000, 16_000), (64_000, 32_000)), 0.8)
    part = chunk.cut(1.5, 4.5)
    assert part.spans == ((24_000, 8_000), (64_000, 8_000))
    assert part.samples[0] == 8_000
    assert part.samples[8_000] == 16_000
    assert chunk.cut(2.5, 3.5) is chunk


def test_a_ctc_head_drafts():
    recognizer, network = by_ctc(["今", "天", "好"], ["A fine day."])
    options = RecognizeOptions(task="asr_ast", words=True)
    [segment] = recognizer.transcribe(CLIP, options, rate_hz=16_000).segments
    assert (segment.text, segment.translation) == ("今天好", "A fine day.")
    assert [word.text for word in segment.words] == ["今", "天", "好"]
    assert network.asked[0][0] == "ast"
    assert network.asked[0][2] == "今天好"
    assert segment.language == "zh"


def test_of_a_ctc_head_too_the_language_is_known_by_its_words():
    recognizer, network = by_ctc(["▁good", "▁day"], ["日安。"])
    said = recognizer.transcribe(CLIP, RecognizeOptions(task="ast", to="zh"), rate_hz=16_000)
    assert (said.text, said.translation) == ("good day", "日安。")
    assert said.language == "en"
    assert network.asked[0][0] == "ast_zh"


def test_what_the_llm_leaves_out_no_ctc_head_translates():
    recognizer, _ = by_ctc(["今", "天"], [""] * 5)
    [segment] = recognizer.transcribe(
        CLIP, RecognizeOptions(task="asr_ast"), rate_hz=16_000
    ).segments
    assert (segment.text, segment.translation or "") == ("今天", "")


def test_a_draft_by_ctc_is_streamed():
    recognizer, _ = by_ctc(["▁good", "▁day"], ["日安。"])
    options = RecognizeOptions(task="asr_ast", to="zh")
    assert "".join(recognizer.stream(CLIP, options, rate_hz=16_000)) == "good day\n日安。"
