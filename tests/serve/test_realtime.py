"""The realtime API in transcription mode over a scripted recogniser: events and refusals."""

import base64
import json

import pytest
from tests.infer.streams import sound, talk
from tests.serve.live import CLIP, WORDS, frames, kinds, opened, rest, said, serving

from mooer.serve.errors import ApiError
from mooer.serve.realtime_sound import SoundFormat
from mooer.serve.transcription_session import TranscriptionSession, TurnDetection

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
AT_16_KHZ = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}


def update(socket, session, kind="session.update"):
    said(socket, {"type": kind, "event_id": "mine", "session": session})


def append(socket, samples):
    for frame in frames(samples):
        audio = base64.b64encode(frame).decode()
        said(socket, {"type": "input_audio_buffer.append", "audio": audio})


def read(socket, until):
    """Events up to one of a type."""
    found = [json.loads(socket.receive_text())]
    while found[-1]["type"] != until:
        assert found[-1]["type"] != "error", found[-1]
        found.append(json.loads(socket.receive_text()))
    return found


def test_an_utterance_becomes_an_item():
    with serving() as (client, engine, _), opened(client, "/v1/realtime") as socket:
        [created] = read(socket, "session.created")
        assert created["session"]["type"] == "transcription"
        assert created["session"]["audio"]["input"]["format"] == {
            "type": "audio/pcm",
            "rate": 24000,
        }
        language = {"transcription": {"model": "whisper-1", "language": "en"}}
        update(socket, {"type": "transcription", "audio": {"input": language}})
        update(socket, AT_16_KHZ)
        for _ in range(2):
            [updated] = read(socket, "session.updated")
        assert updated["session"]["audio"]["input"]["transcription"]["language"] == "en"
        append(socket, CLIP)
        events = read(socket, COMPLETED)
    order = kinds(events)
    deltas = [e["delta"] for e in events if e["type"] == DELTA]
    assert "".join(deltas) == WORDS
    assert order[0] == "input_audio_buffer.speech_started"
    assert order[1 : 1 + len(deltas)] == [DELTA] * len(deltas)
    assert order[1 + len(deltas) :] == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        COMPLETED,
    ]
    started, stopped, done = events[0], events[1 + len(deltas)], events[-1]
    assert started["audio_start_ms"] < 500
    assert stopped["audio_end_ms"] == pytest.approx(3500, abs=200)
    assert done["transcript"] == WORDS
    assert done["usage"]["seconds"] == pytest.approx(3.2, abs=0.3)
    assert len({e.get("item_id") or e["item"]["id"] for e in events}) == 1
    assert len({e["event_id"] for e in events}) == len(events)
    assert engine.asked[0].language == "en"
    assert engine.lives[0].endpoint.end_s == 0.5


def test_two_utterances_are_two_items_one_after_the_other():
    script = talk(WORDS) + talk("it is late", 4.5)
    with serving(script) as (client, _, _), opened(client, "/v1/realtime") as socket:
        update(socket, AT_16_KHZ)
        append(socket, sound(7.0, (0.5, 2.9), (4.5, 5.7)))
        first, second = read(socket, COMPLETED), read(socket, COMPLETED)
    commits = [e for e in first + second if e["type"] == "input_audio_buffer.committed"]
    assert commits[0]["previous_item_id"] is None
    assert commits[1]["previous_item_id"] == commits[0]["item_id"]
    assert second[-1]["transcript"] == "it is late"


def test_without_turns_the_caller_commits():
    with serving() as (client, _, _), opened(client, "/v1/realtime") as socket:
        given = AT_16_KHZ["audio"]["input"] | {"turn_detection": None}
        update(socket, {"audio": {"input": given}})
        read(socket, "session.updated")
        said(socket, {"type": "input_audio_buffer.commit"})
        error = json.loads(socket.receive_text())
        assert error["error"]["code"] == "input_audio_buffer_commit_empty"
        append(socket, CLIP)
        said(socket, {"type": "input_audio_buffer.commit"})
        events = read(socket, COMPLETED)
    assert "input_audio_buffer.speech_started" not in kinds(events)
    assert kinds(events).count("input_audio_buffer.committed") == 1
    assert events[-1]["transcript"] == WORDS
    assert events[-1]["usage"]["seconds"] == pytest.approx(4.5)


