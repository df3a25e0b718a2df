"""Settings of a conversation, how far it is played, and G.711 on the way out."""

import numpy as np
import pytest

from mooer.serve.conversation_session import ConversationSession, Extension, Turns
from mooer.serve.errors import ApiError
from mooer.serve.playhead import Playhead
from mooer.serve.realtime_sound import SoundEncoder, SoundFormat
from mooer.serve.sound import make_decoder

TOOL = {"type": "function", "name": "clock", "description": "", "parameters": {"type": "object"}}


def test_what_is_told_of_a_session_makes_the_same():
    made = ConversationSession(model="agent").changed(
        {
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcma"},
                    "transcription": {"model": "whisper-1", "language": "zh-CN"},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 800},
                    "noise_reduction": {"type": "near_field"},
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.2},
            },
            "tools": [TOOL],
            "tool_choice": "none",
            "max_output_tokens": 50,
            "tracing": None,
            "mooer": {"events": ["resumed"], "plays": True},
        }
    )
    assert made.language == "zh"
    assert made.turns == Turns("server_vad", silence_duration_ms=800)
    assert made.turns.max_silence_s == 0.8
    assert (made.input.rate_hz, made.output.encoding) == (8_000, "pcmu")
    assert made.extension == Extension(("resumed",), plays=True)
    assert made.extension.pauses
    told = made.describe("sess_1", 0)
    again = ConversationSession(model="agent").changed(told)
    assert again.describe("sess_1", 0) == told


def test_the_older_shape_is_read():
    made = ConversationSession().changed(
        {
            "modalities": ["text", "audio"],
            "voice": {"id": "low"},
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": None,
            "max_response_output_tokens": "inf",
            "temperature": 0.8,
        }
    )
    assert (made.modality, made.voice, made.transcriber) == ("audio", "low", "whisper-1")
    assert made.input == SoundFormat("audio/pcmu", 8_000)
    assert made.turns is None
    assert made.changed({"audio": {"input": {"transcription": None}}}).transcriber == ""


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ([], "must be an object"),
        ({"instruction": "x"}, "instructions"),
        ({"instructions": "x" * 40_000}, "32000"),
        ({"output_modalities": ["smell"]}, "audio"),
        ({"output_modalities": []}, "text"),
        ({"tools": [TOOL, TOOL]}, "one name"),
        ({"tools": [{**TOOL, "name": "a b"}]}, "name"),
        ({"tools": [{**TOOL, "type": "mcp"}]}, "functions"),
        ({"tools": [{**TOOL, "description": "x" * 200_000}]}, "letters"),
        ({"tool_choice": "required"}, "auto"),
        ({"max_output_tokens": 0}, "1 to 4096"),
        ({"audio": {"output": {"voice": 3}}}, "voice"),
        ({"audio": {"output": {"speed": 9}}}, "0.5 to 2"),
        ({"audio": {"input": {"turn_detection": {"type": "magic"}}}}, "semantic_vad"),
        ({"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}, "no 'threshold'"),
        ({"turn_detection": {"type": "semantic_vad", "eagerness": "very"}}, "low"),
        ({"turn_detection": {"create_response": 1}}, "true or false"),
        ({"mooer": {"events": ["all"]}}, "waterfall"),
        ({"mooer": {"plays": "yes"}}, "true or false"),
        ({"mooer": {"interruption": "never"}}, "pause or wait"),
    ],
)
def test_settings_that_make_no_sense_are_refused(session, words):
    with pytest.raises(ApiError, match=words):
        ConversationSession().changed(session)


def test_a_playhead_goes_by_the_clock():
    now = [100.0]
    head = Playhead(reports=False, clock=lambda: now[0])
    assert head.advance() is None
    head.send(0, 1000, 1000)
    now[0] += 0.4
    assert head.advance() == 400
    head.send(1000, 500, 1000)
    now[0] += 0.4
    assert head.advance() == 800
    head.stop()
    now[0] += 5
    assert head.advance() is None
    head.send(800, 200, 1000)  # it goes on where it stopped
    now[0] += 0.1
    assert head.advance() == 900
    now[0] += 9
    assert head.advance() == 1000
    assert not head.is_playing
    now[0] += 9
    head.send(1000, 500, 1000)  # the pause before it was no part of it
    now[0] += 0.1
    assert head.advance() == 1100


def test_a_playhead_by_reports():
    head = Playhead(reports=True)
    head.send(0, 1000, 1000)
    assert head.advance() is None
    assert head.report(300) == 300
    assert head.report(200) == 300  # it came late
    assert head.report(5000) == 1000
    assert not head.is_playing


@pytest.mark.parametrize("name", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_sound_survives_its_format(name):
    format = SoundFormat(name, 8_000)
    samples = (0.5 * np.sin(2 * np.pi * 300 * np.arange(8_000) / 8_000)).astype(np.float32)
    encoder = SoundEncoder(format, 8_000)
    pieces = [*encoder.push(samples), *encoder.flush()]
    assert sum(map(len, pieces)) == format.bytes_per_s
    assert max(map(len, pieces)) <= format.bytes_per_s / 2
    decoder = make_decoder(format.encoding, 8_000, 1)
    heard = np.concatenate([decoder.push(piece) for piece in pieces])[::2]
    num = min(len(heard), len(samples)) - 200
    error = heard[100:num] - samples[100:num]
    assert np.sqrt((error**2).mean()) < 0.02
