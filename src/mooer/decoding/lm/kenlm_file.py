r"""The files of KenLM's `build_binary`, version 5: where what stands in them.

After lm/binary_format.cc, lm/vocab.cc, lm/search_hashed.hh, lm/trie.cc and lm/quantize.hh of KenLM
0.3.0; little-endian, no alignment beyond what is said.

    header    "mmap lm http://kheafield.com/code format version 5\n\0\0", zeros to 56 bytes
              f32 0, 1, -0.5; u32 1, 2^32 - 1, 0; u64 1      numbers that prove the byte order
              u8 N, 3 bytes; f32 multiplier; u32 kind; u8 has words, 3 bytes; u32 its version
              u64 counts [N]; zeros to a multiple of 8
    vocabulary, probing   u32 0, u32 number of words; hash table of (u64 hash of a word, u32 id)
    vocabulary, trie      u64 number of words but <unk>; u64 hashes [counts[0]], sorted
    n-grams               see below
    words     each with a zero byte behind it, in the order of their ids; the first is <unk>

A hash table of n entries has max(n + 1, floor(f32(multiplier) * f32(n))) buckets; the entry with
key k stands in bucket k mod buckets or behind it, before the next that has the key 0. An n-gram
w1 … wk has the key h(… h(h(wk, wk-1), …), w1), where

    h(key, word) = key * 8978948897894561157 xor (word + 1) * 17894857484156487943  (mod 2^64)

and the first key is wk itself.

    n-grams, probing (kind 0)
        f32 prob, f32 backoff [counts[0] + 1], by id
        for orders 2 … N-1: hash table of (u64 key, f32 prob, f32 backoff)
        for order N:        hash table of (u64 key, f32 prob)
        The sign of a prob is set if no longer n-gram ends in this one; its value is -|prob|.
    n-grams, trie (kind 2)
        f32 prob, f32 backoff, u64 next [counts[0] + 2], by id
        for orders 2 … N-1: entries of bits (word, 31 of prob without sign, 32 of backoff, next),
                            one entry more with its next alone, then 8 bytes
        for order N:        entries of bits (word, 31 of prob)
        The tree is of reversed n-grams: `next` is where those entries of the order above begin that
        put a word before this one, sorted by that word; they end where those of the next entry
        begin. A word takes as many bits as counts[0] does, a next of order k as counts[k] does.

A backoff of -0.0 says that nothing is known to follow an n-gram, 0.0 that something is.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mooer.errors import ModelError

MAGIC = b"mmap lm http://kheafield.com/code"
PROBING, TRIE = 0, 2
_VERSION_LINE = MAGIC + b" format version 5\n\0"
_PROOF = struct.pack("<fffIIIQ", 0.0, 1.0, -0.5, 1, 2**32 - 1, 0, 1)
_FIXED = struct.Struct("<B3xfIB3xI")
_MAGIC_BYTES = 56
_MAX_ORDER = 12
_KINDS = {  # kind: what it is, its version
    PROBING: ("probing hash tables", 0),
    1: ("probing hash tables with rest costs", None),
    TRIE: ("trie", 1),
    3: ("trie with quantization", None),
    4: ("trie with array-compressed pointers", None),
    5: ("trie with quantization and array-compressed pointers", None),
}


@dataclass(frozen=True)
class KenlmFile:
    """A mapped file and what its header says."""

    path: Path
    data: mmap.mmap
    kind: int
    multiplier: float
    counts: tuple[int, ...]
    start: int  # of the vocabulary, in bytes

    def refuse(self, why: str) -> NoReturn:
        """Raise ModelError."""
        raise _damaged(self.path, why)

    def require(self, end: int, what: str) -> int:
        """The same place; ModelError if the file does not reach it."""
        if end > len(self.data):
            self.refuse(f"{what} ends at {end}, the file at {len(self.data)}")
        return end

    def words(self, place: int, number: int) -> tuple[str, ...]:
        """The words at the end of the file, by id."""
        try:
            words = self.data[place:].decode().split("\0")
        except UnicodeDecodeError:
            self.refuse("its words are not UTF-8")
        if len(words) != number + 1 or words[-1] or words[0] != "<unk>":
            self.refuse(f"it has not the {number} words that it counts")
        return tuple(words[:-1])


def open_kenlm(path: Path) -> KenlmFile:
    """Map a file and read its header. ModelError if it is damaged or of a kind not read here."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): check the path") from None
    if data[: len(_VERSION_LINE)] != _VERSION_LINE:
        raise _damaged(path, f"it begins with {data[:52]!r}, of another version or not finished")
    if data[_MAGIC_BYTES : _MAGIC_BYTES + len(_PROOF)] != _PROOF:
        raise _damaged(path, "it was made on a machine with other numbers")
    place = _MAGIC_BYTES + len(_PROOF)
    if len(data) < place + _FIXED.size:
        raise _damaged(path, "its header is cut short")
    order, multiplier, kind, has_words, version = _FIXED.unpack_from(data, place)
    name, known = _KINDS.get(kind, (f"kind {kind}", None))
    if known is None or version != known:
        raise ModelError(
            f"{path} is a KenLM model of {name}, version {version}, which is not read: make it "
            "from the ARPA file with `mooer lm convert`, or with `build_binary probing`"
        )
    if not has_words:
        raise ModelError(f"{path} was built without its words: build it again with them")
    place += _FIXED.size
    if not 2 <= order <= _MAX_ORDER or len(data) < place + 8 * order or not multiplier >= 1:
        raise _damaged(path, f"order {order}, multiplier {multiplier:g}")
    counts = struct.unpack_from(f"<{order}Q", data, place)
    if not 0 < max(counts) < len(data):
        raise _damaged(path, f"it counts {counts} n-grams in {len(data)} bytes")
    start = -(-(place + 8 * order) // 8) * 8
    return KenlmFile(path, data, kind, multiplier, counts, start)


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is no whole binary file of KenLM ({why}): build it again")