def test_what_is_cleared_is_no_item():
    with serving() as (client, _, _), opened(client, "/v1/realtime") as socket:
        given = AT_16_KHZ["audio"]["input"] | {"turn_detection": None}
        update(socket, {"audio": {"input": given}})
        said(socket, {"type": "input_audio_buffer.clear"})
        read(socket, "input_audio_buffer.cleared")
        append(socket, CLIP[: 2 * 16_000])
        said(socket, {"type": "input_audio_buffer.clear"})
        read(socket, "input_audio_buffer.cleared")
        said(socket, {"type": "input_audio_buffer.commit"})
        error = json.loads(socket.receive_text())
    assert error["error"]["code"] == "input_audio_buffer_commit_empty"


def test_settings_may_change_between_utterances_and_times_go_on():
    with serving() as (client, engine, _), opened(client, "/v1/realtime") as socket:
        update(socket, AT_16_KHZ)
        append(socket, CLIP)
        read(socket, COMPLETED)
        update(socket, {"audio": {"input": {"transcription": {"language": "zh"}}}})
        read(socket, "session.updated")
        append(socket, CLIP)
        events = read(socket, COMPLETED)
    assert events[0]["audio_start_ms"] > 4500
    assert [options.language for options in engine.asked] == [None, "zh"]


def test_a_change_without_turns_commits_what_was_said():
    with serving() as (client, _, _), opened(client, "/v1/realtime") as socket:
        given = AT_16_KHZ["audio"]["input"] | {"turn_detection": None}
        update(socket, {"audio": {"input": given}})
        append(socket, CLIP)
        update(socket, {"turn_detection": {"type": "server_vad"}})
        events = read(socket, COMPLETED)
        assert events[-1]["transcript"] == WORDS
        read(socket, "session.updated")


def test_a_server_that_ends_tells_those_who_wait():
    with serving() as (client, _, state), opened(client, "/v1/realtime") as socket:
        state.limits.is_draining = True
        messages, code = rest(socket)
        state.limits.is_draining = False
    assert code == 4503
    assert messages[-1]["error"]["code"] == "draining"


def test_log_probabilities_come_if_asked_for():
    with serving() as (client, _, _), opened(client, "/v1/realtime") as socket:
        update(socket, AT_16_KHZ | {"include": ["item.input_audio_transcription.logprobs"]})
        append(socket, CLIP)
        events = read(socket, COMPLETED)
    delta = next(e for e in events if e["type"] == DELTA)
    assert delta["logprobs"][0]["logprob"] == pytest.approx(-0.1054)
    assert bytes(delta["logprobs"][0]["bytes"]).decode() == delta["logprobs"][0]["token"]


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "response.create"}, "unsupported_event", "type"),
        ({"type": "session.update"}, "invalid_value", "session"),
        ({"type": "session.update", "session": {"\n": 10**400}}, "unknown_parameter", None),
        ({"type": "session.update", "session": {"type": "other"}}, None, "session.type"),
        ({"type": "session.update", "session": {"voice": "ash"}}, "unknown_parameter", None),
        ({"type": "input_audio_buffer.append", "audio": "%%%"}, "invalid_audio", "audio"),
        ({"type": "input_audio_buffer.append"}, "invalid_audio", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 3}, "invalid_audio", "audio"),
    ],
)
def test_what_cannot_be_is_told_and_the_connection_stays(event, code, param):
    with serving() as (client, _, _), opened(client, "/v1/realtime") as socket:
        read(socket, "session.created")
        said(socket, event | {"event_id": "e7"})
        error = json.loads(socket.receive_text())
        assert error["type"] == "error"
        assert error["error"]["event_id"] == "e7"
        assert code is None or error["error"]["code"] == code
        assert param is None or error["error"]["param"] == param
        update(socket, AT_16_KHZ)
        read(socket, "session.updated")


