"""Conversations with the agent itself over fake models: a mind by a script, a speaker that hums."""

import base64
import json
import re
import socket
import time
from contextlib import ExitStack

import numpy as np
import pytest
from tests.fakes import LoudnessVad, speech
from tests.serve import stand
from tests.serve.stand import LoudWhisper, Models, running, until

from mooer.agent.mind import ToolCall
from mooer.agent.options import AgentOptions
from mooer.agent.persona import Persona
from mooer.agent.policy import PolicyOptions
from mooer.errors import ConfigError
from mooer.infer.recognizer import Recognizer
from mooer.serve.agents import AgentEngine, AgentTalk, Ears, Senses, _mind
from mooer.serve.callers import Caller
from mooer.serve.conversation_session import ConversationSession
from mooer.serve.jobs import Job
from mooer.serve.settings import Settings
from mooer.serve.shared_agent import Thinking
from mooer.serve.sharing import share

websockets = pytest.importorskip("websockets.sync.client")
HEARD = "conversation.item.input_audio_transcription.completed"


class ScriptedMind:
    """Answers the last turn; `seen` are the turns and the system prompts it was given."""

    hears = False

    def __init__(self):
        self.seen = []

    def answer(self, turns, *, system, tools=(), max_tokens=200):
        self.seen.append(([(turn.role, turn.text) for turn in turns], system))
        named = [tool.name for tool in tools if tool.name in turns[-1].text.split()]
        if named and turns[-1].role == "user":
            yield ToolCall("call_7", named[0], "{}")
            return
        yield "You said: "
        yield f"{turns[-1].text}."

    @property
    def last(self):
        return self.seen[-1][0]


class AlwaysOver:
    """A turn model that thinks every pause is the end."""

    def complete(self, samples):
        return 0.9


class NeverOver:
    """A turn model that waits for the longest silence."""

    def complete(self, samples):
        return 0.0


class Talk:
    """A caller of the realtime API, with sound at 16 kHz."""

    def __init__(self, url, **session):
        self.opening = websockets.connect(url.replace("http", "ws") + "/v1/realtime?model=agent")
        input = {"format": {"type": "audio/pcm", "rate": 16_000}}
        input |= {"transcription": {"model": "default"}} | session.pop("input", {})
        self.session = {"type": "realtime", "audio": {"input": input}} | session

    def __enter__(self):
        self.socket = self.opening.__enter__()
        self.event("session.created")
        self.send("session.update", session=self.session)
        self.event("session.updated")
        return self

    def __exit__(self, *error):
        self.opening.__exit__(*error)

    def send(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}))

    def sound(self, *pattern):
        """Loudness over time, as fast as it is taken."""
        data = (np.clip(speech(*pattern), -1, 1) * 32767).astype("<i2").tobytes()
        for start in range(0, len(data), 3200):
            audio = base64.b64encode(data[start : start + 3200]).decode()
            self.send("input_audio_buffer.append", audio=audio)

    def events(self, until):
        """Up to one of a type."""
        found = []
        while not found or found[-1]["type"] != until:
            found.append(json.loads(self.socket.recv(timeout=15)))
            assert found[-1]["type"] != "error" or until == "error", found[-1]
        return found

    def event(self, kind):
        return self.events(kind)[-1]

    def say(self, text):
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        self.send("conversation.item.create", item=item)
        self.send("response.create")


@pytest.fixture(scope="module")
def mind():
    return ScriptedMind()


@pytest.fixture(scope="module")
def live(mind):
    models = Models()
    persona = Persona("Be kind.", tools=("now",))
    models.agent = AgentEngine(persona, Thinking(mind), Senses(LoudnessVad(), AlwaysOver()))
    with running(models) as found:
        yield found


def said(events):
    kind = "response.output_audio_transcript.delta"
    return "".join(event["delta"] for event in events if event["type"] == kind)


def sound_of(events):
    found = [e["delta"] for e in events if e["type"] == "response.output_audio.delta"]
    return b"".join(map(base64.b64decode, found))


def test_a_spoken_turn(live, mind):
    with Talk(live.url, tool_choice="none") as talk:
        talk.sound((0.5, 0), (2.0, 0.4), (1.5, 0))
        events = talk.events("response.done")
        heard = next(e for e in events if e["type"] == HEARD)
        assert heard["transcript"].startswith("four four")
        assert said(events).startswith("You said: four")
        assert len(sound_of(events)) > 24_000
        started = next(e for e in events if e["type"] == "input_audio_buffer.speech_started")
        assert started["audio_start_ms"] == pytest.approx(500, abs=150)
        assert events[-1]["response"]["status"] == "completed"
    assert "Be kind." in mind.seen[-1][1]
    until(lambda: live.state.limits.num_talks == 0)


