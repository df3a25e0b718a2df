"""The user speaks while an answer is played: an interruption, a back-channel, or an echo?

Nobody can tell "right" from "right, but …" by its first 150 ms. With the policy "pause" the sound
is stopped at once all the same, and goes on from that sample if the words were none to stop for;
with "duck" it is only softened until the speech is longer than back-channels are.
What is much quieter than the user's own turns, as most back-channels are, stops nothing until its
words are known; with the policy "wait" nothing does.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial

from mooer.agent.answering import Answering
from mooer.agent.back_channels import is_back_channel, is_echo, is_order, num_tokens
from mooer.agent.context import Context, Task
from mooer.agent.events import BackChannel, Volume
from mooer.agent.jobs import Tell, Work
from mooer.agent.parts import Heard, Parts, Samples
from mooer.agent.tape import Tape
from mooer.agent.user_turn import UserTurn
from mooer.audio.endpoint import FRAME_S
from mooer.errors import MooerError

_LEVEL_TURNS = 4  # of the user, over which his level is a running mean


def hearing(parts: Parts, samples: Samples, language: str | None, *, is_final: bool) -> Work:
    """Work that tells what is said in samples as `Heard`."""

    def work(tell: Tell) -> Generator[None, None, None]:
        tell(parts.hear.hear(samples, language=language, is_final=is_final))
        yield

    return work


class BargeIn:
    """Watches one overlap of the user's speech with an answer at a time."""

    def __init__(self, context: Context, answering: Answering) -> None:
        self._context = context
        self._answering = answering
        self._task: Task | None = None
        self._num_heard = 0  # frames of speech that were heard, or are being heard
        self._is_sure = False
        self._softened: int | None = None  # an answer
        self.language: str | None = None  # of the user's last turn
        self._level: float | None = None  # mean power of the user's turns

    def learn(self, turn: UserTurn) -> None:
        """A turn of the user is over: this is how loudly he speaks, and what language."""
        self.language = turn.language or self.language
        if turn.num_speech and turn.power > 0:
            power = turn.power / turn.num_speech
            before = self._level if self._level is not None else power
            self._level = before + (power - before) / _LEVEL_TURNS

    def begin(self) -> None:
        """An overlap begins."""
        self._num_heard, self._is_sure = 0, False

    def frame(self, turn: UserTurn, tape: Tape) -> bool:
        """A frame of the overlap; whether it is an interruption for sure."""
        if self._is_sure:
            return True
        options, speech_s = self._context.options, turn.num_speech * FRAME_S
        by_words = self.is_by_words(turn)
        if not by_words and self._answering.current is not None:
            if options.barge_in == "pause" or speech_s >= options.duck_s:
                if speech_s >= options.interrupt_s:
                    self._answering.pause()
                return speech_s >= options.surely_s
            if speech_s >= options.interrupt_s:
                self._soften(self._answering.current.number)
        new_s = (turn.num_speech - self._num_heard) * FRAME_S
        if self._task is None and new_s >= options.words_s:
            self._num_heard = turn.num_speech
            samples = tape.cut(turn.sound_start, tape.end)
            language = options.language or self.language
            work = hearing(self._context.parts, samples, language, is_final=False)
            self._task = self._context.start(
                "hear", work, options.hear_deadline_s, partial(self._take, turn), self._done
            )
        return False

    def is_by_words(self, turn: UserTurn) -> bool:
        """Whether words decide before the sound is stopped."""
        options = self._context.options
        if options.barge_in == "wait" or options.echo == "text":
            return True
        if self._level is None or not options.soft_db or not turn.num_speech:
            return False
        below_db = 10 * math.log10(self._level / max(turn.power / turn.num_speech, 1e-12))
        return below_db > options.soft_db

    def is_interruption(self, turn: UserTurn, text: str) -> bool:
        """Whether words mean to interrupt what is being said."""
        options, answer = self._context.options, self._answering.current
        if not text.strip() or is_back_channel(text, options.back_channels):
            return False
        if options.echo != "off" and answer and is_echo(text, answer.spoken_around()):
            return False
        # A few words in half a second are seldom heard right, and mostly assent.
        is_brief = turn.num_speech * FRAME_S <= options.brief_s
        if is_brief and num_tokens(text) <= options.brief_words:
            return is_order(text, options.interruptions)
        return True

    def dismiss(self, text: str) -> None:
        """It was no interruption: what stands still goes on."""
        self.end()
        if is_back_channel(text, self._context.options.back_channels):
            self._context.tell(BackChannel(self._context.time_s, text))
        self.go_on()

    def go_on(self) -> None:
        """What stands still or is softened is as it was."""
        if self._softened is not None:
            self._context.tell(Volume(self._context.time_s, self._softened, 0.0))
            self._softened = None
        self._answering.resume()

    def _soften(self, answer: int) -> None:
        if self._softened != answer:
            self._softened = answer
            db = self._context.options.duck_db
            self._context.tell(Volume(self._context.time_s, answer, -db))

    def end(self) -> None:
        """The overlap is judged."""
        if self._task:
            self._task.close()
            self._task = None

    def _take(self, turn: UserTurn, value: object) -> None:
        assert isinstance(value, Heard)
        self._is_sure = self._is_sure or self.is_interruption(turn, value.text)

    def _done(self, error: MooerError | None) -> None:
        self._task = None
        if error:
            self._context.fail("hear", error)
