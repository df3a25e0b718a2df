"""A conversation with audio in it as token ids and labels: the one place that lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mooer.batch import AUDIO, IGNORE


class Tokenizer(Protocol):
    """What is asked of a tokenizer; those of `transformers` have it."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]:
        """Ids of a text; special tokens written in it are read as such."""
        ...


@dataclass(frozen=True)
class Text:
    """Text of a prompt, or (learned) of an answer."""

    text: str
    learned: bool = False


@dataclass(frozen=True)
class Audio:
    """The place of a recording that the adapter turns into this many embeddings."""

    num_embeddings: int


@dataclass(frozen=True)
class Layout:
    """Ids [L] with AUDIO at the places of audio, and labels [L] with IGNORE off the answer."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]


def lay_out(parts: Sequence[Text | Audio], tokenizer: Tokenizer) -> Layout:
    """Each part is tokenized by itself, so that its boundaries never depend on its neighbours."""
    ids: list[int] = []
    labels: list[int] = []
    for part in parts:
        if isinstance(part, Audio):
            ids += [AUDIO] * part.num_embeddings
            labels += [IGNORE] * part.num_embeddings
        else:
            new = tokenizer.encode(part.text, add_special_tokens=False)
            ids += new
            labels += new if part.learned else [IGNORE] * len(new)
    return Layout(tuple(ids), tuple(labels))
