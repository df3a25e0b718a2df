"""The wording of every request for a translation, and the messages it becomes.

One place: whatever asks a chat model for a translation asks here. The wording was chosen by
measurement on a model of half a billion parameters (`bench/translation.py`): such a model learns
the task from worked examples rather than from instructions, so a request is a conversation in
which every turn before was answered rightly. The examples come first and never change, so their
place in the model's KV cache is filled once and then used again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mooer.text import is_cjk, language_name


class Message(NamedTuple):
    """One turn of a conversation with a chat model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Wording:
    """How a pair of languages is asked for; `{text}`, `{source}`, `{target}` are filled in."""

    system: str
    request: str
    insist: str  # the request again, after an answer that would not do
    terms: str  # before a request, with `{terms}`
    examples: tuple[tuple[str, str], ...] = ()


# Written for this purpose, as a recogniser writes: some with punctuation, some without.
_CHINESE_ENGLISH = (
    ("请问去火车站怎么走", "Excuse me, how do I get to the train station?"),
    (
        "他昨天没来上班，因为孩子生病了。",
        "He didn't come to work yesterday because his child was sick.",
    ),
)
_WORDINGS: dict[tuple[str, str], Wording] = {
    ("zh", "en"): Wording(
        system="You are a professional translator. Translate Chinese speech into natural English.",
        request="{text}",
        insist="Translate into English, and write nothing but the translation: {text}",
        terms="({terms}) ",
        examples=_CHINESE_ENGLISH,
    ),
}
_ANY = Wording(
    system="You are a professional translator. Translate {source} speech into natural {target}. "
    "Output only the {target} translation.",
    request="{text}",
    insist="Translate into {target}, and write nothing but the translation: {text}",
    terms="({terms}) ",
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
    wording = _WORDINGS.get((source, target), _ANY)
    names = {"source": language_name(source), "target": language_name(target)}

    def request(line: str, template: str) -> str:
        return template.format(text=_SPECIAL.sub("< |", " ".join(line.split())), **names)

    messages = [Message("system", wording.system.format(**names))]
    for line, translation in (*wording.examples, *previous):
        messages.append(Message("user", request(line, wording.request)))
        messages.append(Message("assistant", translation))
    last = request(text, wording.insist if insist else wording.request)
    if terms:
        pairs = ", ".join(f"{term} = {translation}" for term, translation in terms.items())
        last = wording.terms.format(terms=pairs, **names) + last
    return [*messages, Message("user", last)]


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
