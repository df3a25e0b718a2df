import pytest

from mooer.data.pseudo import Account, Candidate, FilterOptions, distance, doubts, in_script
from mooer.errors import ConfigError

GOOD = Candidate("a", 0.0, 4.0, "今天天气很好我们去公园散步", "zh", 0.98)
ENGLISH = Candidate("b", 1.0, 4.0, "We went for a walk in the park.", "en", 0.99)
ANY = FilterOptions()


def but(candidate: Candidate = GOOD, **changes) -> Candidate:
    return Candidate(**{**vars(candidate), **changes})


@pytest.mark.parametrize("candidate", [GOOD, ENGLISH, but(quality=3.1, second_text=GOOD.text)])
def test_nothing_to_doubt(candidate):
    assert doubts(candidate, ANY) == ()


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (but(text=" …。"), "empty"),
        (but(end_s=0.3, text="好"), "length"),
        (but(end_s=31.0, text=GOOD.text * 8), "length"),
        (but(end_s=20.0, text="好"), "rate"),
        (but(end_s=1.0), "rate"),
        (but(ENGLISH, start_s=3.0), "rate"),
        (but(language_probability=0.4), "language"),
        (but(language="en", text="谢谢观看"), "language"),
        (but(language="en", text="да нет возможно завтра"), "language"),
        (but(text="thank you for watching this"), "language"),
        (but(warnings=("loops",)), "guards"),
        (but(quality=1.4), "quality"),
        (but(second_text="明天会下雨吧"), "agreement"),
        (but(second_text=""), "agreement"),
        (but(translation="", translation_language="en"), "translation_empty"),
        (but(translation="Nice.", translation_language="en"), "translation_length"),
        (
            but(translation="今天天气很好我们去公园散步", translation_language="en"),
            "translation_language",
        ),
    ],
)
def test_each_test_has_its_reason(candidate, reason):
    found = doubts(candidate, ANY)
    assert reason in found
    if not reason.startswith("translation"):
        assert found == (reason,)


def test_tests_can_be_turned_off():
    bad = but(quality=1.2, second_text="别的", warnings=("unsure",))
    assert doubts(bad, ANY) == ("guards", "quality", "agreement")
    off = FilterOptions(max_disagreement=None, min_quality=None, guards=False)
    assert doubts(bad, off) == ()


def test_only_languages_asked_for():
    assert doubts(ENGLISH, FilterOptions(languages=("zh",))) == ("language",)
    assert doubts(GOOD, FilterOptions(languages=("zh",))) == ()


def test_thresholds_themselves_are_kept():
    options = FilterOptions(max_disagreement=0.25, min_quality=3.0)
    at = but(text="一二三四", end_s=1.0, second_text="一二三五", quality=3.0)
    assert at.disagreement == 0.25
    assert doubts(at, options) == ()


@pytest.mark.parametrize(
    ("one", "two", "wanted"),
    [
        ("今天，天气好。", "今天天氣好", 0.0),
        ("We're at Home.", "we are at home", 0.0),
        ("", "什么", 1.0),
        ("我用Python", "我用 python", 0.0),
    ],
)
def test_disagreement_is_of_what_is_heard_not_of_how_it_is_written(one, two, wanted):
    language = "en" if one.isascii() and one else "zh"
    found = Candidate("x", 0, 1, one, language, second_text=two).disagreement
    assert found == wanted


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        ("你好", "zh", True),
        ("こんにちは", "ja", True),
        ("hello", "zh", False),
        ("OK我们走", "zh", True),
        ("Straße für Bücher", "de", True),
        ("привет", "ru", True),
        ("привет", "en", False),
        ("123", "en", True),
    ],
)
def test_scripts(text, language, wanted):
    assert in_script(text, language) is wanted


@pytest.mark.parametrize(
    ("one", "two", "wanted"), [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("abc", "axc", 1)]
)
def test_distance(one, two, wanted):
    assert distance(one, two) == wanted


def test_a_candidate_survives_json():
    candidate = but(warnings=("loops",), quality=2.5, translation="x", translation_language="en")
    assert Candidate.from_dict(candidate.to_dict()) == candidate


@pytest.mark.parametrize(
    "options", [{"min_s": 5.0, "max_s": 5.0}, {"max_disagreement": 1.5}, {"min_quality": 9.0}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ConfigError):
        FilterOptions(**options)


def test_the_account_adds_up():
    account = Account()
    bad = but(quality=1.2, warnings=("loops",))
    for candidate in (GOOD, ENGLISH, bad, *[but(quality=1.0)] * 9):
        account.add(candidate, doubts(candidate, ANY))
    told = account.to_dict()
    assert told["candidates"] == {"num": 12, "seconds": 4.0 * 11 + 3.0}
    assert told["kept"] == {"num": 2, "seconds": 7.0}
    assert told["yield"] == pytest.approx(7 / 47, abs=1e-4)
    assert list(told["dropped"]) == ["quality", "guards"]
    quality = told["dropped"]["quality"]
    assert (quality["num"], quality["num_alone"], quality["seconds"]) == (10, 9, 40.0)
    assert len(quality["examples"]) == 5
    assert "1.2" in quality["examples"][0]
    assert "loops" in told["dropped"]["guards"]["examples"][0]


def test_an_account_of_nothing():
    assert Account().to_dict()["yield"] == 0.0
