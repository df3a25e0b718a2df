"""Recordings, interpreted: over a script and a voice that hums."""

import numpy as np
import pytest
from tests.infer.interpreters import RATE, HummingVoicing, Script, said, talk

from mooer.errors import ConfigError, DecodeError
from mooer.infer import RecognizeOptions
from mooer.infer.interpret import Interpreted, Interpreter, InterpretOptions, subtitles
from mooer.infer.mixing import UnderOptions
from mooer.infer.placing import PlaceOptions
from mooer.infer.verified import misheard

HELLO = said(1.0, 3.0, "大家好", "hello all of you")  # 1.6 s
LATE = said(6.0, 8.0, "很晚了", "it is late")  # 1.0 s
SOUND = talk(10.0, (1.0, 3.0), (6.0, 8.0))


class Heard:
    """An interpretation that was heard to its end."""

    def __init__(self, segments, sound=SOUND, voicing=None, **options):
        self.voicing = voicing or HummingVoicing()
        written = []
        interpreter = Interpreter(
            Script(segments).translate, self.voicing, InterpretOptions(**options)
        )
        self.run = interpreter.run(sound, written.append, RecognizeOptions(language="zh"))
        self.sentences = list(self.run)
        self.sound = np.concatenate(written) if written else np.zeros(0, np.float32)

    def level(self, start_s, end_s):
        return float(np.abs(self.sound[round(start_s * RATE) : round(end_s * RATE)]).mean())

    @property
    def times(self):
        return [(one.start_s, one.end_s) for one in self.sentences]


def test_a_translation_is_heard_where_its_sentence_is():
    heard = Heard([HELLO, LATE])
    assert heard.times == [(1.0, 2.6), (6.0, 7.0)]
    assert len(heard.sound) == 10 * RATE
    assert heard.level(1.05, 2.55) == heard.level(6.05, 6.95) == pytest.approx(0.3)
    assert heard.level(0.0, 0.99) == heard.level(2.61, 5.99) == heard.level(7.01, 10.0) == 0.0
    assert heard.run.duration_s == 10.0
    assert heard.run.warnings == []


def test_or_behind_it():
    heard = Heard([HELLO, LATE], place=PlaceOptions(align="end"))
    assert heard.times == [(3.0, 4.6), (8.0, 9.0)]
    assert [one.lag_s for one in heard.sentences] == [0.0, 0.0]


def test_what_does_not_fit_is_sped_up_and_then_delays_the_next():
    long = said(1.0, 3.0, "很长", "x" * 70)  # 7 s in a room of 5.35
    heard = Heard([long, LATE])
    first, second = heard.sentences
    assert first.speed == pytest.approx(1.3, abs=0.01)
    assert first.end_s == pytest.approx(1.0 + 7 / 1.3, abs=0.05)
    assert second.start_s == pytest.approx(first.end_s + 0.15, abs=0.002)
    assert second.speed == 1.0


def test_the_pace_of_the_voice_is_learned():
    segments = [said(3.0 * i, 3.0 * i + 2, "好", "x" * 33) for i in range(1, 12)]
    heard = Heard(segments, talk(40.0, (3.0, 38.0)))
    asked = [speed for _, speed in heard.voicing.asked]
    assert len(asked) <= len(segments) + 2  # few are spoken twice
    assert all(1.0 <= one.speed <= 1.3 for one in heard.sentences)
    assert max(one.start_s - one.segment.start_s for one in heard.sentences) < 1.5


def test_the_original_under_it():
    heard = Heard([HELLO], under=UnderOptions(under_db=-20.0, rest_db=0.0))
    assert heard.level(6.1, 7.9) == pytest.approx(0.25, rel=0.1)  # nothing is said over it
    loud = np.abs(heard.sound[round(1.5 * RATE) : round(2.5 * RATE)] - 0.3).mean()
    assert loud == pytest.approx(0.025, rel=0.2)


def test_what_is_in_the_language_already_is_heard_as_it_was_spoken():
    english = said(1.0, 3.0, "good morning", "good morning", "en")
    heard = Heard([english, LATE])
    assert [one.outcome for one in heard.sentences] == ["kept", "spoken"]
    assert heard.voicing.asked == [("it is late", 1.0)]
    assert heard.level(1.2, 2.9) == pytest.approx(0.25, rel=0.1)
    assert heard.run.warnings == []


def test_all_of_it_in_the_language_already():
    heard = Heard([said(1.0, 3.0, "good morning", "good morning", "en")])
    assert heard.run.warnings == [
        "all that was said is English already: it is heard as it was spoken"
    ]


def test_silence_is_silence():
    heard = Heard([], np.zeros(5 * 16_000, np.float32))
    assert heard.sentences == []
    assert len(heard.sound) == 5 * RATE
    assert not heard.sound.any()


def test_a_sentence_that_cannot_be_said_does_not_end_it():
    heard = Heard([HELLO, LATE], voicing=HummingVoicing(fails=["hello"]))
    first, second = heard.sentences
    assert (first.outcome, first.reason) == ("unsaid", "it could not be spoken")
    assert second.outcome == "spoken"
    assert heard.run.warnings == ["1 sentence was left unsaid: it could not be spoken"]


