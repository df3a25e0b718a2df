"""Turn-taking: when the user speaks, when he has finished, and when he goes on after all."""

from __future__ import annotations

from functools import partial

import numpy as np

from mooer.agent.answering import Answering
from mooer.agent.barge_in import BargeIn, hearing
from mooer.agent.context import Context
from mooer.agent.dictation import Dictation
from mooer.agent.endings import Judges, needed_silence_s
from mooer.agent.events import TurnEnded, TurnReopened, UserStarted, UserStopped, UserText
from mooer.agent.memory import Memory
from mooer.agent.mind import Turn
from mooer.agent.parts import Heard, Samples
from mooer.agent.tape import Tape
from mooer.agent.thinking import Ask
from mooer.agent.user_turn import Attempt, UserTurn
from mooer.audio.endpoint import FRAME_S
from mooer.audio.vad import FRAME_SAMPLES
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import MooerError

_GOES_ON_FRAMES = 2  # of speech after a silence; one may be a click
_TURN_MODEL_S = 8.0  # of sound that the turn model is shown
_MIND_S = 30.0  # of sound that a mind is shown


class TurnTaking:
    """Follows the user's sound frame by frame."""

    def __init__(self, context: Context, answering: Answering, memory: Memory) -> None:
        self._context = context
        self._answering = answering
        self._memory = memory
        self._barge_in = BargeIn(context, answering)
        self._dictation = Dictation(context, answering, memory)
        self._judges = Judges(context, self._decide)
        self.tape = Tape()
        self.turn: UserTurn | None = None
        self._attempt: Attempt | None = None
        self._ended: tuple[UserTurn, Turn] | None = None  # the last turn, and as it is in memory
        self._burst: UserTurn | None = None  # speech too short to be called a turn
        self._next_start = 0  # no turn's sound begins before it
        self.num_turns = 0
        self.quiet_since_s = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether the user says nothing."""
        return self.turn is None and self._burst is None

    @property
    def language(self) -> str | None:
        """Of the user's last turn."""
        return self._barge_in.language

    # --- frames -----------------------------------------------------------------------------------

    def frame(self, frame: Samples, prob: float) -> None:
        """The next 32 ms."""
        options = self._context.options
        start = self.tape.end
        self.tape.add(frame, prob)
        if self.turn is None and options.manual:
            self._begin_by_hand(start)
        is_known = self.turn is not None or self._burst is not None
        is_speech = prob >= (options.vad_release if is_known else options.vad_threshold)
        if self.turn is None:
            self._maybe_begin(start, frame, is_speech=is_speech)
        else:
            self._count(self.turn, frame, is_speech=is_speech)
            self._turn_frame(self.turn, prob)
        self._forget()

    def _count(self, turn: UserTurn, frame: Samples, *, is_speech: bool) -> None:
        if is_speech:
            turn.num_speech += 1
            turn.speech_end = self.tape.end
            turn.power += float(np.dot(frame, frame)) / FRAME_SAMPLES

    def _maybe_begin(self, start: int, frame: Samples, *, is_speech: bool) -> None:
        options = self._context.options
        burst = self._burst
        if burst is None:
            if not is_speech:
                return
            lead = round(options.lead_s * SAMPLE_RATE_HZ)
            sound_start = max(start - lead, self._next_start, self.tape.start)
            burst = UserTurn(self.num_turns + 1, start, sound_start, sound_start, self.tape.end)
            self._burst = burst
        self._count(burst, frame, is_speech=is_speech)
        may_interrupt = self._answering.is_audible and options.interrupt_response
        enough_s = options.min_speech_s
        if may_interrupt and not self._barge_in.is_by_words(burst):
            enough_s = min(enough_s, options.interrupt_s)
        if burst.num_speech * FRAME_S >= enough_s:
            self._burst = None
            self._begin(burst, may_interrupt=may_interrupt)
        elif (self.tape.end - burst.speech_end) / SAMPLE_RATE_HZ >= options.end_s:
            self._burst = None

    def _begin(self, turn: UserTurn, *, may_interrupt: bool) -> None:
        """Enough speech to be called so: a new turn, an overlap, or the last turn goes on."""
        current = self._answering.current
        if may_interrupt:
            turn.is_overlap = True
            self._barge_in.begin()
            self.turn = turn
            self._turn_frame(turn, 1.0)
            return
        if self._ended and current and current.turn == self._ended[0].number and not current.played:
            self._reopen(turn)
            return
        if current is not None and not self._answering.is_audible:
            self._answering.break_off()  # one that nobody asked for, and nobody has heard
        self.turn = turn
        self._tell_started(turn.begin)

    def _reopen(self, burst: UserTurn) -> None:
        assert self._ended is not None
        turn, said = self._ended
        self._ended = None
        self._memory.take_back(said)
        self._answering.void()
        turn.num_speech += burst.num_speech
        turn.power += burst.power
        turn.speech_end = burst.speech_end
        turn.moments.clear()
        self.turn = turn
        self._context.tell(TurnReopened(self._context.time_s, turn.number))
        self._tell_started(burst.begin)

    def _begin_by_hand(self, start: int) -> None:
        start = max(self._next_start, self.tape.start) if self._next_start else start
        self.turn = UserTurn(self.num_turns + 1, start, start, start, start)

    def _turn_frame(self, turn: UserTurn, prob: float) -> None:
        options, attempt = self._context.options, self._attempt
        silence_s = (self.tape.end - turn.speech_end) / SAMPLE_RATE_HZ
        if attempt is not None:
            attempt.num_speech = attempt.num_speech + 1 if prob >= options.vad_threshold else 0
            if attempt.num_speech >= _GOES_ON_FRAMES and not attempt.is_forced:
                self._go_on(turn, attempt)
        elif turn.is_overlap and self._barge_in.frame(turn, self.tape):
            self._promote(turn)
        if self._attempt is None and not options.manual and silence_s >= options.hear_s:
            self._attempt_end(turn)
        elif self._attempt is None and not turn.is_overlap:
            self._dictation.frame(turn, self.tape)
        self._maybe_ask(turn)
        if turn.is_overlap and silence_s >= options.false_interruption_s:
            self._barge_in.go_on()  # hearing is late, and may yet find an interruption
        self._decide()

    def _forget(self) -> None:
        """Let go of sound that nobody will ask for."""
        lead = round(self._context.options.lead_s * SAMPLE_RATE_HZ)
        keep = self.tape.end - lead - FRAME_SAMPLES
        most = self.tape.end - round(_MIND_S * SAMPLE_RATE_HZ)
        ended = self._ended[0] if self._ended and self._answering.current else None
        for turn in (self.turn, self._burst, ended):
            if turn is not None:
                turn.sound_start = max(turn.sound_start, most)
                hears = self._context.parts.mind.hears
                keep = min(keep, turn.sound_start if hears else turn.start, turn.start)
        self.tape.forget(keep)

    # --- was that all? ----------------------------------------------------------------------------

    def _attempt_end(self, turn: UserTurn) -> None:
        """The user is silent: hear what he said."""
        self._dictation.stop()
        self._barge_in.end()
        options = self._context.options
        attempt = self._attempt = Attempt(self.tape.end)
        samples = self.tape.cut(turn.start, attempt.end)
        # A word or two do not tell their language: over an answer it is that of the conversation.
        language = options.language or (self._barge_in.language if turn.is_overlap else None)
        attempt.hearing = self._context.start(
            "hear",
            hearing(self._context.parts, samples, language, is_final=True),
            options.hear_deadline_s,
            partial(self._heard, turn, attempt),
            partial(self._hearing_done, turn, attempt),
        )

    def _maybe_ask(self, turn: UserTurn) -> None:
        """Ask the turn model, once the silence is long enough."""
        attempt, options = self._attempt, self._context.options
        silence_s = (self.tape.end - turn.speech_end) / SAMPLE_RATE_HZ
        if attempt is None or attempt.is_asked or turn.is_overlap or silence_s < options.end_s:
            return
        attempt.is_asked = True
        turn.moments["speech_end"] = turn.speech_end_s
        turn.moments["vad"] = self._context.time_s
        self._context.tell(UserStopped(turn.speech_end_s))
        first = max(turn.sound_start, self.tape.end - round(_TURN_MODEL_S * SAMPLE_RATE_HZ))
        self._judges.listen(attempt, self.tape.cut(first, self.tape.end))

    def _heard(self, turn: UserTurn, attempt: Attempt, value: object) -> None:
        assert isinstance(value, Heard)
        attempt.text = value.text.strip()
        turn.language = value.language or turn.language
        turn.moments["asr_final"] = self._context.time_s
        if turn.is_overlap:
            if not self._barge_in.is_interruption(turn, attempt.text):
                self._dismiss(attempt.text)
                return
            self._promote(turn)
            self._maybe_ask(turn)
        if text := turn.text_with(attempt.text):
            self._context.tell(UserText(self._context.time_s, text, turn.language))
        self._judges.read(attempt, text)
        self._decide()
        if self._attempt is attempt:
            self._speculate(turn, attempt)

    def _hearing_done(self, turn: UserTurn, attempt: Attempt, error: MooerError | None) -> None:
        if error:
            self._context.fail("hear", error)
        if attempt.text is None:
            self._heard(turn, attempt, Heard(""))

    def _speculate(self, turn: UserTurn, attempt: Attempt) -> None:
        """Begin the answer, in case that was all."""
        options = self._context.options
        text = turn.text_with(attempt.text or "")
        may = options.speculate and options.create_response and not turn.is_waiting
        if text and may and self._answering.is_idle:
            said = self._as_said(turn, attempt, text)
            self._answering.prepare(Ask(turn.number, said, is_remembered=False))

    def _decide(self) -> None:
        """End the turn if it is over."""
        turn, attempt = self.turn, self._attempt
        if turn is None or attempt is None or attempt.text is None:
            return
        if turn.is_overlap or turn.is_waiting:
            return
        text = turn.text_with(attempt.text)
        silence_s = self._context.time_s - turn.speech_end_s
        options = self._context.options
        if attempt.is_forced:
            self._end(turn, attempt, text)
        elif not text:
            if silence_s >= options.max_silence_s:
                self._drop()
        elif silence_s >= needed_silence_s(attempt, text, options):
            self._end(turn, attempt, text)

    def _end(self, turn: UserTurn, attempt: Attempt, text: str) -> None:
        """The turn is over."""
        context, options = self._context, self._context.options
        attempt.close()
        turn.close()
        self._dictation.stop()
        self.turn = self._attempt = None
        said = self._as_said(turn, attempt, text)
        self._next_start = attempt.end if attempt.is_forced else 0
        self.num_turns = turn.number
        self.quiet_since_s = context.time_s
        turn.moments["turn"] = context.time_s
        self._barge_in.learn(turn)
        context.tell(UserText(context.time_s, text, turn.language, is_final=True))
        context.tell(TurnEnded(context.time_s, turn.number, text, turn.language))
        if not text:
            return
        self._memory.add(said, max_turns=options.max_turns, keep_sounds=options.keep_sounds)
        self._ended = (turn, said)
        current = self._answering.current
        if current is not None and current.is_held:
            self._answering.adopt(turn.moments)
        elif options.create_response:
            self._answering.ask(Ask(turn.number, said, moments=turn.moments))

    def _as_said(self, turn: UserTurn, attempt: Attempt, text: str) -> Turn:
        hears = self._context.parts.mind.hears
        samples = self.tape.cut(turn.sound_start, attempt.end) if hears else None
        return Turn("user", text, samples, turn.language)

    def _go_on(self, turn: UserTurn, attempt: Attempt) -> None:
        """The user was not finished: nothing of the attempt counts."""
        self._attempt = None
        attempt.close()
        piece = round(self._context.options.piece_s * SAMPLE_RATE_HZ)
        if attempt.text and not turn.is_overlap and attempt.end - turn.start >= piece:
            turn.pieces.append(attempt.text)
            turn.start = attempt.end
        current = self._answering.current
        if current is not None and current.is_held:
            self._answering.void()
        if attempt.is_asked:
            self._tell_started(self.tape.end - _GOES_ON_FRAMES * FRAME_SAMPLES)

    # --- overlaps ---------------------------------------------------------------------------------

    def _promote(self, turn: UserTurn) -> None:
        """An overlap is an interruption: the answer ends, and the turn is one as any other."""
        self._barge_in.end()
        turn.is_overlap = False
        self._answering.break_off()
        self._tell_started(turn.begin)

    def _dismiss(self, text: str) -> None:
        """An overlap is none: the answer goes on."""
        self._drop()
        self._barge_in.dismiss(text)

    def _drop(self) -> None:
        """Nothing was said after all."""
        if self._attempt:
            self._attempt.close()
        if self.turn:
            self.turn.close()
        current = self._answering.current
        if current is not None and current.is_held:
            self._answering.void()
        self._dictation.stop()
        self._barge_in.end()
        self.turn = self._attempt = self._burst = None
        self._next_start = 0
        self.quiet_since_s = self._context.time_s

    # --- by hand ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """The turn is over: hear it."""
        if self.turn is None and self._burst is not None:
            burst, self._burst = self._burst, None
            self._begin(burst, may_interrupt=False)
        turn = self.turn
        if turn is None:
            return
        if turn.is_overlap:
            self._promote(turn)
        if self._context.options.manual:
            turn.speech_end = max(turn.speech_end, turn.start)
            self._answering.break_off()
        if self._attempt is None:
            self._attempt_end(turn)
        assert self._attempt is not None
        self._attempt.is_forced = True
        self._decide()

    def clear(self) -> None:
        """Forget what was said of the open turn."""
        was_overlap = self.turn is not None and self.turn.is_overlap
        self._drop()
        if was_overlap:
            self._barge_in.go_on()
        self._next_start = self.tape.end

    def count_turn(self) -> int:
        """The number of a turn that comes by other means than sound."""
        self.num_turns += 1
        self._ended = None
        self.quiet_since_s = self._context.time_s
        return self.num_turns

    def stop_overlap(self) -> None:
        """The answer was broken off by other means: what the user says is a turn."""
        if self.turn is not None and self.turn.is_overlap:
            self._promote(self.turn)

    def jump(self, to_sample: int) -> None:
        """The sound goes on at a later sample, long after what was said."""
        self._drop()
        self._ended = None
        self.tape = Tape(to_sample)

    def _tell_started(self, sample: int) -> None:
        self._context.tell(UserStarted(sample / SAMPLE_RATE_HZ))
