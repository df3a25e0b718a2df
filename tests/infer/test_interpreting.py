"""Streams, interpreted: over a script, a voice that hums and a clock that is moved by hand."""

import threading
from concurrent.futures import Executor, Future
from dataclasses import replace

import pytest
from tests.infer.interpreters import HummingVoicing
from tests.infer.streams import Clock, ScriptEar, open_session, sound, talk

from mooer.errors import ConfigError, DecodeError
from mooer.infer import Final, Said
from mooer.infer.interpret import InterpretOptions
from mooer.infer.interpreting import LiveInterpreter, LlmTranslation, Translated, Unsaid, Voiced
from mooer.infer.placing import PlaceOptions
from mooer.transcript import Segment

SCRIPT = talk("good morning to all of you.") + talk("it is late", 4.5)
SOUND = sound(9.0, (0.5, 2.9), (4.5, 5.7))
TALKED = "good morning to all of you."


class AtOnce(Executor):
    """Does all work while it is asked for it."""

    def submit(self, function, *arguments):
        done = Future()
        done.set_result(function(*arguments))
        return done


def in_capitals(_chunk, segment):
    return replace(segment, translation=segment.text.upper())


def interpreter(voicing=None, *, script=SCRIPT, translate=in_capitals, to="zh", **options):
    clock = options.pop("clock", Clock())
    executor = options.pop("executor", AtOnce())
    return LiveInterpreter(
        lambda instead: open_session(ScriptEar(script), translate=instead(translate), clock=clock),
        voicing or HummingVoicing(),
        to,
        InterpretOptions(**options),
        executor=executor,
        clock=clock,
    )


def blocks(samples=SOUND, seconds=0.1):
    size = round(seconds * 16_000)
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def test_sentences_are_told_translated_and_heard():
    with interpreter() as stream:
        events = list(stream.follow(blocks()))
    kinds = [type(event) for event in events if isinstance(event, Said | Translated | Voiced)]
    assert kinds == [Said, Translated, Voiced] * 2
    assert [one.segment.translation for one in of(Translated, events)] == [
        TALKED.upper(),
        "IT IS LATE",
    ]
    first, second = of(Voiced, events)
    assert first.segment.end_s <= first.start_s == pytest.approx(3.5, abs=0.3)
    assert first.end_s == pytest.approx(first.start_s + 2.7, abs=0.01)
    assert second.start_s >= first.end_s
    assert 0 < second.lag_s < 2.0
    assert of(Final, events)  # and the words, as always


def test_a_sound_waits_for_the_one_before():
    script = talk("good morning to all of you.") + talk("hi", 4.0)
    with interpreter(script=script) as stream:
        events = list(stream.follow(blocks(sound(8.0, (0.5, 2.9), (4.0, 4.4)))))
    first, second = of(Voiced, events)
    assert second.start_s == pytest.approx(first.end_s + 0.15, abs=0.002)
    assert second.start_s > 5.0


def test_clauses_are_told_one_by_one():
    def listed(_chunk, segment):
        return replace(segment, translation="one,two")

    with interpreter(translate=listed) as stream:
        events = list(stream.follow(blocks()))
    voiced = of(Voiced, events)
    assert [(one.spoken.text, one.is_first) for one in voiced] == [
        ("one", True),
        ("two", False),
    ] * 2
    assert voiced[1].start_s == pytest.approx(voiced[0].end_s, abs=0.002)


def test_who_has_much_to_say_speaks_faster_and_leaves_out_what_is_too_late():
    texts = [f"word{i} x." for i in range(12)]
    script = [word for i, text in enumerate(texts) for word in talk(text, 0.5 + 1.5 * i)]
    spans = [(0.5 + 1.5 * i, 1.3 + 1.5 * i) for i in range(12)]

    def at_length(_chunk, segment):
        return replace(segment, translation="x" * 40)

    stream = interpreter(script=script, translate=at_length, place=PlaceOptions(max_lag_s=6.0))
    with stream:
        events = list(stream.follow(blocks(sound(20.0, *spans))))
    voiced, unsaid = of(Voiced, events), of(Unsaid, events)
    speeds = [one.speed for one in voiced]
    assert speeds[0] == 1.0
    assert max(speeds) == 1.6
    assert unsaid
    assert {one.reason for one in unsaid} == {"it came too late"}
    assert len(voiced) + len(unsaid) == len(of(Said, events))
    assert max(one.lag_s for one in voiced) < 6.0 + 1.0


def test_what_was_said_in_the_language_is_not_said_again():
    with interpreter(to="en") as stream:
        events = list(stream.follow(blocks()))
    assert not of(Voiced, events)
    assert {one.reason for one in of(Unsaid, events)} == {"it was said in that language"}


