"""A session over scripted speech: what is told when, what is bounded, and what is refused."""

import logging
from itertools import pairwise

import numpy as np
import pytest
from tests.infer.streams import (
    RATE,
    Clock,
    ScriptEar,
    ends,
    final_text,
    finals,
    open_session,
    partials,
    pushed,
    segments,
    sound,
    talk,
)

from mooer.audio.endpoint import EndpointOptions
from mooer.engines.whisper import TimedWord
from mooer.errors import AudioError, ConfigError
from mooer.infer import Converter, Final, LiveOptions, Partial, Said
from mooer.infer.ear import Guess

WORDS = "good morning to all of you."
SCRIPT = talk(WORDS)  # from 0.5 to 2.9 s
CLIP = sound(4.5, (0.5, 2.9))


def test_words_come_while_they_are_said_and_are_final_when_they_stand():
    session = open_session(ScriptEar(SCRIPT))
    told = []
    for start in range(0, len(CLIP), 1600):
        told += [(session.time_s, e) for e in session.push(CLIP[start : start + 1600])]
    at = {word.text: time_s for time_s, e in told if isinstance(e, Final) for word in e.words}
    assert at[" good"] < 0.9 + 2.0 + 0.7  # its end, what must follow it, and a step
    assert at[" you."] > 2.9
    first = next(e for _, e in told)
    assert type(first) is Partial
    assert first.text == " good m"
    events = [event for _, event in told]
    assert final_text(events) == WORDS
    assert session.flush() == []


def test_what_is_final_is_what_is_written_and_times_are_in_order():
    script = talk(WORDS) + talk("it is late", 4.5)
    session = open_session(ScriptEar(script), words=True)
    events = pushed(session, sound(7.0, (0.5, 2.9), (4.5, 5.7)))
    said = segments(events)
    assert [s.text for s in said] == [WORDS, "it is late"]
    assert [w.text for s in said for w in s.words] == [w.text.strip() for w in finals(events)]
    times = [t for word in finals(events) for t in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] == pytest.approx(0.5)
    assert len(ends(events)) == 2


def test_the_open_words_follow_the_final_ones():
    shown = []
    final = []
    events = pushed(open_session(ScriptEar(SCRIPT)), CLIP)
    for event in events:
        if isinstance(event, Final):
            final += event.words
        elif isinstance(event, Partial):
            shown.append(len(final) + len(event.words))
            assert all(word.start_s >= w.end_s for w in final for word in event.words)
    assert shown[-1] <= len(WORDS.split())
    assert any(text.endswith("of you.") for text in partials(events))


def test_an_end_point_comes_after_the_silence_without_hearing_again():
    ear = ScriptEar(SCRIPT)
    session = open_session(ear, LiveOptions(endpoint=EndpointOptions(pause_s=0.3, end_s=0.6)))
    before = session.push(CLIP[: int(3.4 * RATE)])
    num = len(ear.windows)
    assert ear.windows[-1][1]  # the pause was heard with care
    assert not ends(before)
    [*_, end] = session.push(CLIP[int(3.4 * RATE) :])
    assert end.time_s == pytest.approx(3.5, abs=0.04)
    assert len(ear.windows) == num


def test_silence_costs_nothing():
    ear = ScriptEar([])
    session = open_session(ear)
    assert pushed(session, sound(20.0), 0.5) == []
    assert ear.windows == []
    assert session.transcript([]).segments == ()


def test_a_burst_is_not_heard():
    ear = ScriptEar([])
    assert pushed(open_session(ear), sound(3.0, (1.0, 1.05))) == []
    assert ear.windows == []


@pytest.mark.parametrize("block_s", [0.0005, 0.0317, 0.1, 1.0, 9.0])
def test_the_size_of_blocks_changes_nothing(block_s):
    samples = sound(7.0, (0.5, 2.9), (4.5, 5.7))
    script = talk(WORDS) + talk("it is late", 4.5)
    wanted = pushed(open_session(ScriptEar(script)), samples, 0.032)
    assert pushed(open_session(ScriptEar(script)), samples, block_s) == wanted


