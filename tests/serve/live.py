"""A server whose one model hears a script, and callers of its live streams."""

import contextlib
import json

import numpy as np
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tests.infer.streams import ScriptEar, open_session, sound, talk

from mooer.serve.app import make_app
from mooer.serve.engines import SPEAKER
from mooer.serve.settings import LimitOptions, Settings
from mooer.serve.speakers import SpeakerEngine

WORDS = "good morning to all of you."
SCRIPT = talk(WORDS)  # from 0.5 to 2.9 s
CLIP = sound(4.5, (0.5, 2.9))


class ScriptedEngine:
    """A recogniser for live streams; `asked` are the options of each."""

    def __init__(self, script, translate=None):
        self.asked = []
        self.lives = []
        self.script = script
        self.translate = translate

    def listen(self, job, options, live):
        self.asked.append(options)
        self.lives.append(live)
        ear = ScriptEar(self.script)
        return open_session(ear, live, translate=self.translate, **vars(options))

    def listener(self, job):
        raise AssertionError("only streams are heard here")

    def close(self):
        pass


@contextlib.contextmanager
def serving(script=SCRIPT, *, translate=None, speaker=None, settings=None, **limits):
    """A client, the engine behind it, and the state of the server; `speaker`, if one speaks."""
    engine = ScriptedEngine(script, translate)

    def load(kind, *_):
        return SpeakerEngine(speaker) if kind == SPEAKER else engine

    name = None if speaker is None else "tones"
    given = {"models": ("fake",), "speaker": name, "warm": False} | (settings or {})
    app = make_app(Settings(limits=LimitOptions(**limits), **given), load)
    with TestClient(app, base_url="http://localhost") as client:
        yield client, engine, app.state


def opened(client, path="/v1/captions", **options):
    return client.websocket_connect(f"ws://localhost{path}", **options)


def pcm16(samples):
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def frames(samples, block_s=0.1, rate_hz=16_000):
    size = round(block_s * rate_hz)
    return [pcm16(samples[start : start + size]) for start in range(0, len(samples), size)]


def said(socket, message):
    socket.send_text(json.dumps(message))


def rest(socket):
    """All messages until the other side closes, and its code."""
    found = []
    while True:
        try:
            found.append(json.loads(socket.receive_text()))
        except WebSocketDisconnect as error:
            return found, error.code


def kinds(messages):
    return [message["type"] for message in messages]
