"""Labels into segments: in the time of the input, nothing made up."""

import numpy as np

from mooer.engines.rich import Labels
from mooer.infer.rich import RichEnricher
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


def told(segment, *loud_s):
    samples = np.full(round((segment.end_s - segment.start_s) * RATE), 0.01, np.float32)
    for at_s in loud_s:
        samples[round((at_s - segment.start_s) * RATE)] = 1.0
    fake = Fake()
    return RichEnricher(fake).enrich(samples, segment), fake.seconds


def test_a_segment_is_told_in_the_time_of_the_input():
    one, seconds = told(Segment(0.5, 3.0, "a", "en"), 2.0)
    assert seconds == [2.5]
    assert one.emotion == Label("sad", 0.6)
    assert (one.gender, one.age) == (Label("female", 0.99), Label("adult", 0.8))
    assert one.events == (Event(2.0, 2.5, "cry", 0.8),)  # that it is speech goes without saying


def test_sure_of_a_language_is_who_heard_it_for_long_enough():
    assert told(Segment(0.0, 2.5, "a", "en"))[0].language_probability == 0.7
    assert told(Segment(0.0, 1.5, "a", "en"))[0].language_probability is None
    assert told(Segment(0.0, 2.5, "b", "zh"))[0].language_probability is None
    known = Segment(0.0, 2.5, "b", "en", language_probability=0.4)
    assert told(known)[0].language_probability == 0.4


def test_too_little_sound_gets_no_label():
    one, seconds = told(Segment(0.0, 0.2, "a", "en"))
    assert (one.emotion, one.events, one.text, seconds) == (None, (), "a", [])


def test_a_long_segment_is_heard_in_parts():
    one, seconds = told(Segment(10.0, 75.0, "a", "en"), 50.0)
    assert seconds == [30.0, 30.0, 5.0]
    assert one.events == (Event(50.0, 50.5, "cry", 0.8),)
