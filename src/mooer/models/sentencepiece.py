"""A model of SentencePiece (Kudo and Richardson 2018), used without its library: ids and text.

Of the file, which is plain protobuf, the pieces with their scores are read and how text is
normalised. Text is cut by byte-pair encoding (Sennrich et al. 2016): of two neighbours that
joined are a piece, those of the best score are joined first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from mooer.errors import ModelError

_SPACE = "\u2581"  # how a piece writes a space
_UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = 2, 3, 4, 5, 6  # types of pieces; 1 is any other
_BPE = 2  # among the types of models
_WORD = re.compile(f"{_SPACE}*[^{_SPACE}]+|{_SPACE}+")


@dataclass(frozen=True)
class Piece:
    """A class of a network that writes by SentencePiece."""

    text: str
    kind: int = 1
    score: float = 0.0


@dataclass(frozen=True)
class Rules:
    """How text becomes what pieces are looked for in."""

    charsmap: bytes = b""  # of characters to others; none: they stay
    add_space: bool = True  # before the first word
    squeeze: bool = True  # runs of spaces, and those at both ends
    is_bpe: bool = True


class SentencePiece:
    """Text of ids and ids of text, as the library gives them."""

    def __init__(
        self, pieces: Sequence[Piece], rules: Rules = Rules(), source: str = "the vocabulary"
    ) -> None:
        self.pieces = tuple(pieces)
        self.source = source
        self._rules = rules
        self._cut = lru_cache(maxsize=1 << 16)(self._merge)

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self.pieces)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these pieces; bytes that are no letter become U+FFFD."""
        return "".join(self.written(ids))

    def written(self, ids: Sequence[int]) -> list[str]:
        """What each of these pieces writes; a letter in bytes is written by the last of them."""
        texts = [""] * len(ids)
        held = bytearray()
        begun = False  # the space before the first word is not the speaker's
        kinds = [self.pieces[one].kind for one in ids]
        for place, (one, following) in enumerate(zip(ids, [*kinds, 0][1:], strict=True)):
            piece = self.pieces[one]
            if piece.kind == _BYTE:  # <0xE4>: bytes of a letter that is no piece
                held.append(int(piece.text[3:-1], 16))
                if following != _BYTE:
                    texts[place] = held.decode("utf-8", "replace")
                    held.clear()
            elif piece.kind == _UNKNOWN:
                texts[place] = " \u2047 "
            elif piece.kind != _CONTROL:
                text = piece.text if begun else piece.text.removeprefix(_SPACE)
                texts[place] = text.replace(_SPACE, " ")
            begun = begun or bool(texts[place])
        return texts

    def encode(self, text: str) -> list[int]:
        """Ids of a text. ModelError if the model cuts text in another way than BPE."""
        if not self._rules.is_bpe:
            raise ModelError(
                f"{self.source} cuts text in another way than by byte pairs, which alone is read: "
                f"take the .bpe.model that came with the weights"
            )
        ids: list[int] = []
        for part in self._parts(self._normal(text)):
            found = self._cut(part) if part not in self._whole else (self._ids[part],)
            joins = ids and found and ids[-1] == found[0] == self._unknown
            ids += found[1:] if joins else found
        return ids

    # --- what is derived of the pieces --------------------------------------------------------

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece.text: i for i, piece in enumerate(self.pieces)}

    @cached_property
    def _mergeable(self) -> dict[str, float]:
        kinds = (_UNKNOWN, _CONTROL, _UNUSED, _BYTE)
        return {piece.text: piece.score for piece in self.pieces if piece.kind not in kinds}

    @cached_property
    def _whole(self) -> frozenset[str]:
        """Pieces that are never cut, such as labels."""
        return frozenset(piece.text for piece in self.pieces if piece.kind == _USER)

    @cached_property
    def _unknown(self) -> int:
        return next((i for i, piece in enumerate(self.pieces) if piece.kind == _UNKNOWN), 0)

    @cached_property
    def _between(self) -> re.Pattern[str]:
        """What is never cut, the longest first; nothing if there is none."""
        names = sorted(self._whole, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, names)) or '(?!)'})")

    @cached_property
    def _crosses(self) -> bool:
        """Whether a piece holds the end of a word and the beginning of the next."""
        return any(_SPACE in text.lstrip(_SPACE) for text in self._mergeable)

    def _parts(self, text: str) -> Iterator[str]:
        """Stretches that are cut by themselves: labels, and words with the space before them."""
        for stretch in self._between.split(text):
            if stretch in self._whole or self._crosses:
                yield from (stretch,) if stretch else ()
            else:
                yield from _WORD.findall(stretch)

    def _normal(self, text: str) -> str:
        rules = self._rules
        if rules.charsmap:
            from tokenizers.normalizers import Precompiled

            text = str(Precompiled(rules.charsmap).normalize_str(text))
        if rules.squeeze:
            text = re.sub(" +", " ", text).strip(" ")
        if not text:
            return ""
        return (_SPACE if rules.add_space else "") + text.replace(" ", _SPACE)

    def _merge(self, text: str) -> tuple[int, ...]:
        """Ids of a stretch: its characters, joined two by two."""
        parts = list(text)
        while True:
            best, place = None, -1
            for i in range(len(parts) - 1):
                score = self._mergeable.get(parts[i] + parts[i + 1])
                if score is not None and (best is None or score > best):
                    best, place = score, i
            if best is None:
                break
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        ids: list[int] = []
        for part in parts:
            for one in self._spelled(part):
                if not (ids and one == ids[-1] == self._unknown):  # one for a run of them
                    ids.append(one)
        return tuple(ids)

    def _spelled(self, part: str) -> list[int]:
        if part in self._mergeable:
            return [self._ids[part]]
        names = [f"<0x{byte:02X}>" for byte in part.encode("utf-8", "surrogatepass")]
        known = all(name in self._ids for name in names)
        return [self._ids[name] for name in names] if known else [self._unknown]


def read_sentencepiece(path: Path) -> SentencePiece:
    """The pieces and rules of a file. ModelError if it cannot be read."""
    try:
        return _read(path.read_bytes(), str(path))
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise ModelError(
            f"{path} cannot be read as a model of SentencePiece ({error}): fetch it again"
        ) from None


def _read(content: bytes, source: str) -> SentencePiece:
    """Fields 1 (a piece each), 2 (how it was trained) and 3 (how text is normalised)."""
    pieces: list[Piece] = []
    trained: Mapping[int, Any] = {}
    normal: Mapping[int, Any] = {}
    for number, value in _fields(content):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            parts = dict(_fields(value))
            text, score = parts.get(1, b""), parts.get(2, b"\0\0\0\0")
            if not isinstance(text, bytes) or not isinstance(score, bytes):
                raise ValueError("a piece of it is no text")
            [number_of] = struct.unpack("<f", score)
            pieces.append(Piece(text.decode("utf-8"), int(parts.get(3, 1)), number_of))
        elif number == 2:
            trained = dict(_fields(value))
        elif number == 3:
            normal = dict(_fields(value))
    rules = Rules(
        charsmap=normal.get(2, b""),
        add_space=bool(normal.get(3, 1)),
        squeeze=bool(normal.get(4, 1)),
        is_bpe=trained.get(3, 1) == _BPE,
    )
    return SentencePiece(pieces, rules, source)


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
