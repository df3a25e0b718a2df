"""What SenseVoice's classes mean: pieces of text and labels, read without torch.

Labels are pieces of its vocabulary such as `<|HAPPY|>`; the others are text (`sentencepiece`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError
from mooer.models.sentencepiece import SentencePiece, read_sentencepiece
from mooer.transcript import Label

Floats = NDArray[np.float32]

BLANK = 0
NUM_QUERIES = 4  # frames in front of the speech: language, emotion, event, text norm
FRAME_S = 0.06
LANGUAGES = ("zh", "en", "yue", "ja", "ko", "nospeech")
EMOTIONS = {  # the network's name -> that of a transcript
    "HAPPY": "happy",
    "SAD": "sad",
    "ANGRY": "angry",
    "NEUTRAL": "neutral",
    "FEARFUL": "fearful",
    "DISGUSTED": "disgusted",
    "SURPRISED": "surprised",
    "EMO_UNKNOWN": "unknown",
}
EVENTS = {
    "BGM": "music",
    "Speech": "speech",
    "Applause": "applause",
    "Laughter": "laughter",
    "Cry": "cry",
    "Sneeze": "sneeze",
    "Breath": "breath",
    "Cough": "cough",
    "Sing": "singing",
    "Speech_Noise": "speech_noise",
    "Event_UNK": "unknown",
}
STYLES = ("withitn", "woitn")  # with inverse text normalisation and punctuation, or without

# What the network is asked for: rows of its table of query frames.
LANGUAGE_QUERIES = {"auto": 0, "zh": 3, "en": 4, "yue": 7, "ja": 11, "ko": 12, "nospeech": 13}
EVENT_QUERY, EMOTION_QUERY = 1, 2
STYLE_QUERIES = {"withitn": 14, "woitn": 15}

UNKNOWN_EMOTION, UNKNOWN_EVENT = "EMO_UNKNOWN", "Event_UNK"
_NEEDED = (*LANGUAGES, "HAPPY", "SAD", "ANGRY", "NEUTRAL", UNKNOWN_EMOTION, "Speech", *STYLES)

RELEASED_SIZE = 25_055
_RELEASED_IDS = {
    **{"zh": 24884, "en": 24885, "yue": 24888, "ja": 24892, "ko": 24896, "nospeech": 24992},
    **{"HAPPY": 25001, "SAD": 25002, "ANGRY": 25003, "NEUTRAL": 25004, "EMO_UNKNOWN": 25009},
    **{"withitn": 25016, "woitn": 25017, "Event_UNK": 25019},
}

_WORD = "\u2581"  # begins a word of SentencePiece
_TAG = re.compile(r"<\|([^|<>]+)\|>")


@dataclass(frozen=True)
class Token:
    """A class of the text: what it writes, and when it was heard, in frames of the speech."""

    id: int
    text: str  # empty for a label among the words
    start: int
    end: int  # first frame after it
    log_prob: float  # natural log, of the first of its frames


@dataclass(frozen=True)
class Rich:
    """Text and labels of one utterance, by the network's names; a label of another kind is None."""

    text: str
    language: Label | None
    emotion: Label | None
    event: Label | None
    style: Label | None
    tokens: tuple[Token, ...]

    @property
    def avg_logprob(self) -> float:
        """Natural log, mean over the tokens; 0 without any."""
        found = [token.log_prob for token in self.tokens]
        return sum(found) / len(found) if found else 0.0


