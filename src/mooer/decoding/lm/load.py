"""Files of n-gram models, told apart by how they begin."""

from __future__ import annotations

from pathlib import Path

from mooer.decoding.lm.arpa import GZIP, read_arpa, write_arpa
from mooer.decoding.lm.kenlm import PackedTrieNGram, read_kenlm
from mooer.decoding.lm.kenlm_file import MAGIC
from mooer.decoding.lm.ngram import NGram
from mooer.decoding.lm.stored import read_stored, write_stored
from mooer.decoding.lm.tables import Tables
from mooer.decoding.lm.trie import TrieNGram, trie_of
from mooer.errors import ConfigError, ModelError

_ARPA = ("arpa", "lm")
_MAX_UNPACKED = 20_000_000  # n-grams: about 400 MB


def read_ngram(path: Path) -> NGram:
    """A model from an ARPA file (also gzip), a binary file of KenLM or one of ours.

    A tree of KenLM is unpacked, which makes it many times as fast, unless it is very large; its
    hash tables are asked where they lie. ModelError says what is wrong with a file.
    """
    kind = file_kind(path)
    if kind == "KenLM binary":
        model = read_kenlm(path)
        if isinstance(model, PackedTrieNGram) and sum(model.counts) <= _MAX_UNPACKED:
            return trie_of(model.tables(), str(path))
        return model
    return read_stored(path) if kind == "mooer binary" else trie_of(read_arpa(path), str(path))


def file_kind(path: Path) -> str:
    """ARPA, KenLM binary or mooer binary. ModelError if it is none of them."""
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check the path") from None
    if head.startswith(MAGIC):
        return "KenLM binary"
    if b'"__metadata__":{"format":"mooer-ngram' in head:
        return "mooer binary"
    if head.startswith(GZIP) or b"\0" not in head:
        return "ARPA"  # whose reader says what is wrong if it is none
    raise ModelError(
        f"{path} is no n-gram model: it is neither an ARPA file nor a binary of KenLM or mooer"
    )


def tables_of(path: Path) -> Tables:
    """The n-grams of a file. ModelError for KenLM's hash tables, in which no n-gram can be read."""
    model = read_ngram(path)
    if isinstance(model, PackedTrieNGram):  # one that is too large to be asked unpacked
        return model.tables()
    if isinstance(model, TrieNGram):
        return model.tables()
    raise ModelError(
        f"{path} holds hashes of its n-grams and not the n-grams: take the ARPA file it was made of"
    )


def write_ngram(tables: Tables, path: Path) -> None:
    """Write a model as the name says: ARPA (.arpa, .arpa.gz, .lm, .lm.gz) or our binary (.bin).

    ConfigError for another name.
    """
    require_writable(path)
    if path.suffix == ".bin":
        write_stored(trie_of(tables), path)
    else:
        write_arpa(tables, path)


def require_writable(path: Path) -> None:
    """ConfigError if the name of a model says no format."""
    if path.suffix != ".bin" and path.name.removesuffix(".gz").rpartition(".")[2] not in _ARPA:
        raise ConfigError(f"{path.name} says no format: name it .arpa, .arpa.gz or .bin")
