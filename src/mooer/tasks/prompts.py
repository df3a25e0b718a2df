"""The wording of every request for a translation, and the text or messages it becomes.

One place: whatever asks a language model for a translation asks here. The wording was chosen by
measurement on a model of half a billion parameters (`bench/translation.py`). Such a model learns
the task from worked examples rather than from instructions. Into English it is most faithful
when it only goes on with a list of sentences and their translations; into Chinese, when it
answers as an assistant that has answered well before. The examples come first and never change,
so their place in the model's KV cache is filled once and then used again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from mooer.text import is_cjk, language_name


class Message(NamedTuple):
    """One turn of a conversation with a chat model."""

    role: Literal["system", "user", "assistant"]
    content: str


# Worked examples, written for this purpose as a recogniser writes: some with punctuation, some
# without; statements, questions and commands; talk and news.
_CHINESE_ENGLISH = (
    ("请问去火车站怎么走", "Excuse me, how do I get to the train station?"),
    (
        "今年上半年我们的销售额增长了百分之十五",
        "In the first half of this year, our sales grew by fifteen percent.",
    ),
    (
        "他昨天没来上班，因为孩子生病了。",
        "He didn't come to work yesterday because his child was sick.",
    ),
    ("把客厅的灯关掉", "Turn off the lights in the living room."),
    ("这部电影比我想象的要好看得多。", "The film was much better than I had expected."),
    (
        "很多年轻人因此选择离开大城市",
        "As a result, many young people are choosing to leave the big cities.",
    ),
    ("你什么时候有空？我想请你吃饭。", "When are you free? I'd like to take you out for dinner."),
    (
        "据该公司负责人介绍新工厂预计明年三月投产",
        "According to the head of the company, the new factory is expected to start production "
        "next March.",
    ),
)
_ENGLISH_CHINESE = (
    ("Excuse me, how do I get to the train station?", "请问去火车站怎么走？"),
    (
        "in the first half of this year our sales grew by fifteen percent",
        "今年上半年我们的销售额增长了百分之十五。",
    ),
    (
        "He didn't come to work yesterday because his child was sick.",
        "他昨天没来上班，因为孩子生病了。",
    ),
    ("Turn off the lights in the living room.", "把客厅的灯关掉。"),
    ("The film was much better than I had expected.", "这部电影比我想象的要好看得多。"),
    (
        "as a result many young people are choosing to leave the big cities",
        "很多年轻人因此选择离开大城市。",
    ),
    ("When are you free? I'd like to take you out for dinner.", "你什么时候有空？我想请你吃饭。"),
    (
        "According to the head of the company, the new factory is expected to start production "
        "next March.",
        "据该公司负责人介绍，新工厂预计明年三月投产。",
    ),
)
_ANY_ENGLISH = (
    (
        "fr",
        "Il n'est pas venu travailler hier parce que son enfant était malade.",
        "He didn't come to work yesterday because his child was sick.",
    ),
    (
        "ja",
        "この映画は思っていたよりずっと面白かったです",
        "The film was much better than I had expected.",
    ),
    (
        "de",
        "Schalte bitte das Licht im Wohnzimmer aus",
        "Please turn off the lights in the living room.",
    ),
    (
        "es",
        "¿Cuándo estás libre? Quiero invitarte a cenar.",
        "When are you free? I'd like to take you out for dinner.",
    ),
)
_LABELS = {"zh": "中文："}  # other languages go by their English name
_REQUEST = "Translate into {target}: {text}"
_TERMS = "Translate into {target} ({terms}): {text}"
_INSIST = "Translate this sentence into {target}. Write the {target} sentence only: {text}"
_INSIST_TERMS = (
    "Translate this sentence into {target}. Write the {target} sentence only, and use these "
    "words: {terms}. The sentence: {text}"
)
_SPECIAL = re.compile(r"<\|")  # opens a chat template's own tokens, which speech has no right to


def translation_messages(
    text: str,
    *,
    source: str,
    target: str,
    previous: Sequence[tuple[str, str]] = (),
    terms: Mapping[str, str] | None = None,
    insist: bool = False,
) -> list[Message]:
    """Ask for `text` in the language `target` (codes).

    `previous` are (text, translation) of the segments before it, oldest first; `terms` the
    glossary entries to keep to. `insist` words the request more strongly, for a second try.

    >>> [m.role for m in translation_messages("你好", source="zh", target="en")][-1]
    'user'
    """
    name = language_name(target)
    messages: list[Message] = []
    examples = [(line, translation) for _, line, translation in _examples(source, target)]
    for line, translation in (*examples, *previous):
        messages.append(Message("user", _REQUEST.format(target=name, text=_line(line))))
        messages.append(Message("assistant", translation))
    template = (_INSIST_TERMS if terms else _INSIST) if insist else (_TERMS if terms else _REQUEST)
    last = template.format(target=name, text=_line(text), terms=_pairs(terms or {}))
    return [*messages, Message("user", last)]


def translation_text(
    text: str,
    *,
    source: str,
    target: str,
    previous: Sequence[tuple[str, str]] = (),
    terms: Mapping[str, str] | None = None,
) -> str:
    """The same as a list of sentences and translations, to be continued by one line.

    >>> print(translation_text("你好", source="zh", target="en", terms={"好": "fine"})[-30:])
    Terms: 好 = fine
    中文：你好
    English:
    """
    into = language_name(target)
    examples = [*_examples(source, target), *((source, *pair) for pair in previous)]
    blocks = [f"{_label(code)}{_line(a)}\n{into}: {b}\n\n" for code, a, b in examples]
    pairs = f"Terms: {_pairs(terms)}\n" if terms else ""
    return "".join(blocks) + f"{pairs}{_label(source)}{_line(text)}\n{into}:"


def translation_request(
    text: str,
    *,
    source: str,
    target: str,
    previous: Sequence[tuple[str, str]] = (),
    terms: Mapping[str, str] | None = None,
    insist: bool = False,
) -> str | list[Message]:
    """What to ask a model for a translation: a text to continue or a conversation to answer.

    `insist` asks in another way, for a second try. Otherwise as `translation_messages`.
    """
    pair = {"source": source, "target": target}
    if target == "en" and not insist:
        return translation_text(text, **pair, previous=previous, terms=terms)
    return translation_messages(text, **pair, previous=previous, terms=terms, insist=insist)


def answer_grammar(target: str) -> str | None:
    """What an answer in `target` must obey (GBNF): no character of East Asia.

    A small model leaves words that it does not know in Chinese; held to Latin letters it
    finds another word for them. A new line is allowed: it is how an answer ends. None for a
    language that is written in such characters.
    """
    if target in ("zh", "yue", "ja", "ko"):
        return None
    return r"root ::= [^\u2E80-\u9FFF\uAC00-\uD7A3\uF900-\uFAFF]+"


def _examples(source: str, target: str) -> Sequence[tuple[str, str, str]]:
    """(language, sentence, translation) of the worked examples for a pair."""
    if (source, target) == ("zh", "en"):
        return [("zh", *example) for example in _CHINESE_ENGLISH]
    if (source, target) == ("en", "zh"):
        return [("en", *example) for example in _ENGLISH_CHINESE]
    return _ANY_ENGLISH if target == "en" else ()


def _label(code: str) -> str:
    return _LABELS.get(code) or f"{language_name(code)}: "


def _line(text: str) -> str:
    return _SPECIAL.sub("< |", " ".join(text.split()))


def _pairs(terms: Mapping[str, str]) -> str:
    return ", ".join(f"{term} = {translation}" for term, translation in terms.items())


def occurring_terms(text: str, glossary: Mapping[str, str]) -> dict[str, str]:
    """The entries of a glossary whose source term is in `text`, whatever its case.

    A term that begins or ends with a letter of a spaced script must begin or end a word there.

    >>> occurring_terms("用PyTorch训练模型", {"pytorch": "PyTorch", "torch": "x", "模型": "model"})
    {'pytorch': 'PyTorch', '模型': 'model'}
    """
    return {term: target for term, target in glossary.items() if _occurs(term, text)}


def _occurs(term: str, text: str) -> bool:
    edge = r"[^\W\u2e80-\u9fff\uac00-\ud7a3]"  # a letter of a word that spaces end
    before = "" if not term or is_cjk(term[0]) else f"(?<!{edge})"
    after = "" if not term or is_cjk(term[-1]) else f"(?!{edge})"
    return bool(term) and re.search(before + re.escape(term) + after, text, re.I) is not None