def test_what_was_typed_is_answered_and_what_was_played_is_remembered(live, mind):
    with Talk(live.url, mooer={"events": ["remembered"], "plays": True}) as talk:
        talk.say("Hello?")
        events = talk.events("response.done")
        assert said(events) == "You said: Hello?."
        item_id = events[-1]["response"]["output"][0]["id"]
        ms = len(sound_of(events)) / 48
        talk.send("mooer.played", item_id=item_id, audio_ms=ms)
        assert talk.event("mooer.remembered")["is_whole"] is True
        talk.say("And?")
        talk.events("response.done")
        assert mind.last[-3:] == [
            ("user", "Hello?"),
            ("assistant", "You said: Hello?."),
            ("user", "And?"),
        ]


def test_what_was_not_heard_is_forgotten(live, mind):
    with Talk(live.url, mooer={"plays": True}) as talk:
        talk.say("a long question, with many words")
        events = talk.events("response.done")
        item_id = events[-1]["response"]["output"][0]["id"]
        talk.send("mooer.played", item_id=item_id, audio_ms=400)
        talk.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=400)
        assert talk.event("conversation.item.truncated")["audio_end_ms"] == 400
        talk.say("And?")
        talk.events("response.done")
        [remembered] = [text for role, text in mind.last if role == "assistant"]
        assert "You said: a long question, with many words.".startswith(remembered.rstrip("—… "))
        assert len(remembered) < 20


def test_a_client_that_tells_nothing_is_taken_to_play(live, mind):
    with Talk(live.url) as talk:
        talk.say("Hi")
        events = talk.events("response.done")
        time.sleep(len(sound_of(events)) / 48_000 + 0.3)
        talk.say("And?")
        talk.events("response.done")
        assert ("assistant", "You said: Hi.") in mind.last


def test_what_is_deleted_is_forgotten(live, mind):
    with Talk(live.url, tool_choice="none") as talk:
        talk.sound((0.5, 0), (2.0, 0.4), (1.5, 0))
        events = talk.events("response.done")
        spoken = next(e["item_id"] for e in events if e["type"] == HEARD)
        for item_id in (spoken, events[-1]["response"]["output"][0]["id"]):
            talk.send("conversation.item.delete", item_id=item_id)
            assert talk.event("conversation.item.deleted")["item_id"] == item_id
        talk.send(
            "conversation.item.create",
            item={
                "id": "mine",
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I am here."}],
            },
        )
        talk.send("conversation.item.delete", item_id="mine")
        talk.event("conversation.item.deleted")
        talk.say("And?")
        talk.events("response.done")
        assert mind.last == [("user", "And?")]


def test_turns_by_hand(live, mind):
    with Talk(live.url, input={"turn_detection": None}) as talk:
        talk.sound((1.0, 0.4), (2.0, 0), (1.0, 0.4))
        talk.send("input_audio_buffer.commit")
        talk.send("response.create")
        events = talk.events("response.done")
        kinds = [event["type"] for event in events]
        assert kinds.count("input_audio_buffer.committed") == 1
        assert kinds.index(HEARD) < kinds.index("response.created")
        assert "four" in said(events)


def test_silence_by_hand_is_answered_too(live, monkeypatch):
    monkeypatch.setattr(stand, "WORDS", ("",) * 10)  # nothing is heard in it
    with Talk(live.url, input={"turn_detection": None}) as talk:
        talk.sound((1.0, 0))
        talk.send("input_audio_buffer.commit")
        assert talk.event(HEARD)["transcript"] == ""
        talk.say("Are you there?")
        assert "Are you there?" in said(talk.events("response.done"))


def test_text_alone(live):
    with Talk(live.url, output_modalities=["text"]) as talk:
        talk.say("Hi")
        events = talk.events("response.done")
        assert not sound_of(events)
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == "You said: Hi."


def test_a_tool_of_the_caller(live, mind):
    tool = {"type": "function", "name": "weather", "description": "", "parameters": {}}
    with Talk(live.url, tools=[tool]) as talk:
        talk.say("How is the weather today?")
        events = talk.events("response.done")
        [call] = events[-1]["response"]["output"]
        assert (call["type"], call["name"]) == ("function_call", "weather")
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        talk.send("conversation.item.create", item=output)
        talk.send("response.create")
        events = talk.events("response.done")
        assert said(events) == "You said: rain."


def test_a_tool_of_the_server(live):
    with Talk(live.url) as talk:
        talk.say("What time is it now ?")
        events = talk.events("response.done")
        assert not [event for event in events if "function" in event["type"]]
        assert re.match(r"You said: 20\d\d-", said(events))


def test_an_answer_is_interrupted(live, mind):
    with Talk(live.url, tool_choice="none", mooer={"events": ["flush"], "plays": True}) as talk:
        talk.say("a long question, with many words in it, and more of them")
        events = talk.events("response.done")
        item_id = events[-1]["response"]["output"][0]["id"]
        talk.send("mooer.played", item_id=item_id, audio_ms=300)
        talk.sound((2.0, 0.4), (1.5, 0))
        talk.event("mooer.flush")
        talk.send("mooer.played", item_id=item_id, audio_ms=1500)  # so far it got
        events = talk.events("response.done")
        talk.say("And?")
        talk.events("response.done")
        kinds = [event["type"] for event in events]
        assert kinds.index("input_audio_buffer.speech_started") < kinds.index(HEARD)
        remembered = [text for role, text in mind.last if role == "assistant"]
        assert remembered[0].startswith("You said")
        assert not remembered[0].endswith("them.")


