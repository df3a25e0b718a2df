"""A session as simple as can be, whose manners are known: for clients, scenarios and scores."""

import numpy as np

from mooer.agent.events import (
    AnswerEnded,
    AnswerSound,
    AnswerStarted,
    AnswerText,
    Flush,
    Remembered,
    Resumed,
    TurnEnded,
    UserStarted,
    UserStopped,
    Waterfall,
)

RATE_HZ = 24_000


def tone(seconds, rate_hz=16_000, loudness=0.2):
    return (loudness * np.sin(np.arange(round(seconds * rate_hz)) * 0.3)).astype(np.float32)


class Parrot:
    """Answers loud sound after `silence_s` of quiet and `think_s` with a tone of `answer_s`.

    It stops after `stop_s` of loud sound while the answer plays (None: never), and goes on so long
    after the sound ended as `resume_s` says (None: never).
    """

    def __init__(self, *, silence_s=0.4, think_s=0.3, answer_s=3.0, stop_s=0.1, resume_s=None):
        self.silence_s, self.think_s, self.answer_s = silence_s, think_s, answer_s
        self.stop_s, self.resume_s = stop_s, resume_s
        self.time_s = 0.0
        self.reports = []
        self.said, self.is_closed = [], False
        self._loud_s = self._quiet_s = 0.0
        self._is_open = False  # a turn of the user
        self._answer_at = None
        self._answer = 0
        self._playing = None  # samples of the answer that were sent
        self._played = {}
        self._stopped = None

    @property
    def is_quiet(self):
        return not self._is_open and self._answer_at is None and self._playing is None

    def push(self, samples):
        self.time_s += len(samples) / 16_000
        seconds = len(samples) / 16_000
        is_loud = float(np.abs(samples).mean()) > 0.01
        self._loud_s = self._loud_s + seconds if is_loud else 0.0
        self._quiet_s = 0.0 if is_loud else self._quiet_s + seconds
        if self._playing is not None:
            return self._interrupted()
        if self._stopped is not None and self.resume_s is not None:
            return self._resumed()
        return self._turn(is_loud)

    def _interrupted(self):
        if self.stop_s is None or self._loud_s < self.stop_s:
            return []
        self._playing, self._stopped = None, self._answer
        return [Flush(self.time_s, self._answer)]

    def _resumed(self):
        if self._quiet_s < self.resume_s:
            return []
        self._stopped, start = None, self._played.get(self._answer, 0)
        self._playing = round(self.answer_s * RATE_HZ)
        return [Resumed(self.time_s, self._answer, start), *self._sound(start)]

    def _turn(self, is_loud):
        events = []
        if is_loud and not self._is_open:
            self._is_open, self._answer_at = True, None
            events.append(UserStarted(self.time_s - 0.02))
        elif self._is_open and self._quiet_s >= self.silence_s:
            self._is_open = False
            self._stop_s = self.time_s - self._quiet_s
            self._answer_at = self.time_s + self.think_s
            events += [UserStopped(self._stop_s), TurnEnded(self.time_s, 1, "hello there", "en")]
        if self._answer_at is not None and self.time_s >= self._answer_at:
            events += self.answer()
        return events

    def answer(self):
        self._answer_at, self._stopped = None, None
        self._answer += 1
        self._playing = round(self.answer_s * RATE_HZ)
        return [
            AnswerStarted(self.time_s, self._answer, 1),
            AnswerText(self.time_s, self._answer, "so it is"),
            *self._sound(0),
        ]

    def _sound(self, start):
        samples = tone(self.answer_s, RATE_HZ)
        half = len(samples) // 2
        at_s, one = self.time_s, self._answer
        pieces = [(start, max(start, half), "so"), (max(start, half), len(samples), "it is")]
        found = [
            AnswerSound(at_s, one, samples[a:b], RATE_HZ, a, text) for a, b, text in pieces if a < b
        ]
        return [*found, AnswerEnded(at_s, one, "so it is", True)]

    def played(self, answer, num_samples):
        self.reports.append((answer, num_samples))
        before = self._played.get(answer, 0)
        self._played[answer] = num_samples
        events = []
        if not before:
            end_s = getattr(self, "_stop_s", 0.0)
            moments = {"speech_end": end_s, "vad": end_s + self.silence_s, "played": self.time_s}
            events.append(Waterfall(self.time_s, answer, moments))
        if num_samples >= round(self.answer_s * RATE_HZ) and answer == self._answer:
            self._playing = None
            events.append(Remembered(self.time_s, answer, "so it is", num_samples, True))
        return events

    def poll(self):
        return []

    def say(self, text):
        self.said.append(text)
        return [TurnEnded(self.time_s, 1, text, ""), *self.answer()]

    def interrupt(self):
        if self._playing is None:
            return []
        self._playing, self._stopped = None, self._answer
        return [Flush(self.time_s, self._answer)]

    def close(self):
        self.is_closed = True