def monologue(num=150):
    """A minute without a pause, a sentence every ten words."""
    words = [f"w{i}{'.' if i % 10 == 9 else ''}" for i in range(num)]
    return talk(" ".join(words)), sound(0.5 + 0.4 * num + 1.0, (0.5, 0.5 + 0.4 * num))


def test_who_speaks_without_end_is_heard_in_windows_and_sentences_come():
    script, samples = monologue()
    ear = ScriptEar(script)
    session = open_session(ear)
    told = []
    for start in range(0, len(samples), 1600):
        told += [(session.time_s, e) for e in session.push(samples[start : start + 1600])]
    events = [event for _, event in told]
    assert final_text(events).split() == [word for word, _, _ in script]
    assert max(seconds for seconds, _ in ear.windows) < 16
    at = [time_s for time_s, e in told if isinstance(e, Said)]
    assert len(at) == 15
    assert at[0] < 8
    assert all(b - a < 8 for a, b in pairwise(at))


class Undecided:
    """Never says the same twice."""

    language_probability = None

    def __init__(self):
        self.windows = []

    def hear(self, samples, said, *, speech_prob, last):
        seconds = len(samples) / RATE
        self.windows.append(seconds)
        begin_s = said[-1].end_s if said else 0.0
        num = max(1, int(seconds - begin_s))
        step_s = (seconds - begin_s) / num
        name = f"x{len(self.windows)}"
        words = [
            TimedWord(f" {name}", begin_s + i * step_s, begin_s + (i + 1) * step_s, 0.5)
            for i in range(num)
        ]
        return Guess(tuple(words), "en")


class Deaf:
    """Hears nothing that it would trust."""

    language_probability = None

    def __init__(self):
        self.windows = []

    def hear(self, samples, said, *, speech_prob, last):
        self.windows.append(len(samples) / RATE)


