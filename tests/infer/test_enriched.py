"""Labels of segments, and events where nobody speaks, by an enricher that tells from loudness."""

from dataclasses import replace

import numpy as np
import pytest
from tests.fakes import LoudnessVad, ScriptedWhisper, speech

from mooer.audio.vad import Span
from mooer.errors import ConfigError
from mooer.infer.enriched import PIECE_S, Enrichment
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk
from mooer.infer.recognizer import Recognizer
from mooer.transcript import Event, Label, Segment

RATE = 16_000
HUM = 0.004  # too soft for the VAD; to the enricher it is music
RICH = RecognizeOptions(rich=True)


class Ears:
    """Hears music where it hums, and that all who speak are happy women."""

    def __init__(self):
        self.heard = []  # (start, seconds of sound, text) of each call

    def enrich(self, samples, segment):
        self.heard.append((segment.start_s, len(samples) / RATE, segment.text))
        loud = np.flatnonzero(np.abs(samples) > 1e-4)
        events = [Event(segment.start_s, segment.end_s, "speech", 1.0)]
        if len(loud) and np.abs(samples).max() <= 0.01:
            start, end = loud[0] / RATE, (loud[-1] + 1) / RATE
            events.append(Event(segment.start_s + start, segment.start_s + end, "music", 0.8))
        return replace(
            segment,
            emotion=Label("happy", 0.9),
            gender=Label("female", 0.7),
            age=Label("adult", 0.6),
            events=tuple(events),
            language_probability=0.99,
        )


def recognizer(*texts, ears=None):
    made = Recognizer(ScriptedWhisper(texts), LoudnessVad(), name="fake", versions={})
    if ears is not None:
        made.make_enricher = lambda: ears
    return made


def transcribe(sound, *texts, options=RICH, ears=None):
    made = recognizer(*texts, ears=ears or Ears())
    return made.transcribe(sound, options, rate_hz=RATE)


def test_segments_get_labels_and_silence_gets_events():
    sound = speech((2, HUM), (1, 0), (2, 0.5), (1, 0), (3, HUM))
    before, said, after = transcribe(sound, "we are here").segments
    assert (said.text, said.emotion.name, said.language_probability) == (
        "we are here",
        "happy",
        0.99,
    )
    assert (said.gender, said.age) == (None, None)  # not asked for
    assert [event.name for event in said.events] == ["speech"]
    assert (before.text, before.language, before.emotion) == ("", "und", None)
    assert [event.name for event in before.events] == ["music"]
    assert (before.start_s, before.end_s) == pytest.approx((0, 2), abs=0.01)
    assert (after.start_s, after.end_s) == pytest.approx((6, 9), abs=0.05)


def test_events_without_words_do_not_choose_the_language():
    transcript = transcribe(speech((4, HUM), (1, 0)))
    assert (transcript.language, transcript.text) == ("und", "")
    assert len(transcript.segments) == 1


def test_gender_and_age_only_if_asked():
    sound = speech((2, 0.5), (1, 0), (3, HUM))
    (said,) = transcribe(sound, "a", options=RecognizeOptions(gender=True)).segments
    assert (said.gender.name, said.age, said.emotion, said.events) == ("female", None, None, None)
    both = RecognizeOptions(rich=True, age=True)
    said, music = transcribe(sound, "a", options=both).segments
    assert (said.gender, said.age.name, said.emotion.name) == (None, "adult", "happy")
    assert music.age is None


def test_without_an_enricher_one_clear_error():
    with pytest.raises(ConfigError, match="fake does not tell emotions and events and age: ask"):
        recognizer().run(speech((1, 0.5)), replace(RICH, age=True), rate_hz=RATE)
    told = recognizer("it is so")
    told.is_rich = True
    assert told.transcribe(speech((1, 0.5)), RICH, rate_hz=RATE).text == "it is so"
    with pytest.raises(ConfigError, match="fake does not tell gender: ask without gender,"):
        told.run(speech((1, 0.5)), RecognizeOptions(gender=True), rate_hz=RATE)


def test_an_enricher_is_made_once_and_only_if_needed():
    made = recognizer("a", "b", "c")
    calls = []
    made.make_enricher = lambda: calls.append(1) or Ears()
    for options in (RecognizeOptions(), RICH, RICH):
        made.transcribe(speech((1, 0.5), (1, 0)), options, rate_hz=RATE)
    assert calls == [1]