def test_a_speaker_that_says_nothing_ends_it():
    segments = [said(float(i), i + 0.5, "好", "hello") for i in range(9)]
    with pytest.raises(DecodeError, match="5 sentences"):
        Heard(segments, talk(10.0, (0.1, 9.0)), HummingVoicing(fails=["hello"]))


def test_a_sentence_without_translation_is_told():
    heard = Heard([said(1.0, 3.0, "大家好", None), said(3.5, 4.0, "", ""), LATE])
    assert [one.outcome for one in heard.sentences] == ["unsaid", "spoken"]
    assert heard.run.warnings == ["1 sentence was left unsaid: it was not translated"]


def test_who_falls_behind_leaves_sentences_out():
    segments = [said(float(i), i + 0.9, "好", "x" * 40) for i in range(1, 30)]
    heard = Heard(segments, talk(31.0, (1.0, 30.0)), place=PlaceOptions(max_lag_s=6.0))
    spoken = [one for one in heard.sentences if one.outcome == "spoken"]
    assert 0 < len(spoken) < len(segments)
    assert max(one.start_s - one.segment.start_s for one in spoken) <= 6.0
    assert "too late" in heard.run.warnings[0]
    assert len(heard.sound) / RATE < 31.0 + 6.0 + 40 * 0.1


def test_a_long_recording_is_written_in_short_blocks():
    written = []
    voicing = HummingVoicing()
    segments = [said(60.0 * i + 1, 60.0 * i + 3, "好", "hello") for i in range(10)]
    sound = np.concatenate([talk(60.0, (1.0, 3.0))] * 10)
    interpreter = Interpreter(Script(segments).translate, voicing)
    run = interpreter.run(sound, lambda samples: written.append(len(samples)))
    assert len(list(run)) == 10
    assert max(written) <= 5 * RATE
    assert sum(written) == 600 * RATE


def test_a_run_that_is_left_lets_go_of_its_input():
    script = Script([HELLO, LATE])
    run = Interpreter(script.translate, HummingVoicing()).run(SOUND, lambda _: None)
    sentences = iter(run)
    assert next(sentences).start_s == 1.0
    sentences.close()
    assert run.duration_s > 0


def test_subtitles_have_the_times_of_the_translation():
    heard = Heard([HELLO, LATE], place=PlaceOptions(align="end"))
    translated = subtitles(heard.sentences, "en", bilingual=False)
    assert [(s.start_s, s.end_s, s.text, s.language) for s in translated] == [
        (3.0, 4.6, "hello all of you", "en"),
        (8.0, 9.0, "it is late", "en"),
    ]
    assert translated[0].words[0].text == "hello all of you"
    both = subtitles(heard.sentences, "en", bilingual=True)
    assert [(s.start_s, s.text, s.translation) for s in both][1] == (8.0, "很晚了", "it is late")
    transcript = heard.run.transcript(heard.sentences)
    assert [s.start_s for s in transcript.segments] == [1.0, 6.0]
    assert (transcript.task, transcript.translation_language) == ("ast", "en")


def test_words_of_later_clauses_follow_the_first():
    heard = Heard([said(1.0, 3.0, "大家好", "hello,all")])
    assert [(w.text, w.start_s, w.end_s) for w in heard.sentences[0].words] == [
        ("hello", 1.0, 1.5),
        ("all", 1.5, 1.8),
    ]


def test_an_unsaid_sentence_without_a_translation_is_no_subtitle():
    one = Interpreted(said(1.0, 2.0, "好", None), 1.0, 1.0, "unsaid")
    assert subtitles([one], "en", bilingual=False) == ()
    assert subtitles([one], "en", bilingual=True)[0].text == "好"


def test_a_speed_that_nobody_speaks_at():
    with pytest.raises(ConfigError, match=r"0\.5 to 2"):
        InterpretOptions(speed=3.0)


@pytest.mark.real
def test_real_speech_is_spoken_in_the_other_language(model, examples):
    from mooer.infer.interpret import translations_by
    from mooer.infer.speaking import voicing_in
    from mooer.speak import load_speaker

    voicing = voicing_in(load_speaker("kokoro-82m"), "zh")
    written = []
    interpreter = Interpreter(translations_by(model), voicing)
    options = RecognizeOptions(language="en", to="zh")
    run = interpreter.run(str(examples / "en.flac"), written.append, options)
    sentences = list(run)
    assert {one.outcome for one in sentences} == {"spoken"}
    assert all(one.start_s >= one.segment.start_s for one in sentences)
    assert all(one.words for one in sentences)
    sound = np.concatenate(written)
    assert len(sound) / interpreter.rate_hz >= run.run.wave.num_samples / 16_000
    heard = model.transcribe(sound, rate_hz=interpreter.rate_hz, language="zh").text
    written_down = "".join(one.segment.translation or "" for one in sentences)
    assert misheard(written_down, heard, "zh") < 0.25, (written_down, heard)