def test_who_connects_to_transcribe_transcribes():
    with serving() as (client, _, _):
        path = "/v1/realtime?model=gpt-realtime&intent=transcription"
        with opened(client, path) as socket:
            [created] = read(socket, "session.created")
        assert created["session"]["type"] == "transcription"


def test_a_server_without_an_agent_transcribes_alone():
    with serving(settings={"agent": None}) as (client, _, _):
        with opened(client, "/v1/realtime?model=gpt-realtime") as socket:
            [created] = read(socket, "session.created")
            assert created["session"]["type"] == "transcription"
            update(socket, {"type": "realtime"})
            error = json.loads(socket.receive_text())
        assert error["error"]["param"] == "session.type"


def test_a_model_that_is_not_there_is_refused():
    with serving() as (client, _, _):
        with opened(client, "/v1/realtime?model=other") as socket:
            [error], code = rest(socket)
        assert (error["error"]["code"], code) == ("model_not_found", 4404)
        with opened(client, "/v1/realtime?model=gpt-realtime") as socket:
            read(socket, "session.created")
            update(socket, {"audio": {"input": {"transcription": {"model": "other"}}}})
            error = json.loads(socket.receive_text())
        assert error["error"]["code"] == "model_not_found"


def test_a_server_that_ends_completes_the_item():
    with serving() as (client, _, state), opened(client, "/v1/realtime") as socket:
        update(socket, AT_16_KHZ)
        append(socket, CLIP[: 29 * 1600])
        read(socket, "input_audio_buffer.speech_started")
        state.limits.is_draining = True
        messages, code = rest(socket)
        state.limits.is_draining = False
    assert code == 4503
    assert COMPLETED in kinds(messages)


# --- settings -------------------------------------------------------------------------------------


def test_both_shapes_of_settings_are_read():
    flat = TranscriptionSession(model="m").changed(
        {
            "input_audio_format": "g711_ulaw",
            "input_audio_transcription": {
                "model": "whisper-1",
                "language": "zh-CN",
                "prompt": "嗯",
            },
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 800},
            "input_audio_noise_reduction": {"type": "near_field"},
        }
    )
    assert flat == TranscriptionSession(
        "whisper-1",
        "zh",
        "嗯",
        SoundFormat("audio/pcmu", 8_000),
        TurnDetection(silence_duration_ms=800),
    )
    nested = {
        "format": {"type": "audio/pcmu"},
        "transcription": {"model": "whisper-1", "language": "zh", "prompt": "嗯"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 800},
        "noise_reduction": None,
    }
    assert TranscriptionSession(model="m").changed({"audio": {"input": nested}}) == flat
    assert flat.changed(flat.describe("sess_1", 0)) == flat
    assert flat.changed({"turn_detection": None}).turns is None


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ([], "must be an object"),
        ({"audio": {"output": {}}}, "has no 'output'"),
        ({"audio": {"input": {"format": "mp3"}}}, "unknown format"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 1}}}}, "8000 to 96000"),
        ({"audio": {"input": {"transcription": {"language": "xx-yy"}}}}, "unknown language"),
        ({"audio": {"input": {"transcription": {"model": 3}}}}, "a string"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}, "server_vad"),
        ({"turn_detection": {"threshold": 2}}, "0.05 to 0.95"),
        ({"turn_detection": {"silence_duration_ms": True}}, "a number"),
        ({"include": ["everything"]}, "can be included"),
        ({"include": "x"}, "a list"),
    ],
)
def test_settings_that_make_no_sense_are_refused(session, words):
    with pytest.raises(ApiError, match=words):
        TranscriptionSession(model="m").changed(session)