@pytest.mark.parametrize("kind", [Undecided, Deaf])
def test_the_window_is_bounded_whatever_the_ear_says(kind):
    ear = kind()
    session = open_session(ear)
    events = pushed(session, sound(90.0, (0.5, 89.0)), 1.0)
    assert max(ear.windows) < 21
    times = [t for word in finals(events) for t in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert (kind is Deaf) == (not times)


def test_a_slow_machine_skips_steps_and_says_so_once(caplog):
    clock = Clock()

    def work():
        clock.now_s += 1.5

    script, samples = monologue(100)
    ear = ScriptEar(script, on_hear=work)
    session = open_session(ear, clock=clock)
    with caplog.at_level(logging.WARNING):
        events = pushed(session, samples)
    assert final_text(events).split() == [word for word, _, _ in script]
    assert clock.now_s < len(samples) / RATE + 3
    assert sum("some are left out" in record.message for record in caplog.records) == 1
    assert "some are left out" in session.warnings[0]


def test_steps_are_kept_on_a_slow_machine_if_that_is_wished():
    clock = Clock()

    def work():
        clock.now_s += 1.5

    quick, slow = ScriptEar(SCRIPT), ScriptEar(SCRIPT, on_hear=work)
    wanted = pushed(open_session(quick), CLIP)
    live = LiveOptions(adaptive=False)
    assert pushed(open_session(slow, live, clock=clock), CLIP) == wanted
    assert slow.windows == quick.windows


def test_who_speaks_is_known_while_the_utterance_lasts():
    session = open_session(ScriptEar(SCRIPT))
    told = []
    for start in range(0, len(CLIP), 1600):
        session.push(CLIP[start : start + 1600])
        told.append(session.speaking_since_s)
    assert told[3] is None
    assert told[8] == pytest.approx(0.1, abs=0.1)  # with the padding before it
    assert set(told[8:30]) == {told[8]}
    assert told[-1] is None
    burst = open_session(ScriptEar([]))
    burst.push(sound(1.05, (1.0, 1.05)))
    assert burst.is_open
    assert burst.speaking_since_s is None


def test_steps_are_longer_while_sound_waits_elsewhere():
    quick, behind = ScriptEar(SCRIPT), ScriptEar(SCRIPT)
    pushed(open_session(quick), CLIP)
    session = open_session(behind)
    session.fall_behind(100.0)
    events = pushed(session, CLIP)
    assert len(behind.windows) < len(quick.windows) / 2
    assert final_text(events) == WORDS


# --- streams that stall, jump, or end ------------------------------------------------------------


def test_a_stream_that_stalls_ends_the_utterance():
    clock = Clock()
    session = open_session(ScriptEar(SCRIPT), LiveOptions(stall_s=2.0), clock=clock)
    session.push(CLIP[: int(2.0 * RATE)])
    clock.now_s = 1.9
    assert session.poll() == []
    clock.now_s = 2.1
    events = session.poll()
    assert ends(events)
    assert final_text(events).endswith("to a")
    assert "no sound came for 2.1 s" in session.warnings[0]
    assert session.poll() == []


def test_a_stall_is_noticed_by_the_next_push_too_but_a_long_block_is_none():
    clock = Clock()
    session = open_session(ScriptEar(SCRIPT), LiveOptions(stall_s=1.0), clock=clock)
    session.push(CLIP[: 1 * RATE])
    clock.now_s = 1.0
    assert not ends(session.push(CLIP[1 * RATE : 2 * RATE]))  # a second of sound after a second
    clock.now_s = 5.0
    assert ends(session.push(CLIP[2 * RATE : 3 * RATE]))
    assert not session.warnings[1:]


def test_no_stall_ends_an_utterance_if_none_is_to():
    clock = Clock()
    session = open_session(ScriptEar(SCRIPT), LiveOptions(stall_s=None), clock=clock)
    session.push(CLIP[: 2 * RATE])
    clock.now_s = 1000.0
    assert session.poll() == []


def test_a_gap_is_silence():
    script = talk("good morning", 0.5) + talk("it is late", 31.0)
    session = open_session(ScriptEar(script))
    events = session.push(sound(1.3, (0.5, 1.3)))
    later = sound(35.0, (31.0, 32.2))[int(30.5 * RATE) :]
    events += session.push(later, start_s=30.5)
    assert final_text(events) == "good morning it is late"
    assert ends(events)[0] < 3
    assert finals(events)[2].start_s == pytest.approx(31.0, abs=0.02)
    assert session.time_s == pytest.approx(35.0)
    assert session.warnings == ["a gap of 29.20 s at 1.30 s is taken for silence"]


def test_a_short_gap_does_not_end_the_utterance():
    session = open_session(ScriptEar(SCRIPT))
    session.push(CLIP[: 2 * RATE])
    events = session.push(CLIP[int(2.2 * RATE) : int(2.9 * RATE)], start_s=2.2)
    assert not ends(events)
    assert session.time_s == pytest.approx(2.9)


def test_what_comes_again_is_left_out():
    plain = open_session(ScriptEar(SCRIPT))
    wanted = plain.push(CLIP[: 2 * RATE]) + plain.push(CLIP[2 * RATE :])
    session = open_session(ScriptEar(SCRIPT))
    found = session.push(CLIP[: 2 * RATE])
    found += session.push(CLIP[int(0.5 * RATE) : int(1.5 * RATE)], start_s=0.5)  # all of it
    found += session.push(CLIP[int(1.5 * RATE) :], start_s=1.5)
    assert found == wanted
    assert len(session.warnings) == 2
    assert "came again" in session.warnings[0]


def test_times_that_are_nearly_right_are_right():
    session = open_session(ScriptEar(SCRIPT))
    for i in range(40):
        session.push(CLIP[i * 1600 : (i + 1) * 1600], start_s=i * 0.1 + (0.015 if i % 2 else 0.0))
    assert session.warnings == []
    assert session.time_s == pytest.approx(4.0)


def test_a_stream_that_ends_within_a_word_gives_what_there_is_and_may_go_on():
    script = talk(WORDS) + talk("it is late", 4.5)
    session = open_session(ScriptEar(script))
    samples = sound(7.0, (0.5, 2.9), (4.5, 5.7))
    events = session.push(samples[: int(2.2 * RATE)])
    events += session.flush()
    assert final_text(events) == "good morning to all o"
    assert ends(events)
    more = session.push(samples[int(2.2 * RATE) :]) + session.flush()
    assert final_text(more).endswith("it is late")
    times = [t for word in finals(events + more) for t in (word.start_s, word.end_s)]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("samples", "start_s", "said"),
    [
        (np.zeros(160, np.int16), None, r"int16 of shape \[160\].*Converter"),
        (np.zeros((160, 2), np.float32), None, r"\[160, 2\]"),
        ([0.0] * 160, None, "got list"),
        (np.zeros(0, np.float32), None, "got none"),
        (np.array([0.0, np.nan, np.inf], np.float32), None, "2 that are no numbers"),
        (np.zeros(160, np.float32), -1.0, "at 0 s or later, not at -1.0"),
        (np.zeros(160, np.float32), float("nan"), "not at nan"),
    ],
)
def test_what_is_no_sound_is_refused_in_a_sentence_and_nothing_of_it_is_taken(
    samples, start_s, said
):
    session = open_session(ScriptEar(SCRIPT))
    events = session.push(CLIP[:RATE])
    with pytest.raises(AudioError, match=said):
        session.push(samples, start_s)
    assert session.time_s == 1.0
    events += session.push(CLIP[RATE:])
    assert final_text(events) == WORDS


