import pytest

from mooer.errors import ModelError
from mooer.protobuf import FOUR_BYTES, fields, key, message, number, signed, text


def joined(pieces):
    return b"".join(bytes(piece) for piece in pieces)


def test_what_is_written_is_read():
    inner = [*number(1, 2**40), *number(2, -3), *text(3, "频")]
    data = joined([*message(7, inner), key(9, FOUR_BYTES) + b"abcd"])
    (outer_tag, body), (last_tag, last) = fields(data)
    assert (outer_tag, last_tag, bytes(last)) == (7, 9, b"abcd")
    (_, large), (_, negative), (_, name) = fields(body)
    assert (large, signed(negative), bytes(name).decode()) == (2**40, -3, "频")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x0a\x05abc", "cut off"),
        (b"\x0a", "cut off"),
        (b"\x0b", "type 3"),
        (b"\xff" * 12, "more than 10 bytes"),
    ],
)
def test_what_is_no_message(data, says):
    with pytest.raises(ModelError, match=says):
        list(fields(data))
