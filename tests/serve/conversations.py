"""A conversation by a script: what is loud is speech, and every turn has a number and an answer."""

import numpy as np

from mooer.agent.events import (
    AnswerEnded,
    AnswerSound,
    AnswerStarted,
    AnswerText,
    Failed,
    Flush,
    Remembered,
    ToolCalled,
    TurnEnded,
    UserStarted,
    UserStopped,
    Waterfall,
)
from mooer.agent.mind import Turn
from mooer.agent.options import AgentOptions
from mooer.errors import AgentError, ConfigError

RATE_HZ = 24_000
ANSWER = ("Good ", "morning.")
ANSWER_S = 1.0  # of sound, in two clauses


def tone(seconds, hz=220.0):
    """What the agent sounds like."""
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype("f4")


class ScriptedSession:
    """Behaves as `mooer.agent.session.Session` does, without any model.

    A turn ends with 0.3 s of silence; its text is "turn N". Answers come piece by piece, one at a
    `poll` or `push`. `calls` are all calls but those two.
    """

    def __init__(self, options=None):
        self.options = options or AgentOptions()
        self.calls = []
        self.turns = []  # in memory
        self.time_s = 0.0
        self.is_closed = False
        self.is_deaf = False  # whether it takes no sound for speech
        self.reports = []  # of what was played
        self.moments = None  # of a waterfall
        self.answer_s = ANSWER_S  # of sound
        self.call_tool = False  # whether answers are calls of a tool
        self.fails = False  # whether the mind does
        self.is_slow = False  # whether an answer ends only when it is interrupted
        self._speech_s = 0.0
        self._end_s = None
        self._num_turns = self._num_answers = 0
        self._script = []
        self._sent = self._played = 0
        self._is_ended = True
        self._is_remembered = True

    # --- what comes in

    def push(self, samples):
        self.time_s += len(samples) / 16_000
        events = []
        if self.options.manual or self.is_deaf:
            return self._next()
        if np.abs(samples).mean() > 0.01:
            if not self._speech_s:
                events.append(UserStarted(self.time_s - len(samples) / 16_000))
            self._speech_s += len(samples) / 16_000
            self._end_s = self.time_s
            if self._speech_s >= 0.1 and self.options.interrupt_response:
                events += self.interrupt(by_voice=True)
        elif self._speech_s and self.time_s - self._end_s >= 0.3:
            events += [UserStopped(self._end_s), *self._end_turn()]
        return events + self._next()

    def poll(self):
        return self._next()

    def played(self, answer, num_samples):
        assert answer == self._num_answers
        self.reports.append(num_samples)
        self._played = max(self._played, num_samples)
        if self._is_ended and self._played >= self._sent and not self._is_remembered:
            return self._remember(is_whole=True)
        return []

    def say(self, text):
        raise AssertionError("texts are remembered as turns")

    def commit(self):
        self.calls.append("commit")
        return self._end_turn()

    def clear(self):
        self.calls.append("clear")
        self._speech_s = 0.0
        return []

    def respond(self, instructions=""):
        self.calls.append(("respond", instructions))
        return self._begin(None)

    def speak(self, text):
        self.calls.append(("speak", text))
        return []

    def interrupt(self, by_voice=False):
        if not by_voice:
            self.calls.append("interrupt")
        if self._is_ended and self._played >= self._sent:
            return []
        self._script = []
        events = [Flush(self.time_s, self._num_answers)]
        if not self._is_ended:
            self._is_ended = True
            events.append(AnswerEnded(self.time_s, self._num_answers, "Good ", False))
        self._sent = self._played
        return events + ([] if self._is_remembered else self._remember(is_whole=False))

    def truncate(self, answer, num_samples):
        self.calls.append(("truncate", answer, num_samples))
        self._played = self._sent = num_samples
        return [] if self._is_remembered else self._remember(is_whole=False)

    def tool_result(self, call, output):
        if call != "call_1":
            raise AgentError(f"there is no call {call!r}")
        self.calls.append(("tool_result", call, output))
        self.call_tool = False
        return []

    def remember(self, turn):
        self.turns.append(turn)

    def forget(self, turn):
        self.turns.remove(turn)

    def change(self, options):
        self.options = options

    def close(self):
        self.is_closed = True

    # --- what comes of it

    def _end_turn(self):
        self._speech_s, self._end_s = 0.0, None
        self._num_turns += 1
        text = f"turn {self._num_turns}"
        self.turns.append(Turn("user", text))
        events = [TurnEnded(self.time_s, self._num_turns, text, "en")]
        return events + (self._begin(self._num_turns) if self.options.create_response else [])

    def _begin(self, turn):
        self._num_answers += 1
        number, at_s = self._num_answers, self.time_s
        self._sent = self._played = 0
        self._is_ended = self._is_remembered = False
        if self.fails:
            self._script = [Failed(at_s, "think", "the mind is silent"), None]
        elif self.call_tool:
            self._script = [ToolCalled(at_s, number, "call_1", "clock", "{}", False), None]
        else:
            half = tone(self.answer_s / 2)
            self._script = [AnswerText(at_s, number, ANSWER[0])]
            if self.options.speaks:
                sound = AnswerSound(at_s, number, half, RATE_HZ, 0, ANSWER[0])
                self._script.append(sound)
            self._script.append(AnswerText(at_s, number, ANSWER[1]))
            if self.options.speaks:
                sound = AnswerSound(at_s, number, half, RATE_HZ, len(half), ANSWER[1])
                self._script += [sound, Waterfall(at_s, number, self.moments or {"vad": at_s})]
            self._script.append(None)
        return [AnswerStarted(at_s, number, turn)]

    def _next(self):
        if not self._script:
            return []
        if self.is_slow and self._script[0] is None:
            return []
        event = self._script.pop(0)
        if isinstance(event, AnswerSound):
            self._sent += len(event.samples)
        if event is not None:
            return [event]
        self._is_ended = True
        is_whole = not self.fails
        text = "".join(ANSWER) if is_whole and not self.call_tool else ""
        ended = AnswerEnded(self.time_s, self._num_answers, text, is_whole)
        if not self._sent:
            self._is_remembered = True
            return [ended, Remembered(self.time_s, self._num_answers, text, 0, True)]
        return [ended]

    def _remember(self, *, is_whole):
        self._is_remembered = True
        text = "".join(ANSWER) if is_whole else ANSWER[0]
        return [Remembered(self.time_s, self._num_answers, text, self._played, is_whole)]


class ScriptedTalk:
    """What an engine gives for one conversation."""

    greeting = ""

    def __init__(self, session):
        self.session = session

    def options_of(self, wanted):
        if wanted.voice == "nobody":
            raise ConfigError("unknown voice 'nobody'")
        turns = wanted.turns
        return AgentOptions(
            instructions=wanted.instructions,
            voice=wanted.voice,
            tools=wanted.tools,
            speaks=wanted.modality == "audio",
            manual=turns is None,
            create_response=turns is not None and turns.create_response,
            interrupt_response=turns is None or turns.interrupt_response,
            barge_in="pause" if wanted.extension.pauses else "wait",
        )

    def close(self):
        self.session.close()


class ScriptedAgent:
    """An engine of kind agent; `sessions` are all that were opened."""

    def __init__(self, **wanted):
        self.sessions = []
        self.wanted = wanted

    def converse(self, job, ears, speaker):
        session = ScriptedSession()
        for name, value in self.wanted.items():
            setattr(session, name, value)
        self.sessions.append(session)
        return ScriptedTalk(session)

    def close(self):
        pass
