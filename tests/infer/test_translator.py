import string
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.fakes import FakeLLM

from mooer.errors import ConfigError, ManifestError
from mooer.infer.translator import (
    PIECE_TOKENS,
    Translator,
    check_pair,
    estimate_tokens,
    load_glossary,
    split_long,
)
from mooer.transcript import Segment, Transcript, Word


def segment(text, language="zh", start_s=0.0):
    return Segment(start_s=start_s, end_s=start_s + 1.5, text=text, language=language)


def contents(request):
    return [message.content for message in request]


def test_fills_the_translation_and_keeps_all_else():
    words = (Word(0.0, 0.4, "各", 0.9),)
    given = replace(segment("各位观众晚上好"), words=words, warnings=("low_confidence",))
    (got,) = Translator(FakeLLM(["Good evening, viewers."])).stream([given])
    assert got == replace(given, translation="Good evening, viewers.")


def test_each_segment_is_out_before_the_next_is_asked_for():
    events = []

    def recognised():
        for text in ("换一首歌", "调高温度"):
            events.append(text)
            yield segment(text)

    llm = FakeLLM(["Play another song.", "Turn up the temperature."])
    for got in Translator(llm).stream(recognised()):
        events.append(got.translation)
    assert events == ["换一首歌", "Play another song.", "调高温度", "Turn up the temperature."]


@pytest.mark.parametrize(("source", "to"), [("zh", "en"), ("en", "zh")])
def test_segments_before_are_context_and_the_prefix_only_grows(source, to):
    said = {"zh": "这是第{}个很长的句子", "en": "This is a long sentence number {}"}
    llm = FakeLLM(lambda _: said[to].format(len(llm.requests)))
    segments = [segment(said[source].format(n), source) for n in range(10, 18)]
    list(Translator(llm, context_segments=4).stream(segments, to=to))
    texts = ["\n".join(contents(request)) for request in llm.requests]
    assert said[source].format(10) in texts[1]
    for before, after in pairwise(texts[: 4 + 1]):
        shared = before[: before.rindex(said[source][:3])]
        assert after.startswith(shared)
        assert len(after) > len(before)
    assert len(texts) == len(segments)
    assert max(map(len, texts)) == len(texts[4])


def test_without_context_every_request_stands_alone():
    for num_context, expected in ((0, False), (1, True)):
        llm = FakeLLM(["Good evening.", "Play another song.", "Turn up the temperature."])
        translator = Translator(llm, context_segments=num_context)
        list(translator.stream([segment(t) for t in ("晚上好", "换一首歌", "调高温度")]))
        text = "\n".join(contents(llm.requests[2]))
        assert ("换一首歌" in text) is expected
        assert "晚上好" not in text


def test_a_doubtful_answer_is_asked_for_once_more_without_context():
    llm = FakeLLM(["Fine.", "As an AI language model, I cannot do that.", "Turn it up."])
    _, got = Translator(llm, context_segments=2).stream([segment("很好"), segment("调高温度")])
    assert (got.translation, got.warnings) == ("Turn it up.", ())
    assert len(llm.requests) == 3
    assert "很好" in " ".join(contents(llm.requests[1]))
    assert "很好" not in " ".join(contents(llm.requests[2]))
    assert llm.requests[2][-1].content != llm.requests[1][-1].content


def test_the_better_of_two_doubtful_answers_is_kept_with_its_warning():
    refusal, long = (
        "As an AI language model, I cannot.",
        "Turn up the " + "very " * 2 + "a b c d e f",
    )
    for answers in ([refusal, long], [long, refusal]):
        llm = FakeLLM(answers)
        (got,) = Translator(llm).stream([segment("调高")])
        assert (got.translation, got.warnings) == (long, ("translation_length",))
        assert len(llm.requests) == 2


def test_a_doubtful_translation_is_no_context_for_the_next():
    llm = FakeLLM(["调高温度吧", "调高温度吧", "Good evening."])
    translator = Translator(llm, context_segments=2)
    first, second = translator.stream([segment("调高温度"), segment("晚上好")])
    assert "translation_language" in first.warnings
    assert "调高温度" not in " ".join(contents(llm.requests[2]))
    assert second.warnings == ()


def test_empty_segments_and_the_target_language_do_not_reach_the_model():
    llm = FakeLLM([])
    empty, english = Translator(llm).stream([segment("  "), segment("Hello.", "en")])
    assert (empty.translation, english.translation) == (None, "Hello.")
    assert llm.requests == []


def test_language_of_an_undetermined_segment_is_read_from_its_script():
    llm = FakeLLM(["Good evening."])
    zh, en = Translator(llm).stream([segment("晚上好", "und"), segment("Hello.", "und")])
    assert (zh.translation, en.translation) == ("Good evening.", "Hello.")


@pytest.mark.parametrize(
    ("to", "expected"), [("zh", "语言模型"), ("zh-Hant", "語言模型"), ("zh_TW", "語言模型")]
)
def test_chinese_is_simplified_unless_asked(to, expected):
    (got,) = Translator(FakeLLM(["語言模型"])).stream([segment("language model", "en")], to=to)
    assert got.translation == expected


