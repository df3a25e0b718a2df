"""Transcripts as OpenAI's bodies."""

from mooer.serve.formats import addition, body_of
from mooer.transcript import Event, Label, Segment, Transcript, Word

WORDS = (Word(0.0, 0.5, "Good", 0.9), Word(0.5, 1.0, "day.", 0.8))
SAID = Transcript(
    (
        Segment(0.0, 1.0, "Good day.", "en", words=WORDS, avg_logprob=-0.2, speaker="speaker 2"),
        Segment(1.0, 1.5, "", "en", events=(Event(1.0, 1.5, "laughter", 0.7),)),
        Segment(2.0, 3.0, "And you?", "en", emotion=Label("happy", 0.6)),
    ),
    "en",
    3.2,
)


def test_plain_formats():
    assert body_of(SAID, "json") == {
        "text": "Good day. And you?",
        "usage": {"type": "duration", "seconds": 3},
    }
    assert body_of(SAID, "text") == "Good day. And you?\n"
    assert body_of(SAID, "srt").startswith("1\n00:00:00,000 --> 00:00:0")
    assert body_of(SAID, "vtt").startswith("WEBVTT\n\n00:00:00.000 --> ")


def test_verbose_json_has_what_is_asked_for():
    found = body_of(SAID, "verbose_json", ("word", "segment"))
    assert found["task"] == "transcribe"
    assert found["language"] == "english"
    assert found["words"] == [
        {"word": "Good", "start": 0.0, "end": 0.5},
        {"word": "day.", "start": 0.5, "end": 1.0},
    ]
    first, laughter, last = found["segments"]
    assert set(first) >= {
        *("id", "seek", "start", "end", "text", "tokens", "temperature"),
        *("avg_logprob", "compression_ratio", "no_speech_prob"),
    }
    assert laughter["events"][0]["name"] == "laughter"
    assert last["emotion"] == {"name": "happy", "probability": 0.6}
    assert "segments" not in body_of(SAID, "verbose_json", ("word",))
    assert "words" not in body_of(SAID, "verbose_json", ("segment",))


def test_speakers_have_letters():
    found = body_of(SAID, "diarized_json")
    assert [s["speaker"] for s in found["segments"]] == ["B", "A"]
    assert found["segments"][0]["type"] == "transcript.text.segment"


def test_a_translation_is_what_is_shown():
    segments = (Segment(0, 1, "你好。", "zh", translation="Hello."),)
    said = Transcript(segments, "zh", 1.0, task="ast", translation_language="en")
    assert body_of(said, "json")["text"] == "Hello."
    found = body_of(said, "verbose_json")
    assert (found["task"], found["language"]) == ("translate", "english")
    assert found["segments"][0]["original"] == "你好。"
    assert "Hello." in body_of(said, "srt")
    assert "你好" not in body_of(said, "srt")


def test_deltas_joined_are_the_text():
    text = ""
    for piece in ("Good day.", "你好，", "世界。", "And", "you ?"):
        text += addition(text, piece)
    assert text == "Good day. 你好，世界。And you ?" or text.startswith("Good day. 你好，世界。")


def test_silence():
    empty = Transcript((), "und", 2.0)
    assert body_of(empty, "text") == "\n"
    assert body_of(empty, "vtt").startswith("WEBVTT")
    assert body_of(empty, "verbose_json")["segments"] == []
