"""What the agent says of its own accord: "mm-hm" while the user speaks long, or after a silence."""

from __future__ import annotations

from dataclasses import replace

from mooer.agent.answering import Answering
from mooer.agent.context import Context
from mooer.agent.events import AnswerEnded, AnswerSound, AnswerStarted, AnswerText
from mooer.agent.memory import Memory
from mooer.agent.policy import Moment, PolicyOptions, Say, decide
from mooer.agent.taking import TurnTaking
from mooer.agent.thinking import Ask, Question, Written, answering
from mooer.audio.endpoint import FRAME_S
from mooer.errors import MooerError
from mooer.speak.spoken import Spoken


class Manners:
    """Asks the policy, frame by frame, and does what it says."""

    def __init__(
        self, context: Context, answering: Answering, taking: TurnTaking, memory: Memory
    ) -> None:
        self._context = context
        self._answering = answering
        self._taking = taking
        self._memory = memory
        self._num_proactive = 0  # in a row
        self._num_turns = 0
        self._murmured_s = float("-inf")

    def frame(self) -> None:
        """Speak up, if it is time for it."""
        policy = self._policy()
        speaks = not self._taking.is_quiet
        if policy.proactive_s is None and not (policy.back_channels and speaks):
            return
        if not speaks and not self._answering.is_idle:
            return
        if self._taking.num_turns > self._num_turns:
            self._num_turns, self._num_proactive = self._taking.num_turns, 0
        turns = self._memory.turns if self._may_be_time(policy, speaks=speaks) else None
        if turns is None:
            return
        said = decide(self._moment(speaks=speaks), turns, policy)
        if isinstance(said, Say):
            self._murmur(said.text)
        elif said is not None:
            self._num_proactive += 1
            self._answering.ask(Ask(request=said.request))

    def _policy(self) -> PolicyOptions:
        options = self._context.options
        if options.proactive_s is None:
            return options.policy
        return replace(options.policy, proactive_s=options.proactive_s)

    def _may_be_time(self, policy: PolicyOptions, *, speaks: bool) -> bool:
        """Whether it is worth while to ask: turns are not read off every frame."""
        if speaks:
            return self._speech_s() >= policy.back_channel_after_s
        return self._quiet_s() >= (policy.proactive_s or 0.0)

    def _speech_s(self) -> float:
        turn = self._taking.turn
        return turn.num_speech * FRAME_S if turn else 0.0

    def _quiet_s(self) -> float:
        since_s = max(self._answering.quiet_since_s, self._taking.quiet_since_s)
        return self._context.time_s - since_s

    def _moment(self, *, speaks: bool) -> Moment:
        now_s, turn = self._context.time_s, self._taking.turn
        current = self._answering.current
        language = self._context.options.language or self._taking.language or "en"
        return Moment(
            now_s,
            user_speaks=speaks,
            agent_speaks=current is not None and not current.is_held,
            speech_s=self._speech_s(),
            pause_s=now_s - turn.speech_end_s if turn else 0.0,
            since_back_channel_s=now_s - self._murmured_s,
            quiet_s=self._quiet_s(),
            num_proactive=self._num_proactive,
            language=language,
        )

    def _murmur(self, text: str) -> None:
        """Say something beside the user's speech: it is no turn, and not remembered."""
        context, number = self._context, self._answering.next_number()
        self._murmured_s = context.time_s
        context.tell(AnswerStarted(context.time_s, number, None))
        num_samples = 0

        def take(value: object) -> None:
            nonlocal num_samples
            now_s = context.time_s
            if isinstance(value, Written):
                context.tell(AnswerText(now_s, number, value.text))
            elif isinstance(value, Spoken):
                samples, rate_hz = value.samples, value.rate_hz
                context.tell(AnswerSound(now_s, number, samples, rate_hz, num_samples, value.text))
                num_samples += len(samples)

        def done(error: MooerError | None) -> None:
            if error:
                context.fail("speak", error)
            context.tell(AnswerEnded(context.time_s, number, text, error is None))

        work = answering(context.parts, context.options, Question((), text=text))
        context.start("think", work, context.options.think_s, take, done)
