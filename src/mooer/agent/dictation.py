"""What the user has said so far, written down while he speaks: partial texts, and long turns."""

from __future__ import annotations

from functools import partial

from mooer.agent.answering import Answering
from mooer.agent.barge_in import hearing
from mooer.agent.context import Context, Task
from mooer.agent.events import UserText
from mooer.agent.memory import Memory
from mooer.agent.mind import Turn
from mooer.agent.parts import Heard
from mooer.agent.reading import Reading
from mooer.agent.tape import Tape
from mooer.agent.user_turn import UserTurn
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import MooerError

_MOST_S = 27.0  # of sound heard at once; Whisper's window is 30 s
_CUT_WITHIN_S = (
    10.0  # a turn without a pause is cut where speech is least probable in the last so much
)
_CUT_BEFORE_S = 0.5
_MAY_DELAY_S = 0.25  # the text of a turn, by a partial one that is still being heard


class Dictation:
    """Hears an open turn again and again, if there is time for it, and in pieces, if it is long."""

    def __init__(self, context: Context, answering: Answering, memory: Memory) -> None:
        self._context = context
        self._retrieval = answering.retrieval
        self._reading = Reading(context, answering, memory)
        self._task: Task | None = None
        self._began_s = 0.0
        self._took_s = 0.0  # the last partial text
        self._heard_to = 0

    def frame(self, turn: UserTurn, tape: Tape) -> None:
        """A further frame of a turn in which the user is speaking."""
        if tape.end - turn.start >= _MOST_S * SAMPLE_RATE_HZ:
            self._cut(turn, tape)
        options = self._context.options
        if options.partial_s is None or self._task is not None:
            return
        new = tape.end - max(self._heard_to, turn.begin)
        late_s = self._took_s - options.hear_s
        if new < options.partial_s * SAMPLE_RATE_HZ or turn.speech_end < tape.end:
            return
        if late_s > _MAY_DELAY_S:
            self._took_s *= 0.5  # tried again after some steps: the machine may have been busy
            self._heard_to = tape.end
            return
        self._heard_to, self._began_s = tape.end, self._context.time_s
        samples = tape.cut(turn.start, tape.end)
        work = hearing(self._context.parts, samples, options.language, is_final=False)
        self._task = self._context.start(
            "hear", work, options.hear_deadline_s, partial(self._take, turn), self._done
        )

    def stop(self) -> None:
        """The turn pauses, or is over: what is being heard now will be heard again."""
        if self._task:
            self._task.close()
            self._task = None

    def _cut(self, turn: UserTurn, tape: Tape) -> None:
        """Write a piece of a long turn down for good."""
        first = tape.end - round(_CUT_WITHIN_S * SAMPLE_RATE_HZ)
        cut = tape.quietest(first, tape.end - round(_CUT_BEFORE_S * SAMPLE_RATE_HZ))
        options = self._context.options
        samples = tape.cut(turn.start, cut)
        turn.start = cut
        turn.pieces.append(None)
        place = len(turn.pieces) - 1
        work = hearing(self._context.parts, samples, options.language, is_final=True)
        turn.tasks.append(
            self._context.start(
                "hear",
                work,
                options.hear_deadline_s,
                partial(self._take_piece, turn, place),
                partial(self._done_piece, turn, place),
            )
        )

    def _take(self, turn: UserTurn, value: object) -> None:
        assert isinstance(value, Heard)
        self._took_s = self._context.time_s - self._began_s
        if text := turn.text_with(value.text):
            turn.language = value.language or turn.language
            self._context.tell(UserText(self._context.time_s, text, turn.language))
            if self._context.options.create_response:
                self._retrieval.look_up(text)
                self._reading.read(Turn("user", text, language=turn.language))

    def _done(self, error: MooerError | None) -> None:
        self._task = None
        if error:
            self._context.fail("hear", error)

    def _take_piece(self, turn: UserTurn, place: int, value: object) -> None:
        assert isinstance(value, Heard)
        turn.pieces[place] = value.text
        turn.language = value.language or turn.language

    def _done_piece(self, turn: UserTurn, place: int, error: MooerError | None) -> None:
        if error:
            self._context.fail("hear", error)
        turn.pieces[place] = turn.pieces[place] or ""
