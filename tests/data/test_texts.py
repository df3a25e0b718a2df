import json

import pytest

from mooer.data.texts import read_texts
from mooer.errors import ManifestError


def written(path, *rows):
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def test_plain_lines_know_their_language(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("\ufeff你好。\n\n  Hello there.  \n用Python写\n", "utf-8")
    one, two, three = read_texts([path])
    assert (one.id, one.text, one.language) == ("some-000001", "你好。", "zh")
    assert (two.id, two.text, two.language) == ("some-000003", "Hello there.", "en")
    assert three.language == "zh"


def test_a_pair_is_two_lines_each_the_translation_of_the_other(tmp_path):
    row = {
        "id": "t-1",
        "zh": "我们知道。",
        "en": ["We know.", "We know that."],
        "attribution": "me",
    }
    zh, en = read_texts([written(tmp_path / "a.jsonl", row)])
    assert (zh.id, zh.text, zh.translation) == (
        "t-1-zh",
        "我们知道。",
        ("We know.", "We know that."),
    )
    assert (en.id, en.text, en.translation) == ("t-1-en", "We know.", ("我们知道。",))
    assert (zh.translation_language, en.translation_language) == ("en", "zh")
    assert zh.attribution == en.attribution == "me"
    assert [line.id for line in read_texts([tmp_path / "a.jsonl"], ["en"])] == ["t-1-en"]


def test_a_line_with_its_text(tmp_path):
    row = {"text": "你好", "translation": "Hello", "licence": "CC0"}
    [line] = read_texts([written(tmp_path / "a.jsonl", row)])
    assert (line.id, line.language, line.translation) == ("a-000001", "zh", ("Hello",))
    assert (line.translation_language, line.licence) == ("en", "CC0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "line 1 is no object"),
        ('{"zh": "你好"}', 'neither "text" nor both'),
        ('{"zh": "你好", "en": [1]}', '"en" must be a text'),
        ('{"id": "x", "text": "a"}\n{"id": "x", "text": "b"}', "line 2 has the id 'x'"),
        ("", "nothing to speak"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(ManifestError, match=message):
        read_texts([path])


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ManifestError, match="No such file"):
        read_texts([tmp_path / "none.txt"])
    (tmp_path / "gbk.txt").write_bytes("你好".encode("gbk"))
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_texts([tmp_path / "gbk.txt"])
