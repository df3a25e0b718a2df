"""ARPA files: what is read and written, and what is refused."""

import gzip

import numpy as np
import pytest
from tests.decoding.lm.models import ARPA, random_tables

from mooer.decoding.lm import arpa
from mooer.decoding.lm.arpa import read_arpa, write_arpa
from mooer.errors import ModelError


def read(tmp_path, content):
    path = tmp_path / "lm.arpa"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_arpa(path)


def test_what_a_file_holds(tmp_path):
    tables = read(tmp_path, ARPA)
    assert tables.units == ("<unk>", "<s>", "</s>", "a", "b")
    assert tables.counts == (5, 2)
    assert tables.ngrams[1].tolist() == [[1, 3], [3, 4]]
    assert tables.probs[1].tolist() == [np.float32(-0.2), np.float32(-0.1)]
    assert tables.backoffs[0].tolist() == [0, np.float32(-0.4), 0, -0.25, np.float32(-0.3)]


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("num_lines", [3, 1000])
def test_what_is_written_is_read_again(tmp_path, monkeypatch, name, num_lines):
    monkeypatch.setattr(arpa, "_NUM_LINES", num_lines)
    for order in (1, 2, 3):
        tables = random_tables(order, order, ("<unk>", "<s>", "</s>", "ä", "你"))
        write_arpa(tables, tmp_path / name)
        again = read_arpa(tmp_path / name)
        assert again.units == tables.units
        for kind in ("ngrams", "probs", "backoffs"):
            for one, other in zip(getattr(tables, kind), getattr(again, kind), strict=True):
                np.testing.assert_array_equal(one, other)


def test_how_other_tools_write(tmp_path, caplog):
    text = "# a remark\n\n" + ARPA.replace("\t<unk>", "\t<UNK>").replace("\n", "\r\n")
    assert read(tmp_path, b"\xef\xbb\xbf" + text.encode()).units[0] == "<unk>"
    assert read(tmp_path, ARPA.replace("<s> a", "<s>\ta")).counts == (5, 2)
    text = ARPA.replace("ngram 1=5", "ngram 1=4").replace("-2\t<unk>\n", "")
    tables = read(tmp_path, text)
    assert tables.units[-1] == "<unk>"
    assert tables.probs[0][-1] == -100
    assert "has no <unk>" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("\\data\\", "hello", "line 1 .*begins with 'hello'"),
        ("ngram 2=2", "ngram 3=2", "line 3 .*is not `ngram 2=`"),
        ("ngram 2=2", "ngram 2=two", "line 3 .*is not `ngram 2=`"),
        ("ngram 2=2", "ngram 2=3", "line 15 .*fewer 2-grams than it counts"),
        ("ngram 2=2", "ngram 2=1", "line 14 .*more n-grams than it counts"),
        ("ngram 1=5", "ngram 1=7", "line 11 .*fewer 1-grams than it counts"),
        ("ngram 1=5\nngram 2=2\n", "", "n-grams of 0 orders"),
        ("\\2-grams", "\\3-grams", r"line 12 .*stands where \\2-grams: should"),
        ("-0.1\ta b", "-0.1\ta", "line 14 .*is not a number, 2 words and at most one"),
        ("-0.1\ta b", "-0.1\ta b c d", "line 14 .*is not a number, 2 words"),
        ("-0.1\ta b", "hello\ta b", "line 14 .*'hello' is no number"),
        ("-0.1\ta b", "nan\ta b", "line 14 .*'nan' is no finite number"),
        ("-0.25", "0,25", "line 9 .*'0,25' is no number"),
        ("-0.1\ta b", "0.1\ta b", "line 14 .*probability above 1"),
        ("-0.1\ta b", "-0.1\ta b\t-1", "line 14 .*is of the highest order but backs off"),
        ("-0.1\ta b", "-0.1\ta c", "line 14 .*a word that is no unigram"),
        ("-0.7\tb", "-0.7\ta", "line 10 .*the unigram 'a' is there twice"),
        ("\n\\end\\\n", "", r"line 14 .*ends before \\end\\"),
        ("\n\\end\\\n", "\\end\\\nmore", "'more' stands behind"),
        ("-1\t</s>", "-1\t<end>", "has no </s>"),
    ],
)
def test_what_is_refused(tmp_path, old, new, sentence):
    assert old in ARPA
    with pytest.raises(ModelError, match=sentence):
        read(tmp_path, ARPA.replace(old, new))


def test_what_is_cut_short_is_refused_wherever_that_is(tmp_path):
    whole = ARPA.rstrip()
    for end in range(len(whole)):
        with pytest.raises(ModelError, match=r"lm\.arpa"):
            read(tmp_path, whole[:end])


def test_other_encodings(tmp_path):
    with pytest.raises(ModelError, match="UTF-16: convert"):
        read(tmp_path, ARPA.encode("utf-16"))
    with pytest.raises(ModelError, match=r"line 10 .*is not UTF-8: convert"):
        read(tmp_path, ARPA.replace("\tb", "\t你").encode("gbk"))


def test_gzip_that_is_cut_short_or_damaged(tmp_path):
    zipped = gzip.compress(ARPA.encode())
    with pytest.raises(ModelError, match="no whole gzip file"):
        read(tmp_path, zipped[:-12])
    with pytest.raises(ModelError, match="no whole gzip file"):
        read(tmp_path, zipped[:20] + b"xxxx" + zipped[24:])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_arpa(tmp_path / "none.arpa")