def test_conversations_are_their_own(live, mind):
    with Talk(live.url) as anna, Talk(live.url) as ben:
        for word in ("one", "two"):
            anna.say(f"anna {word}")
            ben.say(f"ben {word}")
            assert said(anna.events("response.done")) == f"You said: anna {word}."
            assert said(ben.events("response.done")) == f"You said: ben {word}."
        for turns, _ in mind.seen[-4:]:
            names = {text.split()[0] for role, text in turns if role == "user"}
            assert len(names) == 1


def test_those_who_leave_leave_nothing_behind(live):
    with ExitStack() as stack:
        for _ in range(3):
            talk = stack.enter_context(Talk(live.url))
            talk.say("a long question " * 20)
            talk.socket.socket.shutdown(socket.SHUT_RDWR)  # without a word
    until(lambda: live.state.limits.num_talks == 0, 15)
    with Talk(live.url) as talk:
        talk.say("Hi")
        assert said(talk.events("response.done")) == "You said: Hi."


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ({"type": "semantic_vad", "eagerness": "low"}, {"turn_model": True, "max_silence_s": 8.0}),
        (
            {"type": "semantic_vad"},
            {"turn_model": True, "max_silence_s": AgentOptions().max_silence_s},
        ),
        (
            {"type": "server_vad", "silence_duration_ms": 900, "threshold": 0.7},
            {"turn_model": False, "silence_s": 0.9, "vad_threshold": 0.7},
        ),
        ({"type": "server_vad", "silence_duration_ms": 100}, {"silence_s": 0.1, "end_s": 0.1}),
        ({"type": "server_vad", "create_response": False}, {"create_response": False}),
        ({"type": "server_vad", "idle_timeout_ms": 6000}, {"proactive_s": 6.0}),
        (None, {"manual": True, "create_response": False}),
    ],
)
def test_turn_detection_becomes_options(turns, wanted):
    talk = AgentTalk(None, None, AgentOptions(), lambda name: name)
    session = ConversationSession().changed({"turn_detection": turns})
    options = talk.options_of(session)
    assert {name: getattr(options, name) for name in wanted} == wanted


def test_a_mind_behind_an_address_needs_a_model():
    with pytest.raises(ConfigError, match="mind_model"):
        _mind(Settings(mind="http://localhost:1/v1"), 1)
    for settings in (
        Settings(mind="http://localhost:1/v1#qwen3"),
        Settings(mind="http://localhost:1/v1", mind_model="qwen3"),
    ):
        assert _mind(settings, 1)().hears is False


def test_the_agent_says_mm_hm_while_a_caller_speaks_long():
    """It is a response of its own, with sound, beside the turn of the caller, and is forgotten."""
    mind, models = ScriptedMind(), Models()
    policy = PolicyOptions(
        back_channels=True, back_channel_after_s=3.8, back_channel_words={"en": ("I see.",)}
    )
    senses = Senses(LoudnessVad(), NeverOver())
    models.agent = AgentEngine(Persona("Be kind.", policy=policy), Thinking(mind), senses)
    with running(models) as live, Talk(live.url) as talk:
        talk.sound((0.5, 0), (4.0, 0.4), (0.8, 0))
        murmur = talk.events("response.done")
        assert said(murmur) == "I see."
        assert sound_of(murmur)
        assert not [e for e in murmur if e["type"] == "input_audio_buffer.speech_stopped"]
        talk.sound((1.0, 0.4), (1.7, 0))
        answer = talk.events("response.done")
        assert said(answer).startswith("You said: four")
        assert sum(e["type"] == HEARD for e in answer) == 1
        talk.say("And?")
        talk.events("response.done")
        assert "I see." not in str(mind.last)


@pytest.mark.parametrize(("is_small", "hears"), [(True, "crew"), (False, "alone")])
def test_a_small_whisper_hears_by_one_thread(is_small, hears):
    """That of the crew; of a large one all threads work while nothing else is decoded."""
    engines = {"alone": LoudWhisper(), "crew": LoudWhisper()}
    engines["crew"].is_small = is_small
    recognizer = Recognizer(
        engines["alone"], LoudnessVad(), versions={}, make_crew=lambda: engines["crew"]
    )
    shared = share(recognizer, threads=2, max_batch=1, on_batch=lambda size: None)
    ears = Ears(shared.listener(Job(Caller("me"), 10)), ("en",))
    assert ears.hear(speech((1.0, 0.4))).text
    assert [name for name, one in engines.items() if one.batches] == [hears]
    shared.close()
