"""When the agent says something of its own: pure decisions, which a session carries out.

Three manners beyond taking turns: a back-channel ("嗯", "I see") while the user speaks long; a
question of its own at the end of an answer, where the talk would stall; and a turn that nobody
asked for, after a silence. The idea is CleanS2S's (arXiv 2506.01268): how eager an agent is belongs
to who it is. Times are seconds of the stream, so that a recording gives the same decisions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mooer.agent.mind import Turn
from mooer.errors import ConfigError
from mooer.text import is_cjk

T = TypeVar("T")

BACK_CHANNELS = {
    "zh": ("嗯。", "嗯嗯。", "对。", "这样啊。"),
    "en": ("Uh-huh.", "I see.", "Right.", "Okay."),
}


@dataclass(frozen=True)
class PolicyOptions:
    """How forthcoming the agent is. All is off unless a persona wants it."""

    back_channels: bool = False
    back_channel_after_s: float = 6.0  # of the user's speech, since it began or the last one
    back_channel_pause_s: float = 0.35  # of silence, where one does not interrupt
    back_channel_words: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: dict(BACK_CHANNELS)
    )
    follow_up: bool = False  # ask back
    follow_up_every: int = 2  # answers, at the most often
    proactive_s: float | None = None  # of silence on both sides; None: never
    max_proactive: int = 2  # turns in a row without an answer; then the agent waits

    def __post_init__(self) -> None:
        for name in ("back_channel_after_s", "back_channel_pause_s", "follow_up_every"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}: give one above 0")
        if self.proactive_s is not None and self.proactive_s < 1:
            raise ConfigError(f"proactive_s is {self.proactive_s:g}: give 1 or more, or null")
        if self.max_proactive < 0:
            raise ConfigError(f"max_proactive is {self.max_proactive}: give 0 or more")


@dataclass(frozen=True)
class Moment:
    """What is the case, as the session sees it."""

    time_s: float
    user_speaks: bool = False  # the turn has begun and is not over
    agent_speaks: bool = False  # an answer is made or played
    speech_s: float = 0.0  # of the user's turn so far
    pause_s: float = 0.0  # since the user's last sound of speech
    since_back_channel_s: float = float("inf")
    quiet_s: float = 0.0  # since anybody was heard
    num_proactive: int = 0  # since the user's last turn
    language: str = "en"


@dataclass(frozen=True)
class Say:
    """Say this beside the user's speech; it is no turn, and not remembered."""

    text: str


@dataclass(frozen=True)
class Speak:
    """Take a turn that nobody asked for; the mind is told `request` behind its instructions."""

    request: str


_FOLLOW_UP = {
    "zh": "回答完以后，再问用户一个与话题有关的简短问题。",
    "en": "After your answer, ask the user one short question about the topic.",
}
_PROACTIVE = {
    "zh": (
        "用户有一会儿没说话了。请主动接着刚才的话题说一句简短的话，或者问一个简单的问题。"
        "不要重复已经说过的话。",
        "用户还是没有回应。请只说一句话，告诉用户可以随时叫你。",
        "用户还没有说过话。请用一句话打招呼，并问有什么可以帮忙的。",
    ),
    "en": (
        "The user has been silent for a while. Go on with the topic in one short sentence, or ask "
        "a simple question. Do not repeat what was said.",
        "The user still does not answer. Say in one sentence that you are there when needed.",
        "The user has not spoken yet. Greet them in one sentence and ask how you can help.",
    ),
}
_QUESTION = re.compile(r"[?？]|[吗呢么]\s*[。.!！]?\s*$")
_WORD = re.compile(r"[a-z][a-z'’]+|\d+", re.IGNORECASE)
_SMALL_TALK = re.compile(
    r"你好|您好|谢谢|再见|拜拜|好的|可以|没有|是的|不是|知道了|明白|嗯|哦|啊|吧|呢|吗"
    r"|\b(?:hello|hi|hey|there|thanks?|thank you|bye|ok(?:ay)?|yes|yeah|no|sure|right|well|please"
    r"|good (?:morning|evening|night)|how are you|mm-?hm|uh-?huh|i see)\b",
    re.IGNORECASE,
)
_ENDS_TALK = re.compile(
    r"再见|拜拜|晚安|不用了|没事了|谢谢|\b(?:good)?bye\b|good night|that'?s all|\bthank",
    re.I,
)


def wants_lookup(text: str) -> bool:
    """Whether it is worth while to search for what a user says: not for a greeting or a "yes".

    Cheap enough for every partial text, so that a search can begin before the turn is over.

    >>> [wants_lookup(text) for text in ("嗯，好的", "Hello there!", "图书馆几点开门")]
    [False, False, True]
    """
    bare = _SMALL_TALK.sub(" ", text)
    return sum(2 if is_cjk(char) else 0 for char in bare) + 3 * len(_WORD.findall(bare)) >= 6


def decide(moment: Moment, turns: Sequence[Turn], options: PolicyOptions) -> Say | Speak | None:
    """What the agent does of its own at this moment, if anything; asked as often as one likes."""
    if moment.user_speaks:
        return _back_channel(moment, turns, options)
    if moment.agent_speaks:
        return None
    return _proactive(moment, turns, options)


def follow_up(turns: Sequence[Turn], options: PolicyOptions, language: str) -> str:
    """What the mind is told about asking back in its next answer; "" if it should not.

    It should not while it has asked lately, nor when the user takes leave or asks what wants
    but an answer again and again.
    """
    if not options.follow_up or not turns or turns[-1].role != "user":
        return ""
    if _ENDS_TALK.search(turns[-1].text):
        return ""
    answers = [turn for turn in turns if turn.role == "assistant" and turn.text]
    lately = answers[-(options.follow_up_every - 1) :] if options.follow_up_every > 1 else []
    if any(_QUESTION.search(turn.text) for turn in lately):
        return ""
    return _in(_FOLLOW_UP, language)


def _back_channel(moment: Moment, turns: Sequence[Turn], options: PolicyOptions) -> Say | None:
    if not options.back_channels or moment.agent_speaks:
        return None
    if moment.pause_s < options.back_channel_pause_s:
        return None
    if min(moment.speech_s, moment.since_back_channel_s) < options.back_channel_after_s:
        return None
    words = options.back_channel_words.get(moment.language) or BACK_CHANNELS["en"]
    # By turns and not by chance: a replay says the same.
    place = len(turns) + int(moment.speech_s // options.back_channel_after_s)
    return Say(words[place % len(words)])


def _proactive(moment: Moment, turns: Sequence[Turn], options: PolicyOptions) -> Speak | None:
    if options.proactive_s is None or moment.num_proactive >= options.max_proactive:
        return None
    # Each time without an answer, it waits twice as long.
    if moment.quiet_s < options.proactive_s * 2**moment.num_proactive:
        return None
    said = [turn for turn in turns if turn.role == "user" and turn.text.strip()]
    if said and _ENDS_TALK.search(said[-1].text):
        return None
    go_on, wait, greet = _in(_PROACTIVE, moment.language)
    if moment.num_proactive:
        return Speak(wait)
    return Speak(go_on if said else greet)


def _in(texts: Mapping[str, T], language: str) -> T:
    return texts.get(language, texts["en"])
