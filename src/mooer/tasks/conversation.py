"""A conversation of several turns as parts: questions are shown, answers are learned or given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mooer.errors import ConfigError, ManifestError
from mooer.tasks.layout import Audio, Text
from mooer.tasks.templates import TEMPLATES, template

CHAT = "chat"  # the task whose utterances may be conversations
MARK = "<audio>"  # in the text of a turn: here a recording is heard
_SYSTEM, _USER, _ASSISTANT = "system", "user", "assistant"


@dataclass(frozen=True)
class Written:
    """What somebody wrote: a name of a special token in it is letters, and ends no turn."""

    text: str


def conversation(
    name: str,
    turns: Sequence[tuple[str, str]],
    num_embeddings: Sequence[int],
    *,
    with_answers: bool = True,
) -> list[Text | Audio]:
    r"""Turns (role, text) in template `name` around the embeddings of each recording in order.

    Every turn of the assistant is learned, with the token that ends it. Without answers nothing
    is, and the last one is left out, for the model to say. ConfigError for a template that has no
    turns, ManifestError for turns that are no conversation.

    >>> parts = conversation("qwen2-audio", [("user", "<audio>Hi"), ("assistant", "Yes.")], [3])
    >>> parts[1:]  # doctest: +NORMALIZE_WHITESPACE
    [Audio(num_embeddings=3),
     Text(text='<|audio_eos|>\nHi<|im_end|>\n<|im_start|>assistant\n', learned=False),
     Text(text='Yes.<|im_end|>', learned=True)]
    """
    _check(turns, len(num_embeddings))
    found: list[Text | Audio] = []
    text = ""
    for piece in _pieces(name, turns, num_embeddings):
        if isinstance(piece, str | Written):
            text += piece if isinstance(piece, str) else piece.text
            continue
        found += [Text(text), piece] if text else [piece]
        text = ""
    if with_answers:
        return found
    return [Text(one.text) if isinstance(one, Text) else one for one in found[:-1]]


def question(
    name: str, turns: Sequence[tuple[str, str]], num_embeddings: Sequence[int]
) -> list[Text | Written | Audio]:
    r"""Turns that end with the user's, up to where the answer begins.

    What stands in the turns is apart from the layout around them, and the assistant may have said
    anything. Errors as of `conversation`.

    >>> question("mini", [("user", "<audio>Hi")], [3])[1:]  # doctest: +NORMALIZE_WHITESPACE
    [Audio(num_embeddings=3),
     Written(text='Hi'),
     Text(text='<|im_end|>\n<|im_start|>assistant\n', learned=False)]
    """
    _check_roles(turns)
    if not turns or turns[-1][0] != _USER:
        raise ManifestError("a question ends with the user's turn")
    _check_marks((text for role, text in turns if role == _USER), len(num_embeddings))
    end = template(name).end
    found: list[Text | Written | Audio] = []
    *shown, _ = _pieces(name, [*turns, (_ASSISTANT, "")], num_embeddings)
    for piece in shown:
        if isinstance(piece, Text):
            found += [Written(piece.text.removesuffix(end)), Text(end)]
        elif not isinstance(piece, str):
            found += [] if piece == Written("") else [piece]
        elif found and isinstance(found[-1], Text):
            found[-1] = Text(found[-1].text + piece)
        elif piece:
            found.append(Text(piece))
    return found


def _pieces(
    name: str, turns: Sequence[tuple[str, str]], num_embeddings: Sequence[int]
) -> Iterator[str | Written | Text | Audio]:
    """The layout as strings, what is not learned in it as `Written`, answers with their end."""
    layout = template(name)
    chat = layout.chat
    if chat is None:
        known = ", ".join(one for one in TEMPLATES if TEMPLATES[one].chat)
        raise ConfigError(
            f"template {name} has one question and one answer, and no place for a conversation of "
            f"several turns: use {known}, or give prompt and answer"
        )
    if turns[0][0] != _SYSTEM:
        yield chat.system
    number = 0
    for i, (role, text) in enumerate(turns):
        yield ("\n" if i and turns[i - 1][0] == _ASSISTANT else "") + chat.begin.format(role=role)
        if role == _ASSISTANT:
            yield Text(text + layout.end, learned=True)
            continue
        first, *others = text.split(MARK) if role == _USER else [text]
        yield Written(first)
        for after in others:
            yield chat.before_audio.format(number=number + 1)
            yield Audio(num_embeddings[number])
            yield chat.after_audio
            yield Written(after)
            number += 1
        yield layout.end + "\n"


def _check(turns: Sequence[tuple[str, str]], num_recordings: int) -> None:
    _check_roles(turns)
    roles = [role for role, _ in turns]
    if _USER not in roles or roles[-1] != _ASSISTANT:
        raise ManifestError("a conversation needs a user's turn and ends with the assistant's")
    for role, text in turns:
        if role != _USER and MARK in text:
            raise ManifestError(
                f"{MARK} stands in a turn of the {role}: only the user's have sound"
            )
        if role == _ASSISTANT and not text.strip():
            raise ManifestError("a turn of the assistant is empty: it would teach silence")
    _check_marks((text for _, text in turns), num_recordings)


def _check_roles(turns: Sequence[tuple[str, str]]) -> None:
    roles = [role for role, _ in turns]
    if unknown := sorted(set(roles) - {_SYSTEM, _USER, _ASSISTANT}):
        raise ManifestError(f"a turn is of system, user or assistant, not of {unknown[0]!r}")
    if _SYSTEM in roles[1:]:
        raise ManifestError("a conversation has one system turn at most, and it is the first")


def _check_marks(texts: Iterable[str], num_recordings: int) -> None:
    num_marks = sum(text.count(MARK) for text in texts)
    if num_marks != num_recordings:
        raise ManifestError(
            f"it has {num_marks} {MARK} in its turns for {num_recordings} recordings"
        )
