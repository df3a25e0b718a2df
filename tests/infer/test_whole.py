"""What is told at the end of a recording: word times of an aligner, speakers, and numbers last."""

from types import SimpleNamespace

import numpy as np
import pytest
from tests.fakes import LetterCtc, LoudnessVad, ScriptedWhisper, speech

from mooer.audio.wave import write_wave
from mooer.errors import ConfigError
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.recognizer import Recognizer
from mooer.infer.whole import Extras, transcribe_whole
from mooer.subtitles.rttm import Turn


class Diary:
    """Tells the same turns of every recording; notes how much of it was heard."""

    def __init__(self, *turns):
        self.turns = tuple(Turn(*turn) for turn in turns)
        self.num_samples = 0
        self.asked = []

    def listen(self):
        return self

    def push(self, samples):
        self.num_samples += len(samples)

    def finish(self, num_speakers):
        self.asked.append(num_speakers)
        return SimpleNamespace(turns=self.turns, warnings=("one voice is doubtful",))


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "a.wav"
    write_wave(path, speech((0.5, 0), (4, 0.5), (0.5, 0)))
    return str(path)


def recognizer(text):
    return Recognizer(ScriptedWhisper([text]), LoudnessVad(), name="fake", versions={})


def test_speakers_are_heard_while_it_is_read_and_divide_at_spoken_words(clip):
    diary = Diary((0.5, 2.5, "S1"), (2.5, 5.0, "S2"))
    found = transcribe_whole(
        recognizer("i have twenty two cats and fifty dogs"),
        clip,
        RecognizeOptions(itn=True, punctuate=True),
        Extras(diarizer=diary, num_speakers=2),
    )
    assert [(s.speaker, s.text) for s in found.segments] == [
        ("S1", "I have 22"),
        ("S2", "cats and 50 dogs."),
    ]
    assert all(segment.words is None for segment in found.segments)
    assert diary.num_samples == 5 * 16_000
    assert diary.asked == [2]
    assert found.warnings == ("one voice is doubtful",)
    assert found.render("rttm").count("SPEAKER a 1 ") == 2


def test_words_are_kept_if_they_are_asked_for(clip):
    options = RecognizeOptions(words=True, itn=True)
    diary = Diary((0.0, 5.0, "S1"))
    (one,) = transcribe_whole(
        recognizer("twenty two cats"), clip, options, Extras(diarizer=diary)
    ).segments
    assert (one.text, [word.text for word in one.words]) == ("22 cats", ["twenty", "two", "cats"])


def test_an_aligner_times_the_words_anew(tmp_path):
    model = LetterCtc()
    samples, said = model.say([0.6, "we", "have", "two", "dogs", 0.6])
    path = tmp_path / "said.wav"
    write_wave(path, samples)
    loud = np.abs(samples).mean()
    assert loud > 0.01  # for the VAD that hears loudness
    options = RecognizeOptions(words=True, punctuate=True)
    found = transcribe_whole(
        recognizer("we have two dogs"), str(path), options, Extras(aligner=model)
    )
    words = [word for segment in found.segments for word in segment.words]
    assert " ".join(word.text for word in words) == "We have two dogs."
    for word, (_, start_s, end_s) in zip(words, said, strict=True):
        assert (word.start_s, word.end_s) == pytest.approx((start_s, end_s), abs=0.05)


def test_standard_input_is_not_read_twice():
    with pytest.raises(ConfigError, match="save it to a file first"):
        transcribe_whole(recognizer("a"), "-", RecognizeOptions(), Extras(aligner=LetterCtc()))
