"""What a language model may answer to a request for a translation: clean it up, and doubt it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mooer.text import is_cjk

# Names of the doubts, worst first: `severity` adds them up, so that one of two answers can win.
WARNINGS = (
    "translation_empty",
    "translation_refusal",
    "translation_language",
    "translation_loop",
    "translation_chatter",
    "translation_echo",
    "translation_length",
    "translation_terms",
)

_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_MARKUP = re.compile(r"^\s*(?:```\w*|#{1,6}\s|>\s|[-*•]\s)|```\s*$|\*\*|__", re.MULTILINE)
_LABEL = re.compile(
    r"^\s*(?:(?:sure|certainly|of course|okay|当然|好的)[,，.!！:：]?\s*)?"
    r"(?:(?:here(?:'s| is)|this is|这是|以下是|下面是)\s*)?(?:the\s+|your\s+)?"
    r"(?:(?:english|chinese|simplified chinese|mandarin|英文|英语|中文|简体中文)\s*的?\s*)?"
    r"(?:translation|translated text|译文|翻译|翻译结果|translates? (?:as|to))"
    r"[^:：\n]{0,40}[:：]\s*"
    r"|^\s*(?:english|chinese|mandarin|英文|英语|中文|汉语)\s*[:：]\s*",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"\s*[(（\[【]\s*(?:note|translator|literally|explanation|注|译注|译者|说明|解释)"
    r"[^)）\]】]*[)）\]】]?\s*$"
    r"|\s*\n\s*(?:note|explanation|注|注意|说明|解释)\s*[:：].*\Z",
    re.IGNORECASE | re.DOTALL,
)
_QUOTES = (('"', '"'), ("“", "”"), ("「", "」"), ("『", "』"), ("'", "'"), ("‘", "’"), ("`", "`"))

_REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial|language model)\b|\b(?:ai|large) language model\b"
    r"|^\W*(?:i(?:'| a)m (?:very )?sorry|sorry|i apologi[sz]e|my apologies|unfortunately)\b"
    r"[^.]{0,12}\b(?:i|we)\b.{0,12}\b(?:can(?:'|no)?t|can not|unable|don't|do not|am not)\b"
    r"|^\W*i(?:'m| am) (?:not able|unable) to (?:translate|assist|help|provide)"
    r"|^\W*i can(?:'|no)t (?:translate|assist|help|provide|fulfil)"
    r"|^\W*(?:很?抱歉|对不起|非常抱歉).{0,8}(?:无法|不能|没有办法|不支持)"
    r"|作为(?:一个|一名|一款)?(?:ai|人工智能|语言模型|大型语言|智能助手)|我是(?:一个)?(?:ai|人工智能|语言模型)",
    re.IGNORECASE,
)
_SORRY = re.compile(
    r"sorry|apolog|unfortunate|can'?t|cannot|unable|\bai\b|language model|抱歉|对不起|不好意思"
    r"|遗憾|歉意|无法|不能|人工智能|语言模型",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"^\W*(?:sure|certainly|of course|absolutely)[,!.]+\s*(?:here|let me|the translation"
    r"|i(?: can|'d be| would be) (?:help|happy|glad))"
    r"|^\W*here(?:'s| is) (?:the|your|a|an)\b.{0,30}\btranslat"
    r"|\b(?:the|this|your) (?:sentence|text|phrase|translation)\b.{0,40}\b(?:translate|means|is)\b"
    r"|\b(?:please (?:provide|let me know)|feel free to|how can i (?:help|assist))\b"
    r"|translates? (?:to|as|into)\b|\((?:note|literally)\b|^\W*(?:note|explanation)\s*:"
    r"|^\W*(?:当然|好的)[,，!！。]\s*(?:这是|以下|下面|我)|以下是.{0,12}(?:翻译|译文)|(?:翻译|译文)(?:为|如下|是)[:：]"
    r"|(?:这句话|该句|句子)的(?:意思|翻译)|请(?:提供|输入).{0,10}(?:文本|句子|内容)|[(（](?:注|译注|说明)[:：]",
    re.IGNORECASE,
)
_ABOUT_LANGUAGE = re.compile(
    r"translat|sentence|phrase|\btext\b|assist|help|provide|let me know|feel free|means?\b|note"
    r"|翻译|译文|句|文本|意思|帮|提供|请|短语|词",
    re.IGNORECASE,
)
# (words per unit: least, most; slack: below, above). Over 24,000 sentence pairs of Tatoeba the
# first two doubt fewer than one in 2,000; the third is wide, for languages nobody counted.
_LENGTHS = {("zh", "en"): (0.3, 1.1, 1, 4), ("en", "zh"): (0.6, 2.6, 2, 5)}
_ANY_LENGTH = (0.25, 4.0, 2, 6)
_UNIT = re.compile(r"\d|[^\W\d_]+(?:['’-][^\W\d_]+)*")


def parse(answer: str) -> str:
    r"""The translation inside an answer: no thinking, label, quotes, markdown or notes; one line.

    >>> parse('Sure! Here is the translation: **"Good evening."**')
    'Good evening.'
    >>> parse("译文：晚上好。\n\n注：这是问候语。")
    '晚上好。'
    """
    text = _THINKING.sub("", answer).strip()
    text = _LABEL.sub("", _MARKUP.sub("", text).strip(), count=1)
    text = _NOTE.sub("", text).strip()
    text = text.splitlines()[0].strip() if text else ""
    for left, right in _QUOTES:
        if len(text) > 2 and text[0] == left and text[-1] == right and right not in text[1:-1]:
            text = text[1:-1].strip()
    return text


def check(
    answer: str,
    text: str,
    *,
    source: str,
    target: str,
    previous: Sequence[tuple[str, str]] = (),
    terms: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Names (of `WARNINGS`) of what is doubtful in `answer`, a parsed translation of `text`.

    `previous` are (text, translation) of segments before it; `terms` the glossary entries that
    occur in `text`. Empty if nothing is.

    >>> check("As an AI language model, I cannot.", "你好", source="zh", target="en")
    ('translation_refusal', 'translation_length')
    >>> check("Good evening, viewers.", "各位观众晚上好", source="zh", target="en")
    ()
    """
    if not _UNIT.search(answer):
        # a segment of punctuation alone has nothing to say either
        return ("translation_empty",) if _UNIT.search(text) else ()
    doubts = {
        "translation_refusal": _REFUSAL.search(answer) and not _SORRY.search(text),
        "translation_language": _wrong_language(answer, text, target),
        "translation_loop": longest_loop(answer) > longest_loop(text) + 2,
        "translation_chatter": _CHATTER.search(answer) and not _ABOUT_LANGUAGE.search(text),
        "translation_echo": _echoes(answer, text, previous),
        "translation_length": not _fits(answer, text, source, target),
        "translation_terms": any(
            want.casefold() not in answer.casefold() for want in (terms or {}).values()
        ),
    }
    return tuple(name for name in WARNINGS if doubts.get(name))