def test_what_a_recogniser_tells_itself_stays():
    chunk = Chunk(speech((2, 0.5)), ((0, 2 * RATE),), 1.0)
    cry = (Event(0.5, 1.0, "cry", 0.9),)
    own = Segment(0, 2, "no", "en", emotion=Label("sad", 0.8), events=cry)
    (found,) = Enrichment(Ears(), RICH).segments(chunk, [own])
    assert (found.emotion.name, found.events) == ("sad", cry)


def test_long_silence_is_heard_in_pieces_and_not_kept():
    ears = Ears()
    enrichment = Enrichment(ears, RICH)
    held = []

    def blocks():
        for _ in range(30):
            held.append(len(enrichment._held) / RATE)
            yield speech((10, HUM))

    assert list(enrichment.spans(iter_spans(enrichment, blocks()))) == []
    assert max(held) < 80
    assert len(ears.heard) == pytest.approx(300 / PIECE_S, abs=1)
    (music,) = enrichment.rest()  # told once, though it was heard in pieces
    assert [event.name for event in music.events] == ["music"]
    assert (music.start_s, music.end_s) == pytest.approx((0, 300), abs=0.1)


def iter_spans(enrichment, blocks):
    """A VAD that reads all and finds nothing."""
    for _ in enrichment.blocks(blocks):
        pass
    return iter(())


def test_events_in_speech_without_silences_are_moved_to_their_times():
    class Late(Ears):
        def enrich(self, samples, segment):
            laugh = Event(segment.start_s + 1.5, segment.start_s + 2.5, "laughter", 0.9)
            return replace(segment, events=(laugh,))

    sound = speech((3, 0.5))
    chunk = Chunk(sound, ((RATE, RATE), (5 * RATE, 2 * RATE)), 1.0)  # 1-2 s and 5-7 s
    (found,) = Enrichment(Late(), RICH).segments(chunk, [Segment(1, 7, "ha", "en")])
    assert [(e.start_s, e.end_s) for e in found.events] == [(5.5, 6.5)]


def test_an_event_between_the_spans_of_a_segment_belongs_to_it():
    enrichment = Enrichment(Ears(), RICH)
    sound = speech((2, 0.5), (2, HUM), (2, 0.5))
    spans = [Span(0, sound[: 2 * RATE], 1.0), Span(4 * RATE, sound[4 * RATE :], 1.0)]

    def read():
        for _ in enrichment.blocks([sound]):
            yield from spans

    assert len(list(enrichment.spans(read()))) == 2
    chunk = Chunk(
        np.concatenate([span.samples for span in spans]), ((0, 2 * RATE), (4 * RATE, 2 * RATE)), 1.0
    )
    (found,) = enrichment.segments(chunk, [Segment(0, 6, "one", "en")])
    assert [event.name for event in found.events] == ["speech", "music"]


def test_speech_of_which_nothing_was_written_is_heard():
    class Crowd(Ears):
        def enrich(self, samples, segment):
            self.heard.append((round(segment.start_s, 2), round(len(samples) / RATE, 2)))
            if segment.text:
                return segment
            return replace(
                segment, events=(Event(segment.start_s, segment.end_s, "applause", 0.9),)
            )

    ears = Crowd()
    chunk = Chunk(speech((6, 0.5)), ((0, 6 * RATE),), 1.0)
    said = [Segment(1.0, 3.0, "a", "en"), Segment(3.1, 6.0, "b", "en")]
    found = Enrichment(ears, RICH).segments(chunk, said)
    assert [(s.start_s, s.text) for s in found] == [(0.0, ""), (1.0, "a"), (3.1, "b")]
    assert (0.0, 1.0) in ears.heard
    assert not any(start == 3.0 for start, _ in ears.heard)  # too short to ask about


def test_many_segments_stay_in_order():
    pattern = [(1.0, HUM), (0.6, 0), (2.0, 0.5), (0.6, 0)] * 8
    transcript = transcribe(
        speech(*pattern), *"abcdefgh", options=replace(RICH, max_chunk_s=3.0, batch_size=2)
    )
    assert "".join(transcript.text.split()) == "abcdefgh"
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == sorted(starts)
    assert [bool(s.text) for s in transcript.segments] == [False, True] * 8
