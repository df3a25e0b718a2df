"""The agent's side: answers are made, told, paused, broken off, and remembered as heard."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from mooer.agent.answer import Answer, Round
from mooer.agent.calling import Calling
from mooer.agent.context import Context, Task
from mooer.agent.events import (
    AnswerEnded,
    AnswerSound,
    AnswerStarted,
    AnswerText,
    Flush,
    Remembered,
    Resumed,
    Sourced,
    Waterfall,
)
from mooer.agent.memory import Memory
from mooer.agent.retrieval import Retrieval
from mooer.agent.thinking import Ask, Called, Stuck, Written, answering
from mooer.audio.endpoint import FRAME_S
from mooer.errors import AgentError, MooerError
from mooer.speak.spoken import Spoken

_NUM_KNOWN = 8  # answers that a report may still be about
_REPORT_S = 0.4  # how long a client has to say how far it got before the flush


class Answering:
    """At most one answer at a time is made or played."""

    def __init__(self, context: Context, memory: Memory) -> None:
        self._context = context
        self._memory = memory
        self.retrieval = Retrieval(context)
        self.calling = Calling(context, self._went_on)
        self.current: Answer | None = None
        self._ask = Ask()
        self._deferred: Ask | None = None  # until the current answer is heard out
        self._task: Task | None = None
        self._is_waiting = False  # for what is looked up
        self._known: OrderedDict[int, Answer] = OrderedDict()
        self._num = 0
        self.quiet_since_s = 0.0

    # --- what it is doing -------------------------------------------------------------------------

    @property
    def is_audible(self) -> bool:
        """Whether an answer is being played, or stands still and may go on."""
        answer = self.current
        return answer is not None and answer.played > 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is made, played or planned."""
        return self.current is None and self._deferred is None and not self.calling.is_owed

    # --- beginning --------------------------------------------------------------------------------

    def next_number(self) -> int:
        """By which a further answer is known."""
        self._num += 1
        return self._num

    def prepare(self, ask: Ask) -> None:
        """Begin an answer that is told only once it is released."""
        assert self.current is None
        options, parts = self._context.options, self._context.parts
        self.current = Answer(
            self.next_number(),
            ask.turn,
            parts.voicing.rate_hz,
            is_spoken=options.speaks,
            is_held=True,
        )
        self._ask = ask
        ask.start_by_s = self._context.time_s + options.knowledge_wait_s
        self._next_round()

    def adopt(self, moments: dict[str, float]) -> None:
        """The turn of the answer that is held is over, and in memory: tell the answer."""
        self._ask.is_remembered = True
        self._ask.moments = moments
        self.release()

    def release(self) -> None:
        """Tell what is made of the answer, and what follows as it comes."""
        answer = self.current
        assert answer is not None
        answer.is_held = False
        self._known[answer.number] = answer
        while len(self._known) > _NUM_KNOWN:
            self._known.popitem(last=False)
        self._context.tell(AnswerStarted(self._context.time_s, answer.number, answer.turn))
        if answer.sources:
            self._context.tell(Sourced(self._context.time_s, answer.number, answer.sources))
        for round_ in answer.rounds:
            self._remember_round(round_)
            if round_.text:
                self._tell_text(round_.text)
            for call in round_.calls:
                self.calling.tell(answer, call)
        self._tell_sound()
        if self._task is None and not self._is_waiting:
            self._round_over()

    def ask(self, ask: Ask) -> None:
        """Answer now, or once the answer that is being played was heard out."""
        if self.current is not None:
            self._deferred = ask
            return
        self.prepare(ask)
        self.release()

    def _next_round(self) -> None:
        answer = self.current
        assert answer is not None
        round_ = Round(answer)
        answer.rounds.append(round_)
        if not answer.is_held:
            self._remember_round(round_)
        self._is_waiting = True
        said = self._ask.said
        if said is not None and len(answer.rounds) == 1:
            self.retrieval.look_up(said.text, self._start_if_ready)
        self._start_if_ready()

    def _remember_round(self, round_: Round) -> None:
        options = self._context.options
        self._memory.add(round_, max_turns=options.max_turns, keep_sounds=options.keep_sounds)

    def _start_if_ready(self) -> None:
        """Start the mind, once what was looked up is there, or late."""
        answer = self.current
        if answer is None or not self._is_waiting:
            return
        said = self._ask.said
        found = self.retrieval.found_for(said.text) if said else ()
        if found is None and self._context.time_s < self._ask.start_by_s:
            return
        self._is_waiting = False
        if found and not answer.sources:
            answer.sources = found
            answer.moments["retrieval"] = self.retrieval.found_s or self._context.time_s
            if not answer.is_held:
                self._context.tell(Sourced(self._context.time_s, answer.number, found))
        parts, options = self._context.parts, self._context.options
        sources = answer.sources if len(answer.rounds) == 1 else ()
        question = self._ask.question(self._memory.turns, options, sources)
        work = answering(parts, options, replace(question, tools=self.calling.tools))
        self._task = self._context.start("think", work, options.think_s, self._take, self._done)

    # --- what the work brings ---------------------------------------------------------------------

    def _take(self, value: object) -> None:
        answer, now_s = self.current, self._context.time_s
        assert answer is not None
        round_ = answer.rounds[-1]
        if isinstance(value, Written):
            answer.moments.setdefault("first_token", now_s)
            if not answer.num_samples:
                answer.moments["first_clause"] = now_s  # until there is sound: the last of it
            round_.text += value.text
            if not answer.is_held:
                self._tell_text(value.text)
        elif isinstance(value, Called):
            round_.calls.append(value.call)
            if not answer.is_held:
                self.calling.tell(answer, value.call)
        elif isinstance(value, Stuck):
            round_.is_broken = True
            self._context.fail("think", value.error)
        else:
            assert isinstance(value, Spoken)
            answer.add(value)
            self._tell_sound()
            if answer.num_samples > self._context.options.max_answer_s * answer.rate_hz:
                assert self._task is not None
                self._task.close()
                longest = self._context.options.max_answer_s
                self._done(AgentError(f"an answer was cut after {longest:g} s (max_answer_s)"))

    def _done(self, error: MooerError | None) -> None:
        answer = self.current
        assert answer is not None
        self._task = None
        if error:
            answer.rounds[-1].is_broken = True
            self._context.fail("speak" if answer.text else "think", error)
        if not answer.is_held:
            self._round_over()

    def _round_over(self) -> None:
        """The mind has written all it wanted to: run what it called, or the answer is made."""
        answer = self.current
        assert answer is not None
        round_ = answer.rounds[-1]
        if round_.calls and not round_.is_broken and self.calling.run(answer, round_):
            return
        answer.is_made = True
        is_silent = answer.is_spoken and answer.text.strip() and not answer.num_samples
        if is_silent and not round_.is_broken:
            self._context.fail("speak", AgentError("nothing of the answer could be spoken"))
        self._end_if_made()

    def _went_on(self, answer: Answer) -> None:
        """All results of an answer's calls are there."""
        if answer is self.current and not answer.is_made:
            self._next_round()
        elif self._context.options.answers_tools:
            self.ask(Ask(answer.turn))

    # --- telling ----------------------------------------------------------------------------------

    def _tell_text(self, text: str) -> None:
        assert self.current is not None
        self._context.tell(AnswerText(self._context.time_s, self.current.number, text))

    def _tell_sound(self) -> None:
        answer = self.current
        assert answer is not None
        if answer.is_held or answer.is_paused:
            return
        now_s = self._context.time_s
        for start, samples, text in answer.sound_from(answer.told):
            answer.moments.setdefault("first_audio", now_s)
            answer.told = start + len(samples)
            self._context.tell(
                AnswerSound(now_s, answer.number, samples, answer.rate_hz, start, text)
            )

    def _end_if_made(self) -> None:
        answer = self.current
        if answer is None or not answer.is_made or answer.is_held or answer.is_paused:
            return
        if not answer.has_ended:
            answer.has_ended = True
            is_whole = not any(round_.is_broken for round_ in answer.rounds)
            self._context.tell(
                AnswerEnded(self._context.time_s, answer.number, answer.text, is_whole)
            )
            if not answer.num_samples:
                self._tell_waterfall(answer)
        if answer.is_heard_out:
            self._remember(answer)
            self._leave(answer)

    def _leave(self, answer: Answer) -> None:
        """The floor is free."""
        assert self.current is answer
        self.current = None
        answer.forget_sound()
        self.quiet_since_s = self._context.time_s
        self.retrieval.forget()
        if self._deferred and not answer.is_broken_off:
            ask, self._deferred = self._deferred, None
            self.ask(ask)

    def _tell_waterfall(self, answer: Answer) -> None:
        moments = {**self._ask.moments, **answer.moments}
        self._context.tell(Waterfall(self._context.time_s, answer.number, moments))

    def _remember(self, answer: Answer) -> None:
        answer.settles_s = None
        text = answer.heard
        if answer.remembered == text:
            return
        answer.remembered = text
        is_whole = answer.is_heard_out and not answer.is_broken_off
        self._context.tell(
            Remembered(self._context.time_s, answer.number, text, answer.played, is_whole)
        )

    # --- playing ----------------------------------------------------------------------------------

    def played(self, number: int, num_samples: int) -> None:
        """The client's report."""
        answer = self._known.get(number)
        if answer is None:
            return
        answer.is_reported = True
        self._play_to(answer, num_samples)

    def _play_to(self, answer: Answer, num_samples: int) -> None:
        before = answer.played
        answer.played = min(max(num_samples, before), answer.told)
        if answer is not self.current:
            if answer.is_broken_off and (answer.played > before or answer.settles_s is not None):
                self._remember(answer)
            return
        if answer.played and not before:
            answer.moments["played"] = self._context.time_s
            self._tell_waterfall(answer)
        if not answer.is_paused:
            self._end_if_made()

    def frame(self) -> None:
        """32 ms have passed: a client that reports nothing plays, and what is late is given up."""
        answer = self.current
        if answer is not None:
            if self._is_waiting:
                self._start_if_ready()
            wants = self._context.options.assume_played and not answer.is_reported
            if wants and answer.told > answer.played and not answer.is_paused:
                answer.player = min(answer.player + FRAME_S * answer.rate_hz, answer.told)
                self._play_to(answer, int(answer.player))
        for known in self._known.values():
            if known.settles_s is not None and self._context.time_s >= known.settles_s:
                self._remember(known)

    # --- stopping ---------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop the sound, for now."""
        answer = self.current
        assert answer is not None
        if not answer.is_paused:
            answer.is_paused = True
            self._context.tell(Flush(self._context.time_s, answer.number))

    def resume(self) -> None:
        """Go on from the sample where the sound was stopped."""
        answer = self.current
        if answer is None or not answer.is_paused:
            return
        answer.is_paused = False
        answer.told = answer.played
        answer.player = float(answer.played)
        self._context.tell(Resumed(self._context.time_s, answer.number, answer.played))
        self._tell_sound()
        self._end_if_made()

    def void(self) -> None:
        """Nothing of the answer was heard, and nothing shall be: as if it had not been."""
        answer = self.current
        if answer is None:
            return
        self._stop(answer)
        self._known.pop(answer.number, None)
        self._memory.forget_answer(answer)
        self._leave(answer)

    def break_off(self) -> None:
        """The user interrupts: the answer ends here, and memory holds what was heard of it."""
        answer = self.current
        self._deferred = None
        if answer is None:
            return
        if answer.is_held or (answer.is_spoken and not answer.told):
            self.void()
            return
        may_play = answer.is_spoken and not answer.is_paused and answer.played < answer.told
        self._stop(answer)
        if may_play and (answer.is_reported or not self._context.options.assume_played):
            answer.settles_s = self._context.time_s + _REPORT_S
        else:
            self._remember(answer)
        self._leave(answer)

    def truncate(self, number: int, num_samples: int) -> None:
        """The client says that no more than this was heard; AgentError for an unknown answer."""
        answer = self._known.get(number)
        if answer is None:
            raise AgentError(f"there is no answer {number} that could be cut: it is long over")
        answer.is_reported = True
        answer.played = min(max(0, num_samples), answer.told)
        if answer is self.current:
            self.break_off()
        answer.is_broken_off = answer.is_broken_off or answer.played < answer.num_samples
        self._remember(answer)

    def _stop(self, answer: Answer) -> None:
        answer.is_broken_off = True
        self._is_waiting = False
        if self._task:
            self._task.close()
            self._task = None
        self.calling.stop(answer)
        if answer.is_held:
            return
        if answer.told > answer.played and not answer.is_paused:
            self._context.tell(Flush(self._context.time_s, answer.number))
        if not answer.has_ended:
            answer.has_ended = True
            self._context.tell(
                AnswerEnded(self._context.time_s, answer.number, answer.text, is_whole=False)
            )

    def close(self) -> None:
        """No more answers."""
        self._deferred = None
        if self._task:
            self._task.close()