def test_a_sentence_that_cannot_be_said_or_translated():
    with interpreter(HummingVoicing(fails=["LATE"])) as stream:
        events = list(stream.follow(blocks()))
    assert [one.segment.text for one in of(Voiced, events)] == [TALKED]
    assert [one.reason for one in of(Unsaid, events)] == ["it could not be spoken"]
    with interpreter(translate=lambda _chunk, segment: segment) as stream:
        events = list(stream.follow(blocks()))
    assert {one.reason for one in of(Unsaid, events)} == {"it was not translated"}


def test_a_translation_that_fails_leaves_its_sentence_unsaid():
    def fails(_chunk, _segment):
        raise DecodeError("the model says nothing")

    with interpreter(translate=fails) as stream:
        events = list(stream.follow(blocks()))
    assert [one.reason for one in of(Unsaid, events)] == ["it was not translated"] * 2


def test_the_words_of_the_next_sentence_are_heard_while_one_is_translated():
    may_go_on = threading.Event()

    def slow(_chunk, segment):
        assert may_go_on.wait(10)
        return in_capitals(_chunk, segment)

    with interpreter(translate=slow, executor=None) as stream:
        heard = [event for block in blocks() for event in stream.push(block)]
        assert len(of(Said, heard)) == 2
        assert not of(Voiced, heard)
        may_go_on.set()
        rest = stream.flush()
    assert len(of(Voiced, rest)) == 2


def test_an_error_of_the_other_thread_is_raised():
    def fails(_chunk, _segment):
        raise ConfigError("no translation")

    with (
        interpreter(translate=fails, executor=None) as stream,
        pytest.raises(ConfigError, match="no translation"),
    ):
        list(stream.follow(blocks()))


def test_who_leaves_ends_the_thread():
    begun, may_go_on = threading.Event(), threading.Event()

    class Slow(HummingVoicing):
        def voice(self, pieces, **options):
            begun.set()
            assert may_go_on.wait(10)
            yield from super().voice(pieces, **options)

    voicing = Slow()
    stream = interpreter(voicing, executor=None)
    for block in blocks():
        stream.push(block)
    assert begun.wait(10)
    threading.Timer(0.05, may_go_on.set).start()
    stream.close()
    assert len(voicing.asked) == 1  # the second sentence was given up
    assert "interpret" not in {one.name.split("_")[0] for one in threading.enumerate()}


def test_a_clock_that_is_ahead_of_the_stream_tells_the_time():
    clock = Clock()
    with interpreter(clock=clock) as stream:
        for block in blocks(SOUND[: 16_000 * 3]):
            stream.push(block)
        clock.now_s = 7.0  # hearing took its time
        [voiced] = of(Voiced, stream.flush())
    assert voiced.start_s == 7.0


def test_a_translation_that_took_too_long_is_shown_and_not_heard():
    clock = Clock()

    def slow(chunk, segment):
        clock.now_s += 20.0
        return in_capitals(chunk, segment)

    with interpreter(clock=clock, translate=slow) as stream:
        events = list(stream.follow(blocks(SOUND[: 16_000 * 4])))
    assert [one.segment.translation for one in of(Translated, events)] == [TALKED.upper()]
    assert [one.reason for one in of(Unsaid, events)] == ["it came too late"]
    assert not of(Voiced, events)


def test_what_is_loaded_late_is_loaded_before_the_first_sentence():
    asked = []

    def translate(chunk, segment):
        asked.append((segment.text, len(chunk.samples)))
        return in_capitals(chunk, segment)

    voicing = HummingVoicing()
    with interpreter(voicing, translate=translate) as stream:
        stream.warm()
        assert asked == [("Hello.", 16_000)]
        assert voicing.asked == [("HELLO.", 1.0)]
        assert stream.now_s == 0.0
        assert not of(Voiced, stream.poll())
    with interpreter(HummingVoicing(fails=["H"]), to="en") as stream:
        stream.warm()


def test_a_session_that_does_not_translate():
    with pytest.raises(ConfigError, match="ast"):
        interpreter(translate=None)


def test_a_language_model_translates_without_the_sound():
    class Fake:
        def stream(self, segments, *, to):
            for segment in segments:
                if segment.language == "ja":
                    raise ConfigError("no such pair")
                yield replace(segment, translation=f"{to}: {segment.text}")

    translate = LlmTranslation(Fake(), "zh")
    assert translate(None, Segment(0, 1, "hello", "en")).translation == "zh: hello"
    assert translate(None, Segment(0, 1, "はい", "ja")).translation is None
