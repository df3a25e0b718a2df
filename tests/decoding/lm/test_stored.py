"""Our own file of a model."""

import json
import random

import numpy as np
import pytest
from tests.decoding.lm.models import random_tables

from mooer.decoding.lm.load import file_kind, read_ngram, tables_of, write_ngram
from mooer.decoding.lm.stored import write_stored
from mooer.decoding.lm.trie import trie_of
from mooer.errors import ConfigError, ModelError


@pytest.mark.parametrize("order", [1, 2, 4])
def test_what_is_written_is_read_again(tmp_path, order):
    model = trie_of(random_tables(order, order, ("<unk>", "<s>", "</s>", "é", "你好")))
    write_stored(model, tmp_path / "lm.bin")
    assert file_kind(tmp_path / "lm.bin") == "mooer binary"
    again = read_ngram(tmp_path / "lm.bin")
    assert again.units == model.units
    assert again.nodes.ends == model.nodes.ends
    for name in ("words", "probs", "afters", "backoffs", "firsts", "lowers"):
        np.testing.assert_array_equal(getattr(again.nodes, name), getattr(model.nodes, name))
    words = ["é", "你好", "zebra", "é"]
    assert again.logprob(words) == model.logprob(words)


def test_formats_by_name(tmp_path):
    tables = random_tables(0, 3)
    for name in ("a.bin", "a.arpa", "a.arpa.gz", "a.lm.gz"):
        write_ngram(tables, tmp_path / name)
        assert tables_of(tmp_path / name).counts == tables.counts
    with pytest.raises(ConfigError, match="says no format"):
        write_ngram(tables, tmp_path / "a.gz")


def changed(path, name, change):
    """The file with one array changed."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    begin, end = json.loads(data[8 : 8 + size])[name]["data_offsets"]
    part = slice(8 + size + begin, 8 + size + end)
    data[part] = change(bytes(data[part]))
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["words", "probs", "afters", "firsts", "lowers", "ends"])
def test_arrays_that_point_out_of_each_other(tmp_path, name):
    path = tmp_path / "lm.bin"
    write_stored(trie_of(random_tables(0, 3)), path)
    changed(path, name, lambda data: b"\xff\xff\xff\x7f" * (len(data) // 4))
    with pytest.raises(ModelError, match=r"lm\.bin is no whole n-gram model"):
        read_ngram(path)


def test_a_context_that_backs_off_to_itself(tmp_path):
    path = tmp_path / "lm.bin"
    model = trie_of(random_tables(0, 3))
    write_stored(model, path)
    same = np.arange(len(model.nodes.lowers), dtype="<i4").tobytes()
    changed(path, "lowers", lambda _: same)
    with pytest.raises(ModelError, match="lowers holds what cannot be"):
        read_ngram(path)


def test_units_that_are_no_text_or_come_twice(tmp_path):
    path = tmp_path / "lm.bin"
    model = trie_of(random_tables(0, 2))
    write_stored(model, path)
    changed(path, "units", lambda data: b"\xff" + data[1:])
    with pytest.raises(ModelError, match="its units are no text"):
        read_ngram(path)
    write_stored(model, path)
    changed(path, "units", lambda data: data.replace(b"a\n", b"b\n"))
    with pytest.raises(ModelError, match="a unit is there twice"):
        read_ngram(path)


def test_no_damage_does_more_than_give_wrong_numbers(tmp_path):
    path = tmp_path / "lm.bin"
    write_stored(trie_of(random_tables(0, 3)), path)
    whole = path.read_bytes()
    rng = random.Random(1)
    num_refused = 0
    for i in range(200):
        data = bytearray(whole)
        data[rng.randrange(100 if i % 4 == 1 else 900, len(data))] = rng.randrange(256)
        path.write_bytes(data if i % 2 else data[: rng.randrange(300, len(data))])
        try:
            assert isinstance(read_ngram(path).logprob(["a", "b", "a"]), float)
        except ModelError:
            num_refused += 1
    assert 0 < num_refused < 200