def test_pairs_that_do_not_work_are_refused_before_anything_is_read():
    def unread():
        raise AssertionError("read")
        yield

    with pytest.raises(ConfigError, match=r"French to Chinese.*Chinese to English"):
        Translator(FakeLLM([])).stream(unread(), to="zh", source_language="fr")
    with pytest.raises(ConfigError, match="Chinese to German"):
        list(Translator(FakeLLM([])).stream([segment("你好")], to="de"))
    assert [check_pair(s, t) for s, t in [("zh", "en"), ("en", "zh"), ("ja", "en")]] == [
        "zh", "en", "ja"
    ]  # fmt: skip


def test_a_stray_language_in_the_middle_is_left_with_a_warning():
    llm = FakeLLM(["晚上好。", "再见。"])
    segments = [segment("Good evening.", "en"), segment("Salut.", "fr"), segment("Bye.", "en")]
    got = list(Translator(llm).stream(segments, to="zh"))
    assert [s.translation for s in got] == ["晚上好。", None, "再见。"]
    assert got[1].warnings == ("translation_pair",)


def test_terms_are_asked_for_where_they_occur_and_missed_where_they_are_not_used():
    llm = FakeLLM(["The ban ended.", "The purchase restrictions ended.", "He left."])
    glossary = {"限购": "purchase restrictions", "楼市": "housing market"}
    first, second = Translator(llm).stream(
        [segment("限购取消了"), segment("他走了")], glossary=glossary
    )
    assert "purchase restrictions" in llm.requests[0][-1].content
    assert "housing market" not in llm.requests[0][-1].content
    assert "Terms" not in llm.requests[2][-1].content
    assert first.translation == "The purchase restrictions ended."
    assert (first.warnings, second.warnings) == ((), ())


def test_text_so_far_is_reported_clean_and_starts_again_on_a_retry():
    llm = FakeLLM(['Translation: "Sure, here is the translation."', '"Go."'])
    seen = []
    (got,) = Translator(llm).stream([segment("走吧")], on_text=seen.append)
    assert got.translation == "Go."
    assert "" in seen
    again = seen[seen.index("") + 1 :]
    assert again[-1] == "Go."
    assert all("Translation:" not in text for text in seen)


def test_generation_stops_after_the_first_line():
    llm = FakeLLM(["Good evening.\n" + "I hope that this helps you. " * 50])
    (got,) = Translator(llm).stream([segment("晚上好")])
    assert got.translation == "Good evening."
    assert (llm.num_pieces, llm.num_closed) == (len("Good evening.\n"), 1)


def test_an_interrupt_in_the_middle_stops_the_model():
    llm = FakeLLM(["Good evening, viewers."])

    def interrupt(text):
        if text == "Good":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Translator(llm).stream([segment("各位观众晚上好")], on_text=interrupt))
    assert (llm.num_pieces, llm.num_closed) == (4, 1)


def test_closing_the_stream_asks_for_no_more():
    llm = FakeLLM(["One.", "Two."])
    stream = Translator(llm).stream([segment("一"), segment("二")])
    next(stream)
    stream.close()
    assert len(llm.requests) == 1


def test_long_segments_are_cut_at_sentences_and_joined():
    sentence = "我们今天来谈一谈这个非常重要的问题。"
    letters = string.ascii_letters

    def answer(messages):
        line = messages[-1].content.splitlines()[-2]
        num_words = estimate_tokens(line) // 2
        return " ".join(letters[n % 52] + letters[n // 52] for n in range(num_words)) + " end."

    llm = FakeLLM(answer)
    (got,) = Translator(llm).stream([segment(sentence * 40)])
    assert len(llm.requests) > 3
    assert got.translation.count("end.") == len(llm.requests)
    assert all(r[-1].content.endswith("。\nEnglish:") for r in llm.requests)


@pytest.mark.parametrize(
    "text", ["一二三四五。" * 200, "一" * 2000, "word " * 1500, "No end, but commas, " * 300, "x。"]
)
def test_split_long_loses_nothing(text):
    pieces = split_long(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(estimate_tokens(piece) <= PIECE_TOKENS for piece in pieces)


def test_translate_a_transcript():
    transcript = Transcript((segment("晚上好"),), "zh", 1.5, versions={"mooer": "1"})
    got = Translator(FakeLLM(["Good evening."]), name="qwen").translate(transcript)
    assert got.segments[0].translation == "Good evening."
    assert (got.task, got.translation_language, got.language) == ("ast", "en", "zh")
    assert got.versions == {"mooer": "1", "translator": "qwen"}
    with pytest.raises(ConfigError):
        Translator(FakeLLM([])).translate(transcript, to="fr")


def test_glossary_file(tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_bytes(
        "\ufeff限购\tpurchase restrictions\r\n\r\n# note\n楼市\t housing market\n".encode()
    )
    assert load_glossary(path) == {"限购": "purchase restrictions", "楼市": "housing market"}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a\tb\nc d\n", 2),
        (b"a\tb\tc\n", 1),
        (b"a\tb\n\tc\n", 2),
        (b"a\tb\nc\t \n", 2),
        (b"a\tb\n\nc\t\xff\n", 3),
        (b"a\tb\na\tc\n", 2),
    ],
)
def test_bad_lines_of_a_glossary_are_named(tmp_path, content, line):
    path = tmp_path / "terms.tsv"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=rf"terms\.tsv:{line}: "):
        load_glossary(path)


def test_a_missing_glossary_is_one_sentence(tmp_path):
    with pytest.raises(ManifestError, match="cannot read the glossary"):
        load_glossary(tmp_path / "none.tsv")
