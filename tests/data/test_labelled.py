"""Batches of labels: units frame by frame, classes and events, what is not known, what is wrong."""

import numpy as np
import pytest

from mooer.batch import IGNORE
from mooer.data.collate import Failure, Features
from mooer.data.labelled import LabelCollator
from mooer.data.stages import Example
from mooer.data.supervision import Utterance
from mooer.errors import AudioError, ManifestError
from mooer.text.units import Units

UNITS = Units(("你", "好", "▁ab", "c"), (-1.0,) * 4, ("ni3", "hao3", "", ""))
NI, HAO, AB, C = 1, 2, 3, 4


class Reader:
    """Ten features a recording, or a failure."""

    def __call__(self, examples):
        return [
            Failure(e.utterance.id, "no sound")
            if e.utterance.id == "bad"
            else (Features(np.ones((20, 3), np.float32), 3200),)
            for e in examples
        ]


def collator(**options):
    chosen = {"classes": {"gender": ("female", "male")}, "events": ("cry", "rain"), **options}
    return LabelCollator(Reader(), lambda num: (num + 1) // 2, 0.02, UNITS, **chosen)


def example(id="u", **fields):
    return Example(Utterance(id, "a.wav", duration_s=0.2, **fields))


def frames(words, speed=1.0):
    made = Example(Utterance("u", "a.wav", duration_s=0.2, extra={"words": words}), speed=speed)
    return collator()([made]).frame_units[0].tolist()


def test_what_is_known_and_what_is_not():
    one = example(text="你好 abc", gender="male", event="cry, rain")
    batch = collator()([one, example("v", event="none"), example("w", text="5")])
    assert batch.features.shape == (3, 20, 3)
    assert batch.mask.all()
    assert batch.units == ((NI, HAO, AB, C), None, None)
    assert batch.classes["gender"].tolist() == [1, IGNORE, IGNORE]
    assert batch.events[:2].tolist() == [[1, 1], [0, 0]]
    assert batch.events[2].isnan().all()
    assert (batch.frame_units == IGNORE).all()
    assert batch.texts == ("你好 abc", None, "5")


def test_each_frame_has_the_unit_said_in_its_middle():
    found = frames([["你", 0.02, 0.06], ["abc", 0.08, 0.2]])
    assert found == [0, NI, NI, 0, AB, AB, AB, AB, C, C]


def test_times_follow_the_speed():
    assert frames([["你", 0.04, 0.12]], speed=2.0) == [0, NI, NI, 0, 0, 0, 0, 0, 0, 0]


def test_a_unit_that_comes_twice_is_heard_twice():
    assert frames([["你", 0.0, 0.06], ["你", 0.06, 0.12]]) == [NI] * 3 + [0] + [NI] * 2 + [0] * 4


def test_a_word_without_units_teaches_nothing():
    assert frames([["你", 0.0, 0.1], ["24", 0.1, 0.2]]) == [NI] * 5 + [IGNORE] * 5


def test_wrong_rows_are_refused_or_left_out(caplog):
    for wrong, told in (
        (example(gender="cat"), "u: its gender 'cat' is none of female, male"),
        (example(event="cry,boom"), "its event 'boom' is none of"),
        (example(extra={"words": [["a", "b"]]}), r"words of u are not \[\[word"),
    ):
        with pytest.raises(ManifestError, match=told):
            collator()([wrong])
    with pytest.raises(AudioError, match="bad: no sound"):
        collator()([example("bad")])
    lenient = collator(on_error="skip")
    assert lenient([example("bad"), example(gender="cat"), example("good")]).keys == ("good",)
    assert lenient.skipped.total() == 2
    with pytest.raises(AudioError, match="none of 1"):
        lenient([example("bad")])
