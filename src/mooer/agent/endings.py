"""How long a silence ends a turn, by what the turn model heard and by the words."""

from __future__ import annotations

from collections.abc import Generator

from mooer.agent.jobs import Tell, Work
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Samples, TurnModel
from mooer.agent.user_turn import Attempt
from mooer.text import is_cjk

_DOUBT = 0.5  # what is left of the probability where the last word wants another
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


def asking(model: TurnModel, samples: Samples) -> Work:
    """Work that tells the probability that the turn in samples [T] is over."""

    def work(tell: Tell) -> Generator[None, None, None]:
        tell(model.complete(samples))
        yield

    return work


def needed_silence_s(attempt: Attempt, text: str, options: AgentOptions) -> float:
    """The silence after which a turn with this text is over.

    Where the turn model is sure, `end_s`; the less it believes in an end, the nearer to
    `max_silence_s`.
    """
    if attempt.needs_silence:
        return min(options.silence_s, options.max_silence_s)
    if attempt.probability is None:
        return options.max_silence_s
    probability = attempt.probability * (_DOUBT if is_unfinished(text) else 1.0)
    if probability >= options.turn_threshold:
        return options.end_s
    share = probability / options.turn_threshold
    return options.max_silence_s - share * (options.max_silence_s - options.end_s)