class Vocabulary:
    """Pieces by class, and classes by label. ModelError for a tokenizer without the labels."""

    def __init__(self, spelling: SentencePiece) -> None:
        self.spelling = spelling
        self._source = spelling.source
        found = ((_TAG.fullmatch(piece.text), i) for i, piece in enumerate(spelling.pieces))
        self.labels = {match[1]: i for match, i in found if match}
        self._names = {i: name for name, i in self.labels.items()}
        missing = [name for name in _NEEDED if name not in self.labels]
        if missing:
            raise ModelError(
                f"{self._source} is not SenseVoice's tokenizer: it has no piece <|{missing[0]}|>; "
                f"take the .bpe.model that came with the weights"
            )
        if len(self) == RELEASED_SIZE:
            for name, place in _RELEASED_IDS.items():
                if self.labels.get(name) != place:
                    raise ModelError(
                        f"{self._source} is not SenseVoice's tokenizer: <|{name}|> is piece "
                        f"{self.labels.get(name)} instead of {place}; take the .bpe.model that "
                        f"came with the weights"
                    )

    def __len__(self) -> int:
        """How many classes there are."""
        return len(self.spelling)

    @cached_property
    def spoken(self) -> tuple[str, ...]:
        """What each class writes, with the space that begins a word; labels write nothing."""
        texts = (one.text.replace(_WORD, " ") for one in self.spelling.pieces)
        return tuple("" if i in self._names else text for i, text in enumerate(texts))

    def require(self, num_classes: int) -> None:
        """ModelError unless the network has as many classes."""
        if len(self) != num_classes:
            raise ModelError(
                f"{self._source} has {len(self)} pieces, but the network {num_classes} classes: "
                f"take the .bpe.model that came with the weights"
            )

    def decode(self, classes: Sequence[int]) -> str:
        """The text of these classes, tags included, as SentencePiece writes it."""
        return self.spelling.decode(classes)

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """The classes that write a text; labels written in it are read as such, and none added."""
        return self.spelling.encode(text)

    def read(self, logits: Floats, *, ban_unknown_emotion: bool = False) -> Rich:
        """Text and labels of one utterance from logits or log-probabilities [4 + F, V], greedily.

        With `ban_unknown_emotion` the network must settle on an emotion (`ban_emo_unk`).
        """
        if ban_unknown_emotion:
            logits = logits.copy()
            logits[:, self.labels[UNKNOWN_EMOTION]] = -np.inf
        best = logits.argmax(axis=1)
        starts, ends = runs(best)
        in_speech = starts >= NUM_QUERIES
        starts, ends = starts[in_speech], ends[in_speech]
        language, emotion, event, style = (
            self._label(one, log_prob, kind)
            for one, log_prob, kind in zip(
                best[:NUM_QUERIES].tolist(),
                _log_probs_of(logits[:NUM_QUERIES], best[:NUM_QUERIES]),
                (LANGUAGES, tuple(EMOTIONS), tuple(EVENTS), STYLES),
                strict=True,
            )
        )
        classes: list[int] = best[starts].tolist()
        texts = self._texts(classes)
        tokens = tuple(
            Token(one, text, start - NUM_QUERIES, end - NUM_QUERIES, log_prob)
            for one, text, start, end, log_prob in zip(
                classes,
                texts,
                starts.tolist(),
                ends.tolist(),
                _log_probs_of(logits[starts], best[starts]),
                strict=True,
            )
        )
        return Rich("".join(texts).strip(), language, emotion, event, style, tokens)

    def _texts(self, classes: Sequence[int]) -> list[str]:
        """What each class writes; a label among them writes nothing."""
        words = [one for one in classes if one not in self._names]
        written = iter(self.spelling.written(words))
        return ["" if one in self._names else next(written) for one in classes]

    def _label(self, one: int, log_prob: float, kind: Sequence[str]) -> Label | None:
        name = self._names.get(one, "")
        return Label(name, float(np.exp(log_prob))) if name in kind else None


def _log_probs_of(logits: Floats, classes: NDArray[np.int64]) -> list[float]:
    """Natural log-probability of a class of each row [N, V]."""
    if not len(logits):
        return []
    highest = logits.max(axis=1)
    total = np.exp(logits - highest[:, None]).sum(axis=1, dtype=np.float64)
    own = np.take_along_axis(logits, classes[:, None], axis=1)[:, 0]
    found: list[float] = (own - highest - np.log(total)).tolist()
    return found


def runs(best: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where in a path [F] each class that is no blank begins, and the frame after its end.

    >>> [ends.tolist() for ends in runs(np.array([0, 3, 3, 0, 3, 1]))]
    [[1, 4, 5], [3, 5, 6]]
    """
    begins = np.ones(len(best), bool)
    begins[1:] = best[1:] != best[:-1]
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(best))
    spoken = best[starts] != BLANK
    return starts[spoken], ends[spoken]


def read_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary in a .bpe.model. ModelError if it cannot be read or is another's."""
    return Vocabulary(read_sentencepiece(path))
