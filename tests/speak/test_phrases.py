import pytest

from mooer.speak.phrases import gaps


def parted(text, *, good=True):
    return [text[gap.at :] for gap in gaps(text) if gap.is_good or not good]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The block books were made here", ["were made here"]),
        ("She sat down and sang", ["and sang"]),
        ("他住在一个大房子里", ["在一个大房子里"]),
        ("我会唱歌但是他不会", ["但是他不会"]),
    ],
)
def test_a_phrase_begins_with_a_small_word(text, found):
    assert parted(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("the old", "is a", "of it", "New York", "Dr. Wang", "20 km", "No. 5", "a (so", "x = y"),
        *("ice of", "现在", "可是", "总和", "参与", "很是", "但是", "所在", "和平", "也许"),
    ],
)
def test_what_belongs_together_is_not_parted(text):
    assert parted(text, good=False) == []


def test_other_words_are_parted_if_need_be():
    assert parted("loud dogs bark", good=False) == ["dogs bark", "bark"]
    assert parted("loud dogs bark") == []
    assert list(gaps("")) == []
