"""Cues: readable, in order, and nothing lost."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooer.errors import ConfigError
from mooer.subtitles import SubtitleOptions, line_load, make_cues, to_srt, to_tsv, to_txt, to_vtt
from mooer.transcript import Event, Label, Segment, Word

LETTERS = st.text(
    alphabet="abc déW我们语音识别かなสี한국，。,.!?-—“”「」()<>&' \n\t👍", max_size=300
)
TIMES = st.floats(0, 400_000, allow_nan=False)
SEGMENTS = st.lists(
    st.builds(
        lambda start, length, text, below: Segment(start, start + length, text, "zh", None, below),
        TIMES,
        st.floats(0, 40),
        LETTERS,
        st.none() | LETTERS,
    ),
    max_size=6,
)
OPTIONS = st.builds(
    SubtitleOptions,
    max_latin_chars=st.integers(2, 50),
    max_cjk_chars=st.integers(1, 20),
    max_lines=st.integers(1, 3),
    min_gap_s=st.sampled_from([0.0, 0.08]),
)


def letters(texts):
    return sorted("".join("".join(texts).split()))


@settings(max_examples=80, deadline=None)
@given(SEGMENTS, OPTIONS)
def test_cues_obey_every_rule(segments, options):
    cues = make_cues(segments, options)
    assert letters(line for cue in cues for line in cue.lines) == letters(s.text for s in segments)
    gap_ms = round(options.min_gap_s * 1000)
    for cue in cues:
        assert 0 <= cue.start_ms < cue.end_ms
        assert cue.end_ms - cue.start_ms <= 7000
        assert 1 <= len(cue.lines) <= options.max_lines
        for line in cue.lines:
            assert line == line.strip()
            assert line_load(line, options) <= 1 + 1e-9
    for before, after in pairwise(cues):
        assert before.end_ms + gap_ms <= after.start_ms


@settings(max_examples=60, deadline=None)
@given(SEGMENTS)
def test_bilingual_cues_lose_nothing(segments):
    options = SubtitleOptions(bilingual=True)
    cues = make_cues(segments, options)
    said = [s.text + (s.translation or "") for s in segments]
    assert letters(line for cue in cues for line in cue.lines) == letters(said)
    assert all(len(cue.lines) <= 4 for cue in cues)
    assert all(line_load(line, options) <= 1 + 1e-9 for cue in cues for line in cue.lines)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(cues))


@settings(max_examples=60, deadline=None)
@given(SEGMENTS)
def test_files_keep_their_shape(segments):
    cues = make_cues(segments)
    assert to_srt(cues).count(" --> ") == to_vtt(cues).count(" --> ") == len(cues)
    assert to_srt(cues).count("\n\n") == len(cues)
    assert "\n\n\n" not in to_vtt(cues)
    assert all(row.count("\t") == 2 for row in to_tsv(segments).splitlines())


def test_word_times_decide_where_a_cut_falls_in_time():
    words = [Word(i, i + 0.5, w, 1.0) for i, w in enumerate(["one", "two", "three"])]
    words += [Word(9.0, 9.4, "four", 1.0), Word(9.5, 10.0, "five", 1.0)]
    cues = make_cues([Segment(0, 10, "one two three four five", "en", tuple(words))])
    assert [cue.lines for cue in cues] == [("one two three",), ("four five",)]
    assert [cue.start_ms for cue in cues] == [0, 9000]


def test_words_of_another_wording_are_passed_over():
    words = (Word(0, 1, "pot", 1.0),)
    assert make_cues([Segment(0, 2, "color", "en", words)])[0].end_ms == 2000


def test_words_that_were_written_otherwise_keep_their_times():
    spoken = "we met at ten thirty and then we left the town for good"
    words = tuple(Word(i, i + 0.5, w, 1.0) for i, w in enumerate(spoken.split()))
    text = "We met at 10:30, and then we left the town for good."
    first, second = make_cues([Segment(0, 13, text, "en", words)])
    assert first.lines[0].startswith("We met at 10:30, and then")
    num_words = len(" ".join(first.lines).split())
    assert (first.start_ms, second.start_ms) == (0, 1000 * (num_words + 1))
    (cue,) = make_cues([Segment(0, 9, "50%", "zh", (Word(1, 3, "百分之五十", 1.0),))])
    assert cue.end_ms == 7000  # nothing in common: the time of the segment


def test_a_long_sentence_is_cut_after_punctuation():
    text = "This is the first sentence of all. " * 2 + "And here is another one, with a clause."
    cues = make_cues([Segment(0, 12, text, "en")])
    assert all(cue.lines[-1][-1] in ".," for cue in cues)


def test_a_short_cue_stays_until_it_is_read_or_the_next_begins():
    first, second = make_cues([Segment(0, 0.2, "Yes.", "en"), Segment(0.5, 0.7, "No.", "en")])
    assert (first.start_ms, first.end_ms) == (0, 420)
    assert (second.start_ms, second.end_ms) == (500, 1500)
    (slow,) = make_cues([Segment(0, 0.2, "语音识别" * 4, "zh")])
    assert slow.end_ms == 1778  # sixteen characters at nine a second


def test_times_that_make_no_sense_are_mended():
    odd = [Segment(-3, -4, "a", "en"), Segment(float("nan"), float("inf"), "b", "en")]
    assert [cue.start_ms for cue in make_cues(odd)] == [0, 180]


def test_bilingual_and_translated_cues():
    segments = [Segment(0, 2, "你好。", "zh", None, "Hello."), Segment(3, 4, "好", "zh")]
    both = make_cues(segments, SubtitleOptions(bilingual=True))
    assert [cue.lines for cue in both] == [("你好。", "Hello."), ("好",)]
    only = make_cues(segments, SubtitleOptions(translation=True))
    assert [cue.lines for cue in only] == [("Hello.",)]
    assert to_txt(segments, SubtitleOptions(bilingual=True)) == "你好。\nHello.\n好\n"
    assert to_tsv(segments, SubtitleOptions(bilingual=True)).splitlines()[1].endswith("\tHello.")
    assert to_tsv(segments, SubtitleOptions(translation=True)).splitlines()[1] == "0\t2000\tHello."


RICH = [
    Segment(
        *(0.0, 2.5, "你好，王先生。", "zh", None, "Hello, sir."),
        speaker="S1",
        emotion=Label("happy", 0.9),
        events=(Event(0.8, 2.5, "laughter", 0.8), Event(0.0, 2.5, "speech", 1.0)),
    ),
    Segment(3.0, 8.0, "", "und", events=(Event(3.0, 7.5, "dog_bark", 0.7),)),
    Segment(8.0, 9.0, "Yes.", "en", speaker="S2", emotion=Label("neutral", 0.9), overlap=True),
]


def test_tags_in_plain_text():
    assert to_txt(RICH) == "S1: 你好，王先生。\nS2: Yes.\n"
    assert to_txt(RICH, SubtitleOptions(speakers=False)) == "你好，王先生。\nYes.\n"
    assert to_txt(RICH, SubtitleOptions(tags="words")) == (
        "S1: [zh] [happy] [laughter 0.8-2.5] 你好，王先生。\n[dog bark 3.0-7.5]\n"
        "S2: [en] [overlap] Yes.\n"
    )
    assert to_txt(RICH, SubtitleOptions(tags="emoji")) == (
        "S1: [zh] 你好，王先生。 😊 😄\n🐕\nS2: [en] Yes. 👥\n"
    )
    both = SubtitleOptions(tags="emoji", bilingual=True)
    assert to_txt(RICH[:1], both) == "S1: [zh] 你好，王先生。 😊 😄\nHello, sir.\n"


def test_tags_in_cues():
    plain = make_cues(RICH)
    assert [cue.lines for cue in plain] == [("S1: 你好，王先生。",), ("S2: Yes.",)]
    words = make_cues(RICH, SubtitleOptions(tags="words"))
    assert [cue.lines for cue in words] == [
        ("S1: [zh] [happy] 你好，", "[laughter] 王先生。"),
        ("[dog bark]",),
        ("S2: [en] [overlap] Yes.",),
    ]
    assert (words[1].start_ms, words[1].end_ms) == (3000, 7500)
    emoji = make_cues(RICH, SubtitleOptions(tags="emoji"))
    assert [cue.lines for cue in emoji] == [
        ("S1: [zh] 你好， 😄 王先生。 😊",),
        ("🐕",),
        ("S2: [en] Yes. 👥",),
    ]
    translated = make_cues(RICH, SubtitleOptions(tags="emoji", translation=True))
    assert translated[0].lines == ("S1: [zh] Hello, 😄 sir. 😊",)


def test_a_language_is_told_in_cues_where_it_changes():
    options = SubtitleOptions(tags="words")
    said = [Segment(i, i + 1, "好", code) for i, code in enumerate(["zh", "zh", "en", "zh"])]
    lines = [cue.lines[0] for cue in make_cues(said, options)]
    assert lines == ["[zh] 好", "好", "[en] 好", "[zh] 好"]
    assert [cue.lines[0] for cue in make_cues(said[:2], options)] == ["好", "好"]


def test_tags_become_columns_of_a_table():
    rows = to_tsv(RICH, SubtitleOptions(tags="emoji")).splitlines()
    assert rows[0].split("\t")[3:] == ["speaker", "language", "emotion", "events"]
    assert rows[1].split("\t")[3:] == ["S1", "zh", "happy", "laughter 0.8-2.5; speech 0.0-2.5"]
    assert rows[2].split("\t") == ["3000", "8000", "", "", "und", "", "dog_bark 3.0-7.5"]
    assert to_tsv(RICH).splitlines()[0].split("\t")[3:] == ["speaker"]
    assert len(to_tsv(RICH).splitlines()) == 3
    aged = [Segment(0, 1, "a", "en", gender=Label("female", 0.9), age=Label("adult", 0.6))]
    assert to_tsv(aged, SubtitleOptions(tags="words")).splitlines()[1].endswith("\tfemale\tadult")


TAGGED = st.lists(
    st.builds(
        lambda start, text, speaker, name, events: Segment(
            *(start, start + 3, text, "zh"),
            speaker=speaker,
            emotion=name and Label(name, 1.0),
            events=tuple(Event(start + a, start + b, sound, 1.0) for a, b, sound in events),
        ),
        st.floats(0, 1000),
        LETTERS,
        st.none() | st.sampled_from(["S1", "a speaker with a very long name that fills a line"]),
        st.none() | st.sampled_from(["happy", "neutral", "sad"]),
        st.lists(
            st.tuples(st.floats(-1, 5), st.floats(-1, 5), st.sampled_from(["music", "a_b_c"])),
            max_size=3,
        ),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(TAGGED, OPTIONS, st.sampled_from(["words", "emoji"]))
def test_tagged_cues_obey_every_rule(segments, options, tags):
    cues = make_cues(segments, replace(options, tags=tags))
    shown = "".join("".join(line for cue in cues for line in cue.lines).split())
    for segment in segments:
        num_events = sum(event.name == "music" for event in segment.events)
        assert shown.count("[music]" if tags == "words" else "🎵") >= num_events
    for cue in cues:
        assert len(cue.lines) <= options.max_lines
        assert all(line_load(line, options) <= 1 + 1e-9 for line in cue.lines)
        assert 0 <= cue.start_ms < cue.end_ms <= cue.start_ms + 7000
    assert all(a.end_ms < b.start_ms or options.min_gap_s == 0 for a, b in pairwise(cues))


def test_files_are_exact():
    cues = make_cues([Segment(360_000.5, 360_002, "a <b> & --> c\x00\ud800", "en")])
    assert to_srt(cues) == "1\n100:00:00,500 --> 100:00:02,000\na <b> & → c\ufffd\n\n"
    assert to_vtt(cues) == (
        "WEBVTT\n\n100:00:00.500 --> 100:00:02.000\na &lt;b&gt; &amp; --&gt; c\ufffd\n\n"
    )
    assert to_tsv([Segment(1, 2, "a\tb\nc", "en")]).endswith("1000\t2000\ta b c\n")


@pytest.mark.parametrize(
    "wrong",
    [
        {"bilingual": True, "translation": True},
        {"max_latin_chars": 0},
        {"latin_chars_per_s": 0},
        {"min_duration_s": 9},
        {"min_gap_s": -1},
        {"tags": "smileys"},
    ],
)
def test_options_that_no_cue_could_obey_are_refused(wrong):
    with pytest.raises(ConfigError):
        SubtitleOptions(**wrong)


def test_what_is_not_sure_is_not_written():
    unsure = Segment(
        0.0,
        2.0,
        "Well.",
        "en",
        emotion=Label("sad", 0.79),
        events=(Event(0.0, 1.0, "sneeze", 0.59),),
    )
    assert to_txt([unsure], SubtitleOptions(tags="words")) == "[en] Well.\n"
    sure = replace(unsure, emotion=Label("sad", 0.8), events=(Event(0.0, 1.0, "sneeze", 0.6),))
    assert to_txt([sure], SubtitleOptions(tags="words")) == "[en] [sad] [sneeze 0.0-1.0] Well.\n"
