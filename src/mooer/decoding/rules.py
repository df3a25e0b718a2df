"""Guards against what recognisers invent: each names one fault of a decoded text.

A recogniser asks `faults` of every hypothesis, decodes again in another way if there are any, and
keeps the best. Sources: thresholds of compression ratio, log-probability and silence from
Whisper (Radford et al. 2022, section 4.5); text over silence and loops from the reports of users.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from mooer.text import is_cjk

MAX_COMPRESSION_RATIO = 2.4
MIN_AVG_LOGPROB = -1.0
MAX_NO_SPEECH_PROB = 0.6
MAX_TOKENS_PER_S = 11.0  # Mandarin at seven syllables a second, most of them one token or two
FREE_TOKENS = 12  # a short clip may hold a long word


@dataclass(frozen=True)
class Hypothesis:
    """What a decoder said of one chunk."""

    text: str
    num_tokens: int
    avg_logprob: float  # natural log, mean over tokens, eos included
    no_speech_prob: float = 0.0


@dataclass(frozen=True)
class Heard:
    """What is known of that chunk without the decoder."""

    duration_s: float
    speech_prob: float = 1.0  # mean of the VAD
    prompt: str = ""  # text that the decoder was given
    instructed: bool = False  # it is a language model that was told what to do


def max_tokens(duration_s: float) -> int:
    """The most tokens that speech of this length can hold."""
    return FREE_TOKENS + round(MAX_TOKENS_PER_S * duration_s)


def loops(hypothesis: Hypothesis, heard: Heard) -> bool:
    """The same words over and over."""
    text = hypothesis.text.strip()
    data = text.encode()
    if len(data) >= 48 and len(data) / len(zlib.compress(data)) > MAX_COMPRESSION_RATIO:
        return True
    return _repeated_tail(_units(text)) is not None


def echoes(hypothesis: Hypothesis, heard: Heard) -> bool:
    """The whole text said twice or more: what a decoder does that sees no silence at the end."""
    units = [u.lower() for u in _units(hypothesis.text) if u.strip(_MARKS)]
    for times in range(2, 5):
        size, rest = divmod(len(units), times)
        long_enough = size >= 5 or (size >= 3 and any(len(u) > 1 for u in units))
        if not rest and long_enough and units == units[:size] * times:
            return True
    return False


def too_long(hypothesis: Hypothesis, heard: Heard) -> bool:
    """More tokens than anybody can say in this time."""
    return hypothesis.num_tokens >= max_tokens(heard.duration_s)


def over_silence(hypothesis: Hypothesis, heard: Heard) -> bool:
    """Text where the decoder itself, or the VAD, hears no speech."""
    unsure = hypothesis.avg_logprob < MIN_AVG_LOGPROB
    if hypothesis.no_speech_prob > MAX_NO_SPEECH_PROB and unsure:
        return True
    quiet = heard.speech_prob < 0.5 or hypothesis.no_speech_prob > 0.3
    return quiet and _boilerplate(hypothesis.text)


def unsure(hypothesis: Hypothesis, heard: Heard) -> bool:
    """A text that the decoder itself finds improbable."""
    return hypothesis.avg_logprob < MIN_AVG_LOGPROB


def leaks_prompt(hypothesis: Hypothesis, heard: Heard) -> bool:
    """The prompt or the hotwords come back as if they had been said."""
    prompt, text = _bare(heard.prompt), _bare(hypothesis.text)
    if len(prompt) < 6 or len(text) < 6:
        return False
    # One hotword alone may well have been said; several in the given order were not.
    if text == prompt or (len(prompt) >= 12 and prompt in text):
        return True
    return len(text) >= 12 and text in prompt


def refuses(hypothesis: Hypothesis, heard: Heard) -> bool:
    """A language model that talks about the request instead of doing it."""
    return heard.instructed and bool(_REFUSAL.search(hypothesis.text.replace("’", "'")))


Rule = Callable[[Hypothesis, Heard], bool]
RULES: Mapping[str, Rule] = {
    "over_silence": over_silence,
    "refuses": refuses,
    "leaks_prompt": leaks_prompt,
    "loops": loops,
    "echoes": echoes,
    "too_long": too_long,
    "unsure": unsure,
}


def faults(hypothesis: Hypothesis, heard: Heard) -> tuple[str, ...]:
    """Names of the rules that fire, the gravest first."""
    if not hypothesis.text.strip():
        return ()
    return tuple(name for name, rule in RULES.items() if rule(hypothesis, heard))


def gravity(names: Collection[str]) -> int:
    """One number to compare two hypotheses by: a graver fault outweighs all the lesser ones."""
    return sum(1 << (len(RULES) - i) for i, name in enumerate(RULES) if name in names)


def without_loop(text: str) -> str:
    """The text with a loop at its end said once: the last resort when all decodings loop.

    >>> without_loop("so we went" + " on and" * 9)
    'so we went on and'
    """
    units = _units(text)
    found = _repeated_tail(units)
    if found is None:
        return text
    start, size = found
    return "".join(
        unit if is_cjk(unit[0]) or not i else " " + unit
        for i, unit in enumerate(units[: start + size])
    ).strip()


_MARKS = " .,!?;:'\"-…。，！？；：、“”‘’《》()（）"
# Whole sentences that Whisper learned from subtitles and writes over music and silence.
_BOILERPLATE = re.compile(
    r"(thank(s| you)( (so|very) much)?( for (watching|listening|your attention))?"
    r"|(please )?(like|subscribe)( and subscribe)?( to (my|our|the) channel)?"
    r"|see you (next time|in the next video)|bye( bye)?|you|字幕由.*|.*字幕(组|志愿者|制作).*"
    r"|.*amara\.?org.*|(请|請)(不吝|记得|記得)?.*(订阅|訂閱|点赞|點贊|點讚).*"
    r"|(谢谢|謝謝|感谢|感謝)(大家)?(的)?(观看|觀看|收看|收听|收聽)?|.*明镜.*点点.*|.*優優獨播.*)",
    re.IGNORECASE,
)
# About audio, transcripts and models, never only about what somebody can or cannot do: people say
# that too.
_REFUSAL = re.compile(
    r"\b(sorry|unable|not able|can(no|')?t|can not|don't have|do not have)\b[^.!?]{0,60}"
    r"\b(audio|recordings?|transcri\w+|speech to text)\b"
    r"|\bas an? (ai|artificial|(large )?language model)\b[^.!?]{0,40}"
    r"\b(can(no|')?t|can not|unable|not able|don't|do not)\b"
    r"|\bplease (provide|upload|share|send|attach)\b[^.!?]{0,30}\b(audio|recording|speech|file)\b"
    r"|(抱歉|对不起|无法|不能|没有)[^。！？]{0,20}(音频|录音|转写|转录)"
    r"|作为[^。！？]{0,8}(AI|人工智能|语言模型)[^。！？]{0,16}(无法|不能)"
    r"|请(您)?(提供|上传|发送|分享)[^。！？]{0,12}(音频|录音|语音)"
    # What a person may say too, if there is more of it.
    r"|^\W*I('m| am) sorry,? (but )?I can(no|')?t (assist|help)( you)? with (that|this)\W*$"
    r"|^\W*很?(抱歉|对不起)，?但?我(无法|不能)(协助|满足|回答)[您你]?的?这?个?(请求|问题)\W*$",
    re.IGNORECASE,
)


def _boilerplate(text: str) -> bool:
    return bool(_BOILERPLATE.fullmatch(text.strip(_MARKS)))


def _bare(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _units(text: str) -> list[str]:
    """Words, and single characters of scripts without spaces."""
    return [u for u in re.findall(r"[\u3040-\u9fff]|[^\s\u3040-\u9fff]+", text) if u.strip(_MARKS)]


def _repeated_tail(units: list[str]) -> tuple[int, int] | None:
    """Start and size of a run of units that ends the text at least five times in a row.

    Four of a word are emphasis ("no, no, no, no"), digits may repeat: both are left alone.
    """
    units = [u.lower().strip(_MARKS) for u in units]
    for size in range(1, min(30, len(units) // 3) + 1):
        unit = units[-size:]
        num = 1
        while units[-size * (num + 1) : -size * num] == unit:
            num += 1
        wanted = 3 if size >= 6 else 4 if size >= 3 else 6
        if num >= wanted and not (size == 1 and unit[0].isdigit()):
            return len(units) - num * size, size
    return None
