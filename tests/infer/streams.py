"""A stream that tells what time it is, and an ear that knows what is said when."""

import numpy as np
from tests.fakes import LoudnessVad

from mooer.engines.whisper import TimedWord
from mooer.infer import EndPoint, Final, LiveOptions, Partial, RecognizeOptions, Said, Session
from mooer.infer.ear import Guess

RATE = 16_000
_SPEECH, _SILENCE = 0.01, 0.0001  # of loudness a second, so that samples tell their time


def sound(total_s, *spoken):
    """Samples [T] whose loudness is their time; `spoken` are (start, end) in seconds."""
    times = np.arange(round(total_s * RATE)) / RATE
    samples = _SILENCE * times
    for start_s, end_s in spoken:
        inside = (times >= start_s) & (times < end_s)
        samples[inside] = 0.1 + _SPEECH * times[inside]
    return samples.astype(np.float32)


def time_of(samples):
    """When they begin."""
    loud = int(np.argmax(samples > 0.05)) + 200  # behind the edge, which a resampler rounds
    if loud < len(samples) and samples[loud] > 0.05:
        return (float(samples[loud]) - 0.1) / _SPEECH - loud / RATE
    return float(samples[0]) / _SILENCE


def talk(text, start_s=0.5, word_s=0.4):
    """A script, the words one after the other without a pause."""
    return [
        (word, start_s + i * word_s, start_s + (i + 1) * word_s)
        for i, word in enumerate(text.split())
    ]


class ScriptEar:
    """Hears the script; of a word that the window cuts it hears the first letter.

    `windows` are the seconds of every window and whether it was the last.
    """

    language_probability = 0.9

    def __init__(self, script, *, on_hear=lambda: None, language="en"):
        self.script = script
        self.windows = []
        self._on_hear = on_hear
        self._language = language

    def hear(self, samples, said, *, speech_prob, last):
        self._on_hear()
        self.windows.append((len(samples) / RATE, last))
        begin_s = time_of(samples)
        end_s = begin_s + len(samples) / RATE
        after_s = begin_s + said[-1].end_s if said else begin_s
        words = []
        for text, start_s, stop_s in self.script:
            if (start_s + stop_s) / 2 > after_s and start_s < end_s - 0.01:
                heard = text if stop_s <= end_s + 0.01 else text[0]
                words.append(
                    TimedWord(f" {heard}", start_s - begin_s, min(stop_s, end_s) - begin_s, 0.9)
                )
        return Guess(tuple(words), self._language)


class Clock:
    """Stands still unless it is moved."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def open_session(ear, live=None, *, clock=None, translate=None, **options):
    return Session(
        ear,
        LoudnessVad(),
        RecognizeOptions(**options),
        live or LiveOptions(),
        name="fake",
        versions={"mooer": "0"},
        translate=translate,
        clock=clock or Clock(),
    )


def pushed(session, samples, block_s=0.1):
    """The events of a whole stream."""
    size = round(block_s * RATE)
    blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
    return list(session.follow(blocks))


def finals(events):
    return [word for event in events if isinstance(event, Final) for word in event.words]


def final_text(events):
    return "".join(word.text for word in finals(events)).strip()


def partials(events):
    return [e.text.strip() for e in events if type(e) is Partial]


def segments(events):
    return [event.segment for event in events if isinstance(event, Said)]


def ends(events):
    return [event.time_s for event in events if isinstance(event, EndPoint)]
