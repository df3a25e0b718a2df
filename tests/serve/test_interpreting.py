"""Translations of live streams as sound, over a scripted recogniser and a speaker that hums."""

import base64
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.infer.streams import sound, talk
from tests.serve.live import CLIP, frames, kinds, opened, rest, said, serving
from tests.speak.tones import ToneSpeaker

from mooer.errors import DecodeError

START = {"type": "start", "language": "en", "to": "zh", "speak": True}


def in_capitals(_chunk, segment):
    return replace(segment, translation=segment.text.upper())


def heard(client, start=START, samples=CLIP):
    """A whole stream: its messages, and the code it was closed with."""
    with opened(client) as socket:
        said(socket, start)
        for frame in frames(samples):
            socket.send_bytes(frame)
        said(socket, {"type": "end"})
        return rest(socket)


def samples_of(messages):
    parts = [base64.b64decode(m["audio"]) for m in messages if m["type"] == "sound"]
    return np.frombuffer(b"".join(parts), "<i2")


def test_the_translation_of_a_sentence_comes_as_sound_before_the_end():
    speaker = ToneSpeaker()
    with serving(translate=in_capitals, speaker=speaker) as (client, _, state):
        messages, code = heard(client)
        spoken_s = state.metrics.render()
    assert code == 1000
    order = kinds(messages)
    assert order.index("said") < order.index("sound")
    assert order[-1] == "done"
    sounds = [m for m in messages if m["type"] == "sound"]
    assert {m["id"] for m in sounds} == {1}
    assert sounds[0]["rate_hz"] == 24_000
    assert sounds[0]["text"].startswith("GOOD")
    assert "".join(m["text"] for m in sounds) == "GOOD MORNING TO ALL OF YOU."
    starts = [m["start_s"] for m in sounds]
    assert starts == sorted(starts)
    assert starts[0] >= 2.9
    assert len(samples_of(messages)) / 24_000 == pytest.approx(2.7, abs=0.3)
    assert max(len(m["audio"]) for m in sounds) <= 4 * 24_000 * 2 // 3 + 4
    assert "mooer_spoken_seconds_total" in spoken_s
    assert {voice for _, _, voice, _ in speaker.said} == {"low:1.0"}  # what alloy is here


def test_what_was_said_in_that_language_is_not_said_again():
    with serving(translate=in_capitals, speaker=ToneSpeaker()) as (client, _, _):
        messages, _ = heard(client, START | {"to": "en"})
    assert "said" in kinds(messages)
    assert "sound" not in kinds(messages)


def test_what_falls_behind_is_left_out_and_the_stream_goes_on():
    script = [w for i in range(12) for w in talk(f"word{i} x.", 0.5 + 1.5 * i)]
    samples = sound(20.0, *((0.5 + 1.5 * i, 1.3 + 1.5 * i) for i in range(12)))
    speaker = ToneSpeaker()

    def at_length(_chunk, segment):
        return replace(segment, translation="x" * 100)

    with serving(script, translate=at_length, speaker=speaker) as (client, _, _):
        messages, code = heard(client, samples=samples)
    assert code == 1000
    unsaid = [m for m in messages if m["type"] == "unsaid"]
    assert unsaid
    assert "too late" in unsaid[0]["reason"]
    sounds = [m for m in messages if m["type"] == "sound"]
    assert {m["id"] for m in sounds} | {m["id"] for m in unsaid} == set(range(1, 13))
    assert not {m["id"] for m in sounds} & {m["id"] for m in unsaid}
    assert max(m["speed"] for m in sounds) > 1.0


def test_a_sentence_that_cannot_be_said_does_no_harm():
    class Mute(ToneSpeaker):
        def speak(self, text, language, voice, *, speed=1.0):
            raise DecodeError("nothing to say")

    with serving(translate=in_capitals, speaker=Mute()) as (client, _, _):
        messages, code = heard(client)
    assert code == 1000
    assert "sound" not in kinds(messages)


def test_who_leaves_is_not_spoken_for():
    begun = threading.Event()

    class Slow(ToneSpeaker):
        def speak(self, text, language, voice, *, speed=1.0):
            begun.set()
            time.sleep(0.05)
            return super().speak(text, language, voice, speed=speed)

    speaker = Slow()

    def listed(_chunk, segment):
        return replace(segment, translation="Some words are here. " * 40)

    with serving(translate=listed, speaker=speaker) as (client, _, _):
        with opened(client) as socket:
            said(socket, START)
            for frame in frames(CLIP):
                socket.send_bytes(frame)
            assert begun.wait(10)
        before = -1
        while len(speaker.said) > before:  # until it has stopped
            before = len(speaker.said)
            time.sleep(0.3)
        assert before < 40


@pytest.mark.parametrize(
    ("fields", "code", "why"),
    [
        ({"to": None}, 4400, "speak is of translations"),
        ({"voice": "nobody"}, 4400, "unknown voice"),
        ({"speak": "yes"}, 4400, "true or false"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, code, why):
    with serving(translate=in_capitals, speaker=ToneSpeaker()) as (client, _, _):
        messages, closed = heard(client, START | fields, samples=CLIP[:1600])
    assert closed == code
    assert why in messages[-1]["error"]["message"]


def test_a_server_that_does_not_speak_says_so():
    with serving(translate=in_capitals) as (client, _, _):
        messages, closed = heard(client, samples=CLIP[:1600])
    assert closed == 4404
    assert messages[-1]["type"] == "error"