def test_samples_that_are_too_loud_are_cut_and_told_once():
    session = open_session(ScriptEar(SCRIPT))
    for _ in range(3):
        session.push(np.full(1600, 20_000.0, np.float32))
    assert session.warnings == ["samples beyond ±1 were cut: scale the sound to [-1, 1] first"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"step_s": 0.0}, "step_s must be above 0"),
        ({"window_s": 19.0}, "max_window_s must be"),
        ({"max_window_s": 40.0}, "max_window_s must be"),
        ({"endpoint": EndpointOptions(0.6, 0.3)}, "a pause of 0.6 s"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        LiveOptions(**options)


# --- how it is written ---------------------------------------------------------------------------


def test_numbers_and_marks_are_written_in_segments_and_words_stay_as_they_were_said():
    script = talk("we have twenty three dogs")
    session = open_session(ScriptEar(script), words=True, itn=True, punctuate=True)
    events = pushed(session, sound(4.5, (0.5, 2.5)))
    [segment] = segments(events)
    assert segment.text == "We have 23 dogs."
    assert final_text(events) == "we have twenty three dogs"


def test_chinese_is_written_in_the_script_that_is_wanted():
    session = open_session(ScriptEar(talk("汉 语,"), language="zh"), script="hant")
    events = pushed(session, sound(3.0, (0.5, 1.3)))
    assert [word.text for word in finals(events)] == [" 漢", " 語，"]


def test_a_sentence_is_translated_when_it_is_said():
    heard = []

    def translate(chunk, segment):
        heard.append(chunk.duration_s)
        from dataclasses import replace

        return replace(segment, translation=segment.text.upper())

    session = open_session(ScriptEar(SCRIPT), translate=translate, task="ast")
    said = segments(pushed(session, CLIP))
    assert [s.translation for s in said] == [WORDS.upper()]
    assert heard == [pytest.approx(2.4, abs=0.05)]
    transcript = session.transcript(said, "talk.wav")
    assert (transcript.task, transcript.translation_language) == ("ast", "en")
    assert transcript.source == "talk.wav"
    assert transcript.language_probability == 0.9


def test_sound_of_any_kind_is_converted():
    session = open_session(ScriptEar([("hello", 0.5, 2.9)]))
    converter = Converter(session, rate_hz=48_000)
    stereo = np.repeat(CLIP, 3)[:, None].repeat(2, axis=1)
    events = []
    for start in range(0, len(stereo), 4801):
        events += converter.push((stereo[start : start + 4801] * 32767).astype(np.int16))
    events += converter.flush()
    assert session.time_s == pytest.approx(4.5, abs=0.001)
    assert len(ends(events)) == 1
    with pytest.raises(AudioError, match="got none"):
        converter.push(np.zeros((0, 2), np.int16))
    with pytest.raises(AudioError, match="numbers"):
        converter.push(np.array([np.nan]))
