"""Conversations of the official client with a live server, over an agent by a script."""

import asyncio
import base64
from contextlib import asynccontextmanager

import numpy as np
import pytest
from tests.fakes import speech
from tests.serve.conversations import ANSWER_S, ScriptedAgent
from tests.serve.stand import Models, running, until

openai = pytest.importorskip("openai")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # not by us
TEXT = "Good morning."
HEARD = "conversation.item.input_audio_transcription.completed"
TRANSCRIBED = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
MANUAL = {"audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}}


def talking(live, work, model="gpt-realtime"):
    """Run `work(connection)` in an event loop, against a server."""

    async def run():
        client = openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
        async with client, client.realtime.connect(model=model) as connection:
            await asyncio.wait_for(work(connection), 20)

    asyncio.run(run())


@asynccontextmanager
async def updated(connection, session):
    """What follows an update of the session."""
    await connection.session.update(session={"type": "realtime", **session})
    yield await read(connection, "session.updated")


async def read(connection, kind):
    """Events up to one of a kind."""
    found = []
    while not found or found[-1].type != kind:
        found.append(await connection.recv())
        assert found[-1].type != "error" or kind == "error", found[-1]
    return found


def sound(*pattern):
    """Base64 of 24 kHz, in pieces of a tenth of a second."""
    samples = speech(*pattern, rate_hz=24_000)
    data = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    return [base64.b64encode(data[i : i + 4800]).decode() for i in range(0, len(data), 4800)]


async def append(connection, *pattern):
    for audio in sound(*pattern):
        await connection.input_audio_buffer.append(audio=audio)


def kinds(events):
    return [event.type for event in events]


@pytest.fixture(scope="module")
def live():
    with running() as found:
        yield found


@pytest.fixture
def agent(live):
    """What the next conversation is with."""
    live.models.agent.wanted = {}
    yield live.models.agent
    live.models.agent.wanted = {}


def test_a_voice_turn(live, agent):
    async def work(connection):
        [created] = await read(connection, "session.created")
        assert created.session.type == "realtime"
        assert created.session.audio.output.format.rate == 24_000
        async with updated(connection, TRANSCRIBED):
            await append(connection, (0.5, 0), (1.0, 0.4), (0.6, 0))
        events = await read(connection, "response.done")
        assert kinds(events) == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "conversation.item.input_audio_transcription.delta",
            HEARD,
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        started, stopped, committed = events[:3]
        assert started.audio_start_ms == pytest.approx(500, abs=150)
        assert stopped.audio_end_ms == pytest.approx(1500, abs=150)
        assert started.item_id == stopped.item_id == committed.item_id == events[6].item_id
        assert events[6].transcript == "turn 1"
        deltas = [e for e in events if e.type == "response.output_audio.delta"]
        data = b"".join(base64.b64decode(e.delta) for e in deltas)
        assert len(data) == ANSWER_S * 48_000
        response = events[-1].response
        assert response.status == "completed"
        assert response.output[0].content[0].transcript == TEXT
        assert {e.response_id for e in deltas} == {response.id}
        assert response.output[0].id == events[9].item.id
        assert events[9].previous_item_id == committed.item_id
        assert len({e.event_id for e in events}) == len(events)

    talking(live, work)
    until(lambda: agent.sessions[-1].is_closed)


def test_a_turn_of_text(live, agent):
    async def work(connection):
        async with updated(
            connection, {"output_modalities": ["text"], "instructions": "Be brief."}
        ):
            item = {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hello?"}],
            }
            await connection.conversation.item.create(item=item)
        added, done = await read(connection, "conversation.item.done")
        assert added.item.content[0].text == "Hello?"
        await connection.response.create(response={"instructions": "Sing.", "metadata": {"a": "b"}})
        events = await read(connection, "response.done")
        assert kinds(events) == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        assert events[6].text == TEXT
        assert events[-1].response.output_modalities == ["text"]
        assert events[-1].response.metadata == {"a": "b"}
        await connection.conversation.item.retrieve(item_id=done.item.id)
        [found] = await read(connection, "conversation.item.retrieved")
        assert found.item.content[0].text == "Hello?"

    talking(live, work)
    session = agent.sessions[-1]
    assert [turn.text for turn in session.turns] == ["Hello?"]
    assert session.calls == [("respond", "Sing.")]
    assert session.options.instructions == "Be brief."


def test_one_answer_as_text_in_a_spoken_conversation(live, agent):
    async def work(connection):
        await connection.response.create(response={"output_modalities": ["text"]})
        events = await read(connection, "response.done")
        assert "response.output_text.done" in kinds(events)
        assert events[-1].response.output_modalities == ["text"]
        await connection.response.create()
        events = await read(connection, "response.done")
        assert "response.output_audio.done" in kinds(events)

    talking(live, work)


def test_the_caller_ends_its_turns_itself(live, agent):
    async def work(connection):
        async with updated(connection, MANUAL):
            await connection.input_audio_buffer.commit()
        [*_, error] = await read(connection, "error")
        assert error.error.code == "input_audio_buffer_commit_empty"
        await append(connection, (0.5, 0.4), (2.0, 0))
        await connection.input_audio_buffer.clear()
        await read(connection, "input_audio_buffer.cleared")
        await append(connection, (1.0, 0.4))
        await connection.input_audio_buffer.commit()
        events = await read(connection, HEARD)
        assert kinds(events)[:3] == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert events[-1].item_id == events[0].item_id
        assert events[-1].usage.seconds == pytest.approx(1.0, abs=0.05)
        await connection.response.create()
        events = await read(connection, "response.done")
        assert events[-1].response.status == "completed"

    talking(live, work)
    assert agent.sessions[-1].calls == ["clear", "commit", ("respond", "")]


def test_an_answer_is_cancelled(live, agent):
    agent.wanted = {"is_slow": True}

    async def work(connection):
        await connection.response.cancel()
        [*_, error] = await read(connection, "error")
        assert error.error.code == "response_cancel_not_active"
        await connection.response.create()
        await connection.response.create()
        [*_, error] = await read(connection, "error")
        assert error.error.code == "conversation_already_has_active_response"
        await connection.response.cancel()
        events = await read(connection, "response.done")
        response = events[-1].response
        assert (response.status, response.status_details.reason) == (
            "cancelled",
            "client_cancelled",
        )
        assert response.output[0].status == "incomplete"
        await connection.input_audio_buffer.clear()
        events = await read(connection, "input_audio_buffer.cleared")
        assert not [e for e in events if e.type.startswith("response.")]

    talking(live, work)


def test_the_user_interrupts(live, agent):
    agent.wanted = {"is_slow": True}

    async def work(connection):
        await append(connection, (0.5, 0.4), (0.5, 0))
        await read(connection, "response.output_audio.delta")
        await append(connection, (0.5, 0.4))
        events = await read(connection, "response.done")
        assert "input_audio_buffer.speech_started" in kinds(events)
        response = events[-1].response
        assert (response.status, response.status_details.reason) == ("cancelled", "turn_detected")
        [truncated] = await read(connection, "conversation.item.truncated")
        assert truncated.item_id == response.output[0].id
        assert truncated.audio_end_ms < 1000

    talking(live, work)


def test_what_was_heard_is_truncated(live, agent):
    async def work(connection):
        await connection.response.create()
        [*_, done] = await read(connection, "response.done")
        item_id = done.response.output[0].id
        await connection.conversation.item.truncate(
            item_id=item_id, content_index=0, audio_end_ms=400
        )
        [truncated] = await read(connection, "conversation.item.truncated")
        assert truncated.audio_end_ms == 400
        await connection.conversation.item.retrieve(item_id=item_id)
        [found] = await read(connection, "conversation.item.retrieved")
        assert found.item.content[0].transcript == "Good "
        await connection.conversation.item.truncate(
            item_id=item_id, content_index=0, audio_end_ms=999_000
        )
        [truncated] = await read(connection, "conversation.item.truncated")
        assert truncated.audio_end_ms == 1000

    talking(live, work)
    assert agent.sessions[-1].calls[1:] == [("truncate", 1, 9600), ("truncate", 1, 24_000)]


def test_a_tool_is_called(live, agent):
    agent.wanted = {"call_tool": True}
    tool = {"type": "function", "name": "clock", "description": "Tells the time.", "parameters": {}}

    async def work(connection):
        async with updated(connection, {"tools": [tool]}) as events:
            assert events[-1].session.tools[0].name == "clock"
        await append(connection, (0.5, 0.4), (0.5, 0))
        events = await read(connection, "response.done")
        names = [kind for kind in kinds(events) if "function" in kind]
        assert names == [
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
        ]
        [call] = events[-1].response.output
        assert (call.type, call.name, call.arguments) == ("function_call", "clock", "{}")
        output = {"type": "function_call_output", "call_id": "call_9", "output": "noon"}
        await connection.conversation.item.create(item=output)
        [*_, error] = await read(connection, "error")
        assert "call_9" in error.error.message
        output["call_id"] = call.call_id
        await connection.conversation.item.create(item=output)
        await connection.response.create()
        events = await read(connection, "response.done")
        assert events[-1].response.output[0].content[0].transcript == TEXT

    talking(live, work)
    session = agent.sessions[-1]
    assert ("tool_result", "call_1", "noon") in session.calls
    assert session.options.tools[0].description == "Tells the time."


def test_a_mind_that_fails(live, agent):
    agent.wanted = {"fails": True}

    async def work(connection):
        await connection.response.create()
        found = []
        while not found or found[-1].type != "response.done":
            found.append(await connection.recv())
        assert [e.error.code for e in found if e.type == "error"] == ["think_failed"]
        assert found[-1].response.status == "failed"
        assert found[-1].response.status_details.error.code == "think_failed"

    talking(live, work)


def test_telephone_sound_both_ways(live, agent):
    law = {"format": {"type": "audio/pcmu"}}

    async def work(connection):
        async with updated(connection, {"audio": {"input": law, "output": law}}):
            loud, silence = bytes([0x00] * 8000), bytes([0xFF] * 4000)
        for data in (loud, silence, silence):
            audio = base64.b64encode(data).decode()
            await connection.input_audio_buffer.append(audio=audio)
        events = await read(connection, "response.done")
        deltas = [e.delta for e in events if e.type == "response.output_audio.delta"]
        num = sum(len(base64.b64decode(one)) for one in deltas)
        assert num == pytest.approx(ANSWER_S * 8000, abs=10)

    talking(live, work)


def test_our_own_events_come_to_those_who_ask(live, agent):
    ours = {"events": ["waterfall", "remembered"], "plays": True}

    async def work(connection):
        async with updated(connection, {"mooer": ours}) as events:
            assert events[-1].session.mooer["plays"] is True
        await connection.response.create()
        events = await read(connection, "response.done")
        [waterfall] = [e for e in events if e.type == "mooer.waterfall"]
        assert set(waterfall.moments) == {"vad"}
        item_id = events[-1].response.output[0].id
        for ms in (500.0, 1000.0):
            await connection.send(
                {
                    "type": "mooer.played",
                    "response_id": events[-1].response.id,
                    "item_id": item_id,
                    "audio_ms": ms,
                }
            )
        [remembered] = await read(connection, "mooer.remembered")
        assert (remembered.text, remembered.audio_ms, remembered.is_whole) == (TEXT, 1000, True)

    talking(live, work)


def test_a_session_that_transcribes_after_all(live):
    async def work(connection):
        await read(connection, "session.created")
        await connection.session.update(session={"type": "transcription"})
        [updated] = await read(connection, "session.updated")
        assert updated.session.type == "transcription"
        await connection.session.update(session={"type": "realtime"})
        [updated] = await read(connection, "session.updated")
        assert updated.session.type == "realtime"
        await append(connection, (0.5, 0))
        await connection.session.update(session={"type": "transcription"})
        [error] = await read(connection, "error")
        assert error.error.param == "session.type"

    talking(live, work)


@pytest.mark.parametrize(
    ("event", "param", "code"),
    [
        ({"type": "nothing"}, "type", "unsupported_event"),
        ({"type": "session.update", "session": {"voice": "nobody"}}, None, None),
        ({"type": "session.update", "session": {"tools": [{"type": "mcp"}]}}, None, None),
        ({"type": "session.update", "session": {"sound": 1}}, "session.sound", "unknown_parameter"),
        ({"type": "conversation.item.create", "item": {"type": "x"}}, "item.type", None),
        ({"type": "conversation.item.delete", "item_id": "x"}, "item_id", "item_not_found"),
        ({"type": "conversation.item.truncate", "item_id": 3}, "item_id", None),
        ({"type": "response.create", "response": {"tools": []}}, "response.tools", None),
        ({"type": "response.create", "response": {"conversation": "none"}}, None, None),
        ({"type": "input_audio_buffer.append", "audio": "%"}, "audio", "invalid_audio"),
    ],
    ids=lambda one: str(one)[:50],
)
def test_what_cannot_be_is_told_and_the_conversation_goes_on(live, event, param, code):
    async def work(connection):
        await connection.send(event | {"event_id": "e7"})
        [*_, error] = await read(connection, "error")
        assert error.error.event_id == "e7"
        assert param is None or error.error.param == param
        assert code is None or error.error.code == code
        async with updated(connection, {"instructions": "Go on."}) as events:
            assert events[-1].session.instructions == "Go on."

    talking(live, work)


def test_conversations_do_not_hear_each_other():
    models = Models()
    models.agent = ScriptedAgent()

    async def hold(live, number):
        client = openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
        async with client, client.realtime.connect(model="gpt-realtime") as connection:
            for turn in range(1, number + 1):
                await connection.session.update(session={"type": "realtime", **TRANSCRIBED})
                await append(connection, (0.3, 0.4), (0.4, 0))
                [*_, heard] = await read(connection, HEARD)
                assert heard.transcript == f"turn {turn}"
                [*_, done] = await read(connection, "response.done")
                assert done.response.status == "completed"

    async def all_of_them(live):
        await asyncio.gather(*(hold(live, number) for number in (1, 2, 3, 1)))

    with running(models) as live:
        asyncio.run(asyncio.wait_for(all_of_them(live), 20))
        until(lambda: live.state.limits.num_talks == 0)
        assert len(models.agent.sessions) == 4
        assert all(session.is_closed for session in models.agent.sessions)
