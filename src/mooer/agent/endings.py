"""How long a silence ends a turn: by the voice, which the turn model heard, and by the words."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator

from mooer.agent.context import Context
from mooer.agent.jobs import Tell, Work
from mooer.agent.mind import ENDING_LETTERS, EndingMind
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Samples
from mooer.agent.user_turn import Attempt
from mooer.errors import MooerError
from mooer.text import is_cjk

# Of the log-odds of an end: near a fit on ends and cuts of read speech, and chosen so that few ends
# wait (bench/agent_endings.py).
BY_VOICE, BY_WORDS, NEUTRAL = 0.32, 0.56, 0.055
_SURELY_NOT = 0.5  # of the threshold
_UNFINISHED = 0.001  # by words of which no mind tells, where the last one wants another
LEAST = 1e-4  # of a probability: models are not surer than that
MARKS = "。.！!？?；;，,、…—- "
# After these nobody has finished; those that may end a sentence as well ("that") are not here.
_ENGLISH = (
    "a an the and or but so because if when while although unless until than as of to from with "
    "without for at by into onto between my your his their our its every each very um uh er erm "
    "is are was were am"
)
_CHINESE = (
    "和 跟 与 或者 还是 因为 所以 但是 可是 不过 而且 并且 如果 要是 虽然 然后 就是 那个 这个 一个 "
    "比如 例如 关于 对于 为了 通过 把 被 给 从 向 往 我想 我觉得 我要 请问 帮我 能不能 是不是"
)
_WORDS = frozenset(_ENGLISH.split())
_PHRASES = tuple(_CHINESE.split())


def is_unfinished(text: str) -> bool:
    """Whether the last word of a text wants another.

    >>> [is_unfinished(text) for text in ("I want to", "What is it?", "我想要一个", "好了。")]
    [True, False, True, False]
    """
    text = text.strip()
    if text.endswith((",", "，", "、", "...", "…", "-", "—", ":", "：")):
        return True
    bare = text.rstrip("。.！!？?；; ").lower()
    if text.endswith(("?", "？")) or not bare:
        return False
    if is_cjk(bare[-1]):
        return bare.endswith(_PHRASES)
    return bare.split()[-1] in _WORDS


class Judges:
    """Ask the turn model and the mind whether a turn is over; `decide` is called with their news.

    The one hears the voice, the other reads the words, each once it has them.
    """

    def __init__(self, context: Context, decide: Callable[[], None]) -> None:
        self._context = context
        self._decide = decide

    def listen(self, attempt: Attempt, samples: Samples) -> None:
        """Have the turn model judge samples [T], if there is one."""
        options, model = self._context.options, self._context.parts.turn
        if model is None or not options.turn_model:
            attempt.needs_silence = True
            return

        def told(value: float) -> None:
            attempt.by_voice = value
            self._decide()

        def done(error: MooerError | None) -> None:
            if error:
                self._context.fail("turn", error)
            attempt.needs_silence = attempt.by_voice is None
            self._decide()

        work = telling(lambda: model.complete(samples))
        deadline_s = options.hear_deadline_s
        attempt.asking = self._context.start("turn", work, deadline_s, told, done)

    def read(self, attempt: Attempt, text: str) -> None:
        """Have the mind judge a text, if it knows where sentences end."""
        options, mind = self._context.options, self._context.parts.mind
        bare = text.rstrip(MARKS)[-ENDING_LETTERS:]  # a recogniser sets a full stop after anything
        if not (bare and options.turn_model and isinstance(mind, EndingMind)):
            attempt.is_read = True
            return

        def told(value: float | None) -> None:
            attempt.by_words = value

        def done(error: MooerError | None) -> None:
            if error:
                self._context.fail("words", error)
            attempt.is_read = True
            self._decide()

        work = telling(lambda: mind.ends(bare))
        deadline_s = options.hear_deadline_s
        attempt.reading = self._context.start("words", work, deadline_s, told, done)


def telling(ask: Callable[[], float | None]) -> Work:
    """Work that tells what a judge says."""

    def work(tell: Tell) -> Generator[None, None, None]:
        tell(ask())
        yield

    return work


def probability_of_end(by_voice: float, by_words: float) -> float:
    """Both in one.

    >>> [round(probability_of_end(0.9, words), 2) for words in (0.001, 0.05, 0.5)]
    [0.18, 0.66, 0.87]
    """
    by_voice, by_words = max(LEAST, min(1 - LEAST, by_voice)), max(LEAST, by_words)
    odds = BY_VOICE * math.log(by_voice / (1 - by_voice)) + BY_WORDS * math.log(by_words / NEUTRAL)
    return 1 / (1 + math.exp(-odds))


def needed_silence_s(attempt: Attempt, text: str, options: AgentOptions) -> float:
    """The silence after which a turn with this text is over.

    `end_s` where it is probably over, else `doubt_s`; where it is surely not, up to
    `max_silence_s`.
    """
    if attempt.needs_silence:
        return min(options.silence_s, options.max_silence_s)
    if attempt.by_voice is None or not attempt.is_read:
        return options.max_silence_s
    by_words = attempt.by_words
    if by_words is None:
        by_words = _UNFINISHED if is_unfinished(text) else NEUTRAL
    probability = probability_of_end(attempt.by_voice, by_words)
    if probability >= options.turn_threshold:
        return options.end_s
    doubt_s = min(max(options.doubt_s, options.end_s), options.max_silence_s)
    share = min(1.0, probability / (_SURELY_NOT * options.turn_threshold))
    return options.max_silence_s - share * (options.max_silence_s - doubt_s)
