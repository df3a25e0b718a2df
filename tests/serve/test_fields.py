"""JSON of callers: what it may be, and how much."""

import json
import time

import pytest

from mooer.serve.errors import ApiError
from mooer.serve.fields import MAX_VALUES, number_of, object_of

HUGE = 10**400  # an integer that no float holds


def test_an_object_is_read():
    text = '{"a": "\\ud83d\\ude00 \\u00e9", "b": [1, {"c": null}]}'
    for data in (text, text.encode()):
        assert object_of(data) == {"a": "😀 é", "b": [1, {"c": None}]}


@pytest.mark.parametrize(
    "data",
    ["", "[1]", '"a"', "{", "{'a': 1}", '{"a": ' + "[" * 100_000, b"\xff{}", b'{"a": "\xff"}'],
)
def test_what_is_no_object_is_refused(data):
    with pytest.raises(ApiError, match="JSON object") as caught:
        object_of(data)
    assert caught.value.status == 400


@pytest.mark.parametrize("data", ['{"a": "\\ud800"}', '{"\\udfff": 1}', '{"a": ["\\ud83dx"]}'])
def test_half_a_letter_is_refused(data):
    """It could be written into no answer."""
    for one in (data, data.encode()):
        with pytest.raises(ApiError) as caught:
            object_of(one)
        json.dumps(caught.value.body(), ensure_ascii=False).encode()


def test_a_small_body_does_not_become_a_large_object():
    began = time.perf_counter()
    with pytest.raises(ApiError, match="values"):
        object_of('{"a": [' + "{}," * 4_000_000 + "{}]}")
    assert time.perf_counter() - began < 1.0
    assert len(object_of(json.dumps({"a": [0] * (MAX_VALUES - 3)}))["a"]) == MAX_VALUES - 3


@pytest.mark.parametrize("value", [HUGE, -HUGE, float("nan"), float("inf"), True, "1", [1]])
def test_numbers_that_are_none(value):
    with pytest.raises(ApiError) as caught:
        number_of({"speed": value}, "speed", 1.0, 0.25, 4.0)
    assert (caught.value.status, caught.value.param) == (400, "speed")
