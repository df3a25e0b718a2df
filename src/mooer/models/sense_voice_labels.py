"""What SenseVoice's classes mean: pieces of text and labels, read without torch.

The vocabulary is a model of SentencePiece (Kudo and Richardson 2018); of its file only the pieces
are needed to write text, and they lie in plain protobuf. Labels are pieces such as `<|HAPPY|>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError

Floats = NDArray[np.float32]

BLANK = 0
NUM_QUERIES = 4  # frames in front of the speech: language, emotion, event, text norm
LANGUAGES = ("zh", "en", "yue", "ja", "ko", "nospeech")
EMOTIONS = (
    *("HAPPY", "SAD", "ANGRY", "NEUTRAL", "FEARFUL", "DISGUSTED", "SURPRISED"),
    "EMO_UNKNOWN",
)
EVENTS = (
    *("BGM", "Speech", "Applause", "Laughter", "Cry", "Sneeze", "Breath", "Cough"),
    *("Sing", "Speech_Noise", "Event_UNK"),
)
STYLES = ("withitn", "woitn")  # with inverse text normalisation and punctuation, or without

# What the network is asked for: rows of its table of query frames.
LANGUAGE_QUERIES = {"auto": 0, "zh": 3, "en": 4, "yue": 7, "ja": 11, "ko": 12, "nospeech": 13}
STYLE_QUERIES = {"withitn": 14, "woitn": 15}

_NEEDED = (*LANGUAGES, "HAPPY", "SAD", "ANGRY", "NEUTRAL", "EMO_UNKNOWN", "Speech", *STYLES)

RELEASED_SIZE = 25_055
_RELEASED_IDS = {
    **{"zh": 24884, "en": 24885, "yue": 24888, "ja": 24892, "ko": 24896, "nospeech": 24992},
    **{"HAPPY": 25001, "SAD": 25002, "ANGRY": 25003, "NEUTRAL": 25004, "EMO_UNKNOWN": 25009},
    **{"withitn": 25016, "woitn": 25017, "Event_UNK": 25019},
}

_SPACE = "\u2581"  # how a piece writes a space
_UNKNOWN, _CONTROL, _BYTE = 2, 3, 6  # types of pieces; others are written as they are
_TAG = re.compile(r"<\|([^|<>]+)\|>")


@dataclass(frozen=True)
class Label:
    """A language, emotion, event or style as the network named it."""

    name: str
    probability: float


@dataclass(frozen=True)
class Rich:
    """Text and labels of one utterance; a label that is not of its kind is None."""

    text: str
    language: Label | None
    emotion: Label | None
    event: Label | None
    style: Label | None
    tokens: tuple[int, ...]  # classes of the text, tags among them included
    frames: tuple[int, ...]  # where in the speech each token begins, 60 ms each
    avg_logprob: float  # natural log, mean over the tokens; 0 without any


class Vocabulary:
    """Pieces by class, and classes by label. ModelError for a tokenizer without the labels."""

    def __init__(self, pieces: Sequence[tuple[str, int]], source: str = "the vocabulary") -> None:
        self._source = source
        self._pieces = [piece for piece, _ in pieces]
        self._types = [kind for _, kind in pieces]
        found = ((_TAG.fullmatch(piece), i) for i, piece in enumerate(self._pieces))
        self.labels = {match[1]: i for match, i in found if match}
        self._names = {i: name for name, i in self.labels.items()}
        missing = [name for name in _NEEDED if name not in self.labels]
        if missing:
            raise ModelError(
                f"{source} is not SenseVoice's tokenizer: it has no piece <|{missing[0]}|>; "
                f"take the .bpe.model that came with the weights"
            )
        if len(self) == RELEASED_SIZE:
            for name, place in _RELEASED_IDS.items():
                if self.labels.get(name) != place:
                    raise ModelError(
                        f"{source} is not SenseVoice's tokenizer: <|{name}|> is piece "
                        f"{self.labels.get(name)} instead of {place}; take the .bpe.model that "
                        f"came with the weights"
                    )

    def __len__(self) -> int:
        """How many classes there are."""
        return len(self._pieces)

    def require(self, num_classes: int) -> None:
        """ModelError unless the network has as many classes."""
        if len(self) != num_classes:
            raise ModelError(
                f"{self._source} has {len(self)} pieces, but the network {num_classes} classes: "
                f"take the .bpe.model that came with the weights"
            )

    def decode(self, classes: Sequence[int]) -> str:
        """The text of these classes, tags included, as SentencePiece writes it."""
        written, held = [""], bytearray()
        for one in classes:
            piece, kind = self._pieces[one], self._types[one]
            if kind == _BYTE:  # <0xE4>: bytes of a letter that is no piece
                held.append(int(piece[3:-1], 16))
                continue
            written.append(held.decode("utf-8", "replace"))
            held.clear()
            if kind == _UNKNOWN:
                piece = " \u2047 "
            elif kind == _CONTROL:
                piece = ""
            elif not any(written):  # the space before the first word is not the speaker's
                piece = piece.removeprefix(_SPACE)
            written.append(piece.replace(_SPACE, " "))
        return "".join([*written, held.decode("utf-8", "replace")])

    def read(self, log_probs: Floats, *, ban_unknown_emotion: bool = False) -> Rich:
        """Text and labels of one utterance from log-probabilities [4 + F, V], greedily.

        With `ban_unknown_emotion` the network must settle on an emotion (`ban_emo_unk`).
        """
        unknown = self.labels["EMO_UNKNOWN"]
        if ban_unknown_emotion:
            log_probs = log_probs.copy()
            log_probs[:, unknown] = -np.inf
        best = log_probs.argmax(axis=1)
        sure = np.take_along_axis(log_probs, best[:, None], axis=1)[:, 0]
        kept = runs(best)
        kept = kept[kept >= NUM_QUERIES]
        language, emotion, event, style = (
            self._label(int(best[i]), float(sure[i]), kind)
            for i, kind in enumerate((LANGUAGES, EMOTIONS, EVENTS, STYLES))
        )
        tokens = [int(one) for one in best[kept]]
        words = [one for one in tokens if one not in self._names]
        return Rich(
            self.decode(words).strip(),
            language,
            emotion,
            event,
            style,
            tokens=tuple(tokens),
            frames=tuple(int(i) - NUM_QUERIES for i in kept),
            avg_logprob=float(sure[kept].mean()) if tokens else 0.0,
        )

    def _label(self, one: int, log_prob: float, kind: Sequence[str]) -> Label | None:
        name = self._names.get(one, "")
        return Label(name, float(np.exp(log_prob))) if name in kind else None


def runs(best: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where in a path [F] each class begins that is no blank and no repeat.

    >>> runs(np.array([0, 3, 3, 0, 3, 1])).tolist()
    [1, 4, 5]
    """
    begins = np.ones(len(best), bool)
    begins[1:] = best[1:] != best[:-1]
    return np.flatnonzero(begins & (best != BLANK))


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary in a .bpe.model. ModelError if it cannot be read or is another's."""
    try:
        return Vocabulary(list(_pieces(path.read_bytes())), str(path))
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(
            f"{path} cannot be read as a model of SentencePiece ({error}): fetch it again"
        ) from None


def _pieces(content: bytes) -> Iterator[tuple[str, int]]:
    """Texts and types: field 1 of the file, and fields 1 and 3 of each piece."""
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            text, kind = "", 1
            for part, what in _fields(value):
                if part == 1 and isinstance(what, bytes):
                    text = what.decode("utf-8")
                elif part == 3 and isinstance(what, int):
                    kind = what
            yield text, kind


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a protobuf message. ValueError or IndexError if it is none."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(content, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"no protobuf has a field of type {wire}")
        if at + size > len(content):
            raise ValueError("it ends within a field")
        yield number, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first, and where the next begins."""
    number = shift = 0
    while True:
        byte = content[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
        if shift > 63:
            raise ValueError("a number in it does not end")
