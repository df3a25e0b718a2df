"""The reader of CTranslate2's model.bin: right where it is whole, a clear refusal elsewhere."""

import struct

import numpy as np
import pytest

from mooer.errors import ModelError
from mooer.store.ct2 import pack_ct2, read_ct2


def name(text):
    return struct.pack("<H", len(text.encode()) + 1) + text.encode() + b"\0"


def array(title, shape, kind, content, size=None):
    dimensions = b"".join(struct.pack("<I", n) for n in shape)
    size = len(content) if size is None else size
    head = struct.pack("<B", len(shape)) + dimensions + struct.pack("<BI", kind, size)
    return name(title) + head + content


FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = (
    array("floats", (2, 3), 0, FLOATS.tobytes()),
    array("int8", (3,), 1, b"\x01\xff\x00"),
    array("int16", (), 2, struct.pack("<h", -7)),
    array("int32", (1,), 3, struct.pack("<i", 1 << 20)),
    array("float16", (2,), 4, np.array([0.5, -2], np.float16).tobytes()),
    array("bfloat16", (2,), 5, struct.pack("<HH", 0x3F80, 0xC020)),
    array("empty", (0, 4), 0, b""),
)
ALIASES = (("alias", "floats"),)


def model(version=6, arrays=ARRAYS, aliases=ALIASES, num_arrays=None):
    head = struct.pack("<I", version) + name("ASpec") + struct.pack("<I", 3)
    head += struct.pack("<I", len(arrays) if num_arrays is None else num_arrays)
    tail = struct.pack("<I", len(aliases)) + b"".join(name(a) + name(b) for a, b in aliases)
    return head + b"".join(arrays) + tail


@pytest.fixture
def read(tmp_path):
    def write_and_read(content):
        (tmp_path / "model.bin").write_bytes(content)
        return read_ct2(tmp_path / "model.bin")

    return write_and_read


@pytest.mark.parametrize("version", [4, 5, 6])
def test_every_type_is_read(read, version):
    found = read(model(version))
    assert (found.specification, found.revision) == ("ASpec", 3)
    assert list(found.arrays) == [
        "floats", "int8", "int16", "int32", "float16", "bfloat16", "empty", "alias",
    ]  # fmt: skip
    np.testing.assert_array_equal(found.arrays["floats"], FLOATS)
    assert found.arrays["alias"] is found.arrays["floats"]
    assert found.arrays["int8"].tolist() == [1, -1, 0]
    assert int(found.arrays["int16"]) == -7
    assert found.arrays["int32"].tolist() == [1 << 20]
    assert found.arrays["float16"].tolist() == [0.5, -2]
    assert found.arrays["bfloat16"].dtype == np.float32
    assert found.arrays["bfloat16"].tolist() == [1.0, -2.5]
    assert found.arrays["empty"].shape == (0, 4)


def test_cut_short_anywhere_it_is_refused(read):
    whole = model()
    for size in range(len(whole)):
        with pytest.raises(ModelError, match="fetch it again"):
            read(whole[:size])


def test_damaged_anywhere_it_is_read_or_refused(read):
    whole = model()
    refused = 0
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            try:
                read(bytes(damaged))
            except ModelError:
                refused += 1
    assert refused > len(whole)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (model(3), "binary version 3 is none of"),
        (model(7), "binary version 7 is none of"),
        (b"PK\x03\x04" * 20, "binary version"),
        (model() + b"\0", "1 bytes follow its end"),
        (model(arrays=(ARRAYS[0], ARRAYS[0])), "'floats' is there twice"),
        (model(aliases=(("alias", "nothing"),)), "alias 'alias' cannot stand for 'nothing'"),
        (model(aliases=(("floats", "int8"),)), "alias 'floats' cannot stand for 'int8'"),
        (model(arrays=(array("x", (2, 3), 0, bytes(24), 20),)), "takes 24 bytes, but has 20"),
        (model(arrays=(array("x", (2**31, 2**31, 2**31), 0, b""),)), "bytes, but has 0"),
        (model(arrays=(array("x", (2**29,), 0, b"", 2**31),)), "but the file ends at"),
        (model(arrays=(array("x", (1,), 6, bytes(4)),)), "x has the unknown type 6"),
        (model(arrays=(array("x", (1,) * 9, 0, bytes(4)),)), "x has 9 dimensions"),
        (model(arrays=(array("a\0b", (1,), 0, bytes(4)),)), "zero byte"),
        (model(num_arrays=2**32 - 1), "the file ends at|zero byte|twice|unknown type|dimensions"),
        (b"", "is empty"),
    ],
)
def test_what_is_wrong_is_said(read, content, words):
    with pytest.raises(ModelError, match=words):
        read(content)


def test_a_name_that_is_no_text(read):
    with pytest.raises(ModelError, match="is no text"):
        read(model().replace(name("floats"), name("floats").replace(b"fl", b"\xff\xfe"), 1))


def test_what_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_ct2(tmp_path / "model.bin")


def test_what_is_written_is_read(read):
    first = read(model())
    again = read(pack_ct2(first))
    assert (again.specification, again.revision) == (first.specification, first.revision)
    assert list(again.arrays) == list(first.arrays)
    for name, array in first.arrays.items():
        assert again.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(again.arrays[name], array)