def severity(warnings: Sequence[str]) -> int:
    """One number to compare two answers by: a graver doubt outweighs all the lesser ones."""
    return sum(1 << (len(WARNINGS) - WARNINGS.index(name)) for name in set(warnings))


def units(text: str) -> list[str]:
    """What length is counted in: a word, a digit, or a character where no spaces are written.

    >>> units("我有3个iPhone，don't")
    ['我', '有', '3', '个', 'iPhone', "don't"]
    """
    found: list[str] = []
    for match in _UNIT.finditer(text):
        run = ""
        for char in match.group():
            if is_cjk(char):
                found += [run, char] if run else [char]
                run = ""
            else:
                run += char
        if run:
            found.append(run)
    return found


def longest_loop(text: str) -> int:
    """How often, at most, a stretch of 1 to 12 units follows on itself; 0 for none.

    >>> longest_loop("no no no no no"), longest_loop("one two three")
    (4, 0)
    """
    words = [word.casefold() for word in units(text)]
    longest = 0
    for size in range(1, min(12, len(words) // 2) + 1):
        run = 0
        for i in range(size, len(words)):
            run = run + 1 if words[i] == words[i - size] else 0
            longest = max(longest, run // size)
    return longest


def _wrong_language(answer: str, text: str, target: str) -> bool:
    letters = [char for char in answer if char.isalpha()]
    num_cjk = sum(map(is_cjk, letters))
    if target not in ("zh", "ja", "yue"):
        return num_cjk > 0.15 * len(letters)
    if not letters or num_cjk >= 0.3 * len(letters):
        return False
    # A name, a title or a code stays as it is, also in a Chinese text.
    words = units(text)
    return len(words) > 2 and not all(word[:1].isupper() or word.isdigit() for word in words)


def _echoes(answer: str, text: str, previous: Sequence[tuple[str, str]]) -> bool:
    said, wanted = _bare(answer), _bare(text)
    if len(units(text)) > 3 and wanted in said:
        return True
    # Two segments may be alike; then so may their translations.
    return any(
        _bare(translation) == said and _bare(before) != wanted and len(units(translation)) > 3
        for before, translation in previous
    )


def _bare(text: str) -> str:
    return " ".join(units(text)).casefold()


def _fits(answer: str, text: str, source: str, target: str) -> bool:
    least, most, below, above = _LENGTHS.get((source, target), _ANY_LENGTH)
    given, got = len(units(text)), len(units(answer))
    return given * least - below <= got <= given * most + above
