"""How long a silence ends a turn: by the voice, which the turn model heard, and by the words."""

from __future__ import annotations

import math
from collections.abc import Generator

from mooer.agent.jobs import Tell, Work
from mooer.agent.mind import EndingMind
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Samples, TurnModel
from mooer.agent.user_turn import Attempt
from mooer.text import is_cjk

# Of the log-odds of an end: fitted on ends and cuts of read speech (bench/agent_endings.py), but
# that words tell nothing at half of what was found: more ends are answered at once.
BY_VOICE, BY_WORDS, NEUTRAL = 0.32, 0.56, 0.055
_SURELY_NOT = 0.5  # of the threshold
_UNFINISHED = 0.001  # by words of which no mind tells, where the last one wants another
LEAST = 1e-4  # of a probability: models are not surer than that
MARKS = "。.！!？?；;，,、…—- "
_MOST_LETTERS = 200  # of a long turn, the last
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
    """Work that tells the probability that the turn in samples [T] is over, by the voice."""

    def work(tell: Tell) -> Generator[None, None, None]:
        tell(model.complete(samples))
        yield

    return work


def reading(mind: EndingMind, text: str) -> Work:
    """Work that tells the probability that a sentence ends after a text; None if nobody knows."""
    bare = text.rstrip(MARKS)[-_MOST_LETTERS:]  # a recogniser writes a full stop after anything

    def work(tell: Tell) -> Generator[None, None, None]:
        tell(mind.ends(bare) if bare else None)
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
