import json
import sys

import pytest

from mooer.errors import MissingExtra
from mooer.speak.mandarin import phonemes_of_syllable
from mooer.speak.numerals import read_integer, read_numerals
from mooer.speak.phonemes import phonemes, pieces

ALPHABET = set(';:,.!?—…"()“” ʣʥʦʨᵝꭧAIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝ')
ALPHABET |= set("ɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔˈˌːʰʲ↓→↗↘ᵻ")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("2008年8月8日", "二零零八年八月八日"),
        ("30年后", "三十年后"),
        ("1,234,567元", "一百二十三万四千五百六十七元"),
        ("100.05", "一百点零五"),
        ("0.5%", "百分之零点五"),
        ("12:00", "十二点"),
        ("12:30开会", "十二点三十分开会"),
        ("¥99.9", "九十九点九元"),
        ("2位，22位，第2位", "两位，二十二位，第二位"),
        ("iPhone15和MP3", "iPhone15和MP3"),
        ("007", "零零七"),
        ("10~20个", "十到二十个"),
        ("没有数字", "没有数字"),
        ("2024-08-15", "二零二四年八月十五日"),
        ("2024/8/15", "二零二四年八月十五日"),
        ("2024-13-15", "二千零二十四-十三-十五"),
        ("2023-2024年", "二零二三到二零二四年"),
        ("2:00到12:30:45", "两点到十二点三十分四十五秒"),
        ("12:30-13:00", "十二点三十分到十三点"),
        ("30%~40%", "百分之三十到百分之四十"),
        ("5km，60km/h，2kg", "五公里，六十公里每小时，两千克"),
        ("20m^2，10^2", "二十平方米，十的平方"),
        ("12.5元/kg，3元/天", "十二点五元每千克，三元每天"),
        ("¥1.2亿，$5 million", "一点二亿元，五百万美元"),
        ("010-12345678", "零一零一二三四五六七八"),
        ("拨打110，热线：12306", "拨打一一零，热线：一二三零六"),
        ("203室", "二零三室"),
        ("3×4=12", "三乘四等于十二"),
        ("~20，±5，-3", "约二十，正负五，负三"),
        ("1-2天，2小时，2万", "一到两天，两小时，两万"),
        ("5G，3D，H2O", "五G，三D，H2O"),
    ],
)
def test_numerals(text, spoken):
    assert read_numerals(text) == spoken


@pytest.mark.parametrize(
    ("number", "spoken"),
    [
        ("0", "零"),
        ("20", "二十"),
        ("110", "一百一十"),
        ("1001", "一千零一"),
        ("1010", "一千零一十"),
        ("100001", "十万零一"),
        ("20300000", "二千零三十万"),
        ("1000000001", "十亿零一"),
        ("12345678901234567890", "一二三四五六七八九零一二三四五六七八九零"),
    ],
)
def test_integers(number, spoken):
    assert read_integer(number) == spoken


def test_every_mandarin_syllable_has_phonemes_of_the_alphabet():
    pinyin_dict = pytest.importorskip("pypinyin.constants").PINYIN_DICT
    from pypinyin.contrib.tone_convert import to_tone3

    syllables = {
        to_tone3(reading, neutral_tone_with_five=True, v_to_u=True)
        for code, readings in pinyin_dict.items()
        if 0x4E00 <= code < 0xA000
        for reading in readings.split(",")
    }
    assert len(syllables) > 1200
    for syllable in syllables:
        spoken = phonemes_of_syllable(syllable)
        assert spoken, syllable
        assert set(spoken) <= ALPHABET, (syllable, spoken)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我们用GPT-4和Python写了3.5万行代码（大约），2024年8月完成！", "zh"),
        ("“你好”，他说：《红楼梦》……很长——是吗？", "zh"),
        ("Good morning, Mr. Smith; it's $3.50 (or 20%)...", "en"),
        ("The jalapeño café: naïve, coöperate — rendezvous?", "en"),
        ("I live in 北京, near 天安门.", "en"),
        ("繁體中文也可以", "zh"),
    ],
)
def test_what_comes_is_in_the_alphabet(text, language):
    pytest.importorskip("pypinyin")
    pytest.importorskip("espeakng_loader")
    spoken = phonemes(text, language)
    assert set(spoken) - ALPHABET <= {"̃"}, sorted(set(spoken) - ALPHABET)
    assert sum(c.isalpha() for c in spoken) > len(text) / 3
    assert "  " not in spoken
    assert spoken == spoken.strip()


def test_pauses_stay_where_they_are_written():
    pytest.importorskip("espeakng_loader")
    spoken = phonemes("Hello, Dr. Who! It is 3.5 now: go.", "en")
    assert [c for c in spoken if c in ",.!?:"] == [",", "!", ":", "."]


def test_superscripts_are_no_digits():
    pytest.importorskip("pypinyin")
    assert phonemes("10²", "zh") == phonemes("十的平方", "zh")


def test_nothing_to_say_is_empty():
    assert not any(c.isalpha() for c in phonemes("… ！?", "zh"))


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    with pytest.raises(MissingExtra, match=r"pypinyin .*mooer\[speak\]"):
        phonemes("你好", "zh")
    from mooer.speak import espeak_library

    monkeypatch.setattr(espeak_library, "library", espeak_library._Library)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtra, match=r"espeakng-loader .*mooer\[speak\]"):
        phonemes("hello", "en")


def test_pieces_lose_nothing_and_keep_to_their_length():
    spoken = "a b, c d. " * 30 + "x" * 50
    found = pieces(spoken.strip(), 20)
    assert max(map(len, found)) <= 20
    assert "".join(found).replace(" ", "") == spoken.replace(" ", "")
    assert found[0].endswith(".")


@pytest.mark.real
def test_the_alphabet_is_that_of_the_released_vocabulary():
    from mooer.store import fetch

    path = fetch("kokoro-82m") / "vocab.json"
    vocabulary = json.loads(path.read_text("utf-8"))["vocab"]
    assert set(vocabulary) >= ALPHABET - {"g"}
