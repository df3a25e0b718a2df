"""A server over fakes: a recogniser that tells how loud a clip is, a speaker that hums."""

import io
import re
import threading
import time
import wave
from contextlib import contextmanager
from dataclasses import replace

import httpx
import numpy as np
from tests.fakes import FakeSpeechLLM, LoudnessVad, speech
from tests.serve.conversations import ScriptedAgent
from tests.speak.tones import ToneSpeaker

from mooer.engines.whisper import Decoded, Encoded, TimedWord, window_for
from mooer.errors import ModelError
from mooer.infer.listening import listen_by
from mooer.infer.recognizer import Recognizer
from mooer.serve.chats import SpeechChat
from mooer.serve.engines import AGENT, CHAT, SPEAKER
from mooer.serve.run import Server, configure
from mooer.serve.settings import NO_LLM, Settings
from mooer.serve.sharing import share
from mooer.serve.speakers import SpeakerEngine

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMERALS = "零一二三四五六七八九"


class LoudWhisper:
    """Says of each chunk how loud it is, in tenths: one word a second of sound.

    `batches` are the sizes of all calls; each takes `busy_s`, and waits while `gate` is shut.
    """

    is_multilingual = True
    is_small = True

    def __init__(self, workers=1, busy_s=0.0):
        self.workers = workers
        self.busy_s = busy_s
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def unload(self):
        pass

    def check_language(self, language):
        return language

    def encode(self, samples, window_s=None):
        duration_s = len(samples) / 16_000
        heard = np.abs(samples)[np.abs(samples) > 0.005]
        loud = float(heard.mean()) if len(heard) else 0.0
        return Encoded(min(9, round(20 * loud)), window_s or window_for(duration_s), duration_s)

    def detect_language(self, encoded):
        return [("en", 0.9)]

    def decode(self, chunks, language, options, max_tokens):
        self.batches.append(len(chunks))
        assert self.gate.wait(10)
        time.sleep(self.busy_s)
        if self.fails:
            raise ModelError("the weights in /secret/place are gone")
        found = []
        for chunk in chunks:
            num = max(1, round(chunk.duration_s))
            tokens = (chunk.output,) * num
            found.append(Decoded(" ".join([WORDS[chunk.output]] * num), tokens, -0.2, 0.0))
        return found

    def tokens(self, text):
        return tuple(text.encode())

    def align(self, chunk, tokens, language):
        step = chunk.duration_s / len(tokens)
        return [
            TimedWord(" " + WORDS[t], i * step, (i + 1) * step, 0.9) for i, t in enumerate(tokens)
        ]


class Numerals:
    """Translates what `LoudWhisper` says: "four four" is 四四."""

    def stream(self, segments, *, to):
        for segment in segments:
            said = segment.text.lower()
            for numeral, word, digit in zip(NUMERALS, WORDS, "0123456789", strict=True):
                said = said.replace(word, numeral).replace(digit, numeral)
            yield replace(segment, translation=re.sub(r"\W", "", said))


class FakeEngine:
    """What `serve.loading` makes of a model."""

    def __init__(self, whisper, on_batch=lambda size: None, max_batch=8, has_llm=True):
        self.whisper = whisper
        self.has_llm = has_llm
        recognizer = Recognizer(whisper, LoudnessVad(), name="fake", versions={"mooer": "0"})
        self._shared = share(recognizer, threads=1, max_batch=max_batch, on_batch=on_batch)

    @property
    def translator(self):
        return Numerals()

    def listener(self, job):
        return self._shared.listener(job)

    def listen(self, job, options, live):
        return listen_by(self.listener(job), options, live)

    def close(self):
        self._shared.close()


class Models:
    """`load` for `make_app`: fakes, and what they were asked."""

    def __init__(self, **options):
        self.whisper = LoudWhisper(**options)
        self.llm = FakeSpeechLLM(["A dog barks.", "It is a small one.", "No."] * 20)
        self.speaker = ToneSpeaker()
        self.agent = ScriptedAgent()
        self.loaded = []
        self.broken = ""

    def __call__(self, kind, name, settings, metrics):
        self.loaded.append(name)
        if name == self.broken:
            raise ModelError("/secret/place holds\nno model")
        if kind == SPEAKER:
            return SpeakerEngine(self.speaker)
        if kind == AGENT:
            return self.agent
        if kind == CHAT:
            return SpeechChat(self.llm)
        return FakeEngine(
            self.whisper,
            lambda size: metrics.observe("mooer_batch_size", size),
            settings.max_batch,
            has_llm=settings.llm != NO_LLM,
        )


def load_slow(kind, name, settings, metrics):
    """Fakes whose every batch takes a second; a name that a new process can find."""
    return Models(busy_s=1.0)(kind, name, settings, metrics)


def load_quick(kind, name, settings, metrics):
    """Fakes, by a name that another process can find."""
    return Models(busy_s=0.1)(kind, name, settings, metrics)


def settings(**options):
    """Settings of a small server."""
    return Settings(**{"port": 0, "models": ("fake",), "chat": "fake-chat", **options})


def wav(loudness=0.4, seconds=3.0, rate_hz=16_000):
    """A file that the recogniser hears as so many words of a number: 0.4 is "four"."""
    samples = speech((0.5, 0), (seconds, loudness), (0.5, 0))
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return data.getvalue()


class Live:
    """A server on a port of its own."""

    def __init__(self, server, models, url):
        self.server, self.models, self.url = server, models, url
        self.http = httpx.Client(base_url=url, timeout=20)

    @property
    def state(self):
        """What its rooms share."""
        return self.server.config.loaded_app.state

    def transcribe(self, data=None, *, headers=None, file_name="a.wav", **fields):
        """Post a form."""
        files = {"file": (file_name, wav() if data is None else data)}
        return self.http.post("/v1/audio/transcriptions", files=files, data=fields, headers=headers)


@contextmanager
def running(models=None, more_models=(), **options):
    """A live server; at the end nothing of it may be left."""
    models = models or Models()
    options = {"models": ("fake", *more_models), **options}
    server = Server(configure(settings(**options), models))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    assert server.started
    port = server.servers[0].sockets[0].getsockname()[1]
    live = Live(server, models, f"http://127.0.0.1:{port}")
    try:
        yield live
    finally:
        live.http.close()
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


def until(condition, seconds=5.0):
    """Wait for something that another thread does."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen"
        time.sleep(0.01)
