"""Labels into segments: in the time of the input, of little memory, nothing made up."""

import numpy as np
import pytest

from mooer.engines.rich import Labels
from mooer.infer.rich import RichOptions, enrich
from mooer.transcript import Event, Label, Segment

RATE = 16_000


class Fake:
    """Hears a cry of half a second in the middle of what is loud, and speech everywhere."""

    def __init__(self):
        self.seconds = []

    def tell(self, samples):
        self.seconds.append(round(len(samples) / RATE, 3))
        end_s = len(samples) / RATE
        events = [Event(0.0, end_s, "speech", 0.9)]
        if len(samples) and np.abs(samples).max() > 0.5:
            at_s = float(np.abs(samples).argmax()) / RATE
            events.append(Event(at_s, at_s + 0.5, "cry", 0.8))
        labels = Labels(
            Label("en", 0.7), Label("sad", 0.6), Label("female", 0.99), Label("adult", 0.8)
        )
        return labels, tuple(events)


def blocks(seconds, *loud_s, size_s=1.0):
    samples = np.full(round(seconds * RATE), 0.01, np.float32)
    for at_s in loud_s:
        samples[round(at_s * RATE)] = 1.0
    step = round(size_s * RATE)
    return (samples[i : i + step] for i in range(0, len(samples), step))


def told(segments, sound, options=None):
    fake = Fake()
    return list(enrich(segments, sound, fake, options)), fake


@pytest.mark.parametrize("size_s", [0.3, 1.0, 100.0])
def test_segments_are_told_in_the_time_of_the_input(size_s):
    segments = [
        Segment(0.5, 3.0, "a", "en"),
        Segment(3.2, 4.0, "b", "zh", language_probability=0.4),
    ]
    (one, other), fake = told(segments, blocks(4.5, 2.0, 3.5, size_s=size_s))
    assert fake.seconds == [2.5, 0.8]
    assert one.emotion == Label("sad", 0.6)
    assert one.events == (Event(2.0, 2.5, "cry", 0.8),)
    assert one.language_probability == 0.7
    assert (one.gender, one.age) == (None, None)
    assert other.events == (Event(3.5, 4.0, "cry", 0.8),)
    assert other.language_probability == 0.4


def test_what_was_not_asked_for_is_not_told():
    segments = [Segment(0.0, 1.5, "a", "zh")]
    options = RichOptions(emotion=False, events=False, gender=True, age=True)
    [one], fake = told(segments, blocks(9, 1.0, 5.0), options)
    assert (one.emotion, one.events, one.language_probability) == (None, None, None)
    assert (one.gender, one.age) == (Label("female", 0.99), Label("adult", 0.8))
    assert fake.seconds == [1.5]


def test_where_nobody_speaks_events_are_segments_of_their_own():
    segments = [Segment(5.0, 6.0, "a", "en")]
    (before, spoken, after), fake = told(segments, blocks(70, 2.0, 60.0))
    assert (before.start_s, before.end_s, before.text, before.language) == (2.0, 2.5, "", "und")
    assert before.events == (Event(2.0, 2.5, "cry", 0.8),)
    assert spoken.events == ()
    assert (after.start_s, after.events[0].name) == (60.0, "cry")
    assert fake.seconds == [5.0, 1.0, 30.0, 30.0, 4.0]
    assert len(told(segments, blocks(70, 2.0, 60.0), RichOptions(silences=False))[0]) == 1


def test_too_little_sound_gets_no_label():
    segments = [Segment(0.0, 0.2, "a", "en"), Segment(5.0, 6.0, "b", "en")]
    (one, other), fake = told(segments, blocks(0.9))
    assert (one.emotion, one.events) == (None, ())
    assert (other.emotion, other.text) == (None, "b")
    assert fake.seconds == []


def test_a_long_segment_is_heard_in_parts():
    (one,), fake = told([Segment(0.0, 65.0, "a", "en")], blocks(65, 40.0))
    assert fake.seconds == [30.0, 30.0, 5.0]
    assert one.events == (Event(40.0, 40.5, "cry", 0.8),)


def test_memory_stays_small():
    live = []

    def sound():
        for _ in range(600):
            live.append(1)
            yield np.zeros(RATE, np.float32)

    segments = (Segment(i * 10.0, i * 10.0 + 9.5, "a", "en") for i in range(60))
    for number, _ in enumerate(enrich(segments, sound(), Fake())):
        assert len(live) <= 10 * (number + 1)
