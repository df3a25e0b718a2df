"""A recording whose sentences are known, and a voice that hums as long as a text takes."""

import numpy as np
from tests.fakes import LoudnessVad, speech

from mooer.audio.wave import open_wave
from mooer.errors import DecodeError
from mooer.infer.run import Listener, Run
from mooer.speak.spoken import Spoken, SpokenWord
from mooer.transcript import Segment

RATE = 24_000
A_LETTER_S = 0.1


def said(start_s, end_s, text, translation, language="zh"):
    return Segment(start_s, end_s, text, language, translation=translation)


class HummingVoicing:
    """0.1 s a letter, a clause a comma; `asked` are the (text, speed) of all calls."""

    rate_hz = RATE

    def __init__(self, fails=()):
        self.asked = []
        self._fails = fails

    def voice(self, pieces, *, voice=None, speed=1.0):
        text = "".join(pieces)
        self.asked.append((text, speed))
        for clause in text.split(","):
            if any(word in clause for word in self._fails):
                raise DecodeError(f"there is nothing to say in {clause!r}")
            seconds = A_LETTER_S * len(clause) / speed
            word = SpokenWord(clause.strip(), 0.0, seconds)
            samples = np.full(round(seconds * RATE), 0.3, np.float32)
            yield Spoken(clause, samples, RATE, (word,))


class Script(Listener):
    """Says its segments of any sound, each after so many seconds of it were read."""

    def __init__(self, segments):
        super().__init__(LoudnessVad(), name="script", versions={"script": "1"})
        self.segments = segments

    def run(self, source, options=None, *, rate_hz=None, on_progress=None):
        return _ScriptRun(self, open_wave(source, rate_hz=rate_hz), source, options, on_progress)

    def translate(self, source, options, on_progress):
        """As `infer.interpret.Translate` has it."""
        run = self.run(source, options, rate_hz=16_000, on_progress=on_progress)
        return run, run


class _ScriptRun(Run):
    def decoded(self, chunks):
        waiting = list(self._recognizer.segments)
        last = None
        for chunk in chunks:
            ready = [s for s in waiting if s.end_s <= chunk.end_s]
            waiting = waiting[len(ready) :]
            last = chunk
            yield chunk, ready
        if last is not None:
            yield last, waiting


def talk(total_s, *spans):
    """Samples [T] at 16 kHz, loud where somebody speaks."""
    pattern, at_s = [], 0.0
    for start_s, end_s in spans:
        pattern += [(start_s - at_s, 0.0), (end_s - start_s, 0.5)]
        at_s = end_s
    return speech(*pattern, (total_s - at_s, 0.0))
