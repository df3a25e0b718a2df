"""The transcript as JSON and as files."""

import json
import subprocess
import sys
from dataclasses import fields
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooer.errors import ConfigError, ManifestError, OutputError
from mooer.transcript import Event, Label, Segment, Transcript, Word

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.builds(Word, NUMBERS, NUMBERS, st.text(), NUMBERS)
LABELS = st.none() | st.builds(Label, st.text(), NUMBERS)
EVENTS = st.builds(Event, NUMBERS, NUMBERS, st.text(), NUMBERS)
SEGMENTS = st.builds(
    Segment,
    NUMBERS,
    NUMBERS,
    st.text(),
    st.text(),
    st.none() | st.lists(WORDS, max_size=2).map(tuple),
    st.none() | st.text(),
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.lists(st.text(), max_size=2).map(tuple),
    st.none() | st.text(),
    st.booleans(),
    LABELS,
    st.none() | st.lists(EVENTS, max_size=2).map(tuple),
    LABELS,
    LABELS,
    st.none() | NUMBERS,
)
TRANSCRIPTS = st.builds(
    Transcript,
    st.lists(SEGMENTS, max_size=2).map(tuple),
    st.text(),
    NUMBERS,
    versions=st.dictionaries(st.text(), st.text(), max_size=2),
)


@given(TRANSCRIPTS)
def test_json_gives_back_what_was_written(transcript):
    assert Transcript.from_json(transcript.to_json()) == transcript


def sample():
    return {
        "schema": "mooer.transcript/2",
        "segments": [{"start_s": 0, "end_s": 1, "text": "好", "language": "zh"}],
        "language": "zh",
        "duration_s": 1.5,
    }


def test_the_least_json_is_read():
    transcript = Transcript.from_dict(sample())
    assert transcript.text == "好"
    assert transcript.translation is None
    assert transcript.segments[0].words is None


def test_version_1_is_read_and_becomes_version_2():
    word = {"start_s": 0, "end_s": 1, "text": "好", "probability": 0.9}
    old = {**sample(), "schema": "mooer.transcript/1"}
    old["segments"] = [{**old["segments"][0], "words": [word], "warnings": ["loops"]}]
    transcript = Transcript.from_dict(old)
    (segment,) = transcript.segments
    assert (segment.warnings, segment.words[0].text) == (("loops",), "好")
    assert (segment.speaker, segment.overlap, segment.emotion, segment.events) == (
        *(None, False, None, None),
    )
    assert transcript.to_dict()["schema"] == "mooer.transcript/2"


def test_what_else_is_heard_is_written_and_read():
    music = Event(0.0, 3.5, "music", 0.8)
    segments = (
        Segment(0.0, 3.5, "", "und", events=(music,)),
        Segment(4.0, 5.0, "好", "zh", speaker="S1", overlap=True, emotion=Label("happy", 0.7)),
    )
    transcript = Transcript(segments, "zh", 5.0)
    assert transcript.text == "好"
    first, second = json.loads(transcript.to_json())["segments"]
    assert first["events"] == [{"start_s": 0.0, "end_s": 3.5, "name": "music", "probability": 0.8}]
    assert second["emotion"] == {"name": "happy", "probability": 0.7}
    assert (second["speaker"], second["overlap"], second["events"]) == ("S1", True, None)
    assert Transcript.from_json(transcript.to_json()) == transcript


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"emotion": "happy"}, r"segments\[0\].emotion must be a JSON object, got a string"),
        ({"emotion": {"name": "happy"}}, r"segments\[0\].emotion lacks probability"),
        ({"events": [{"name": "cry"}]}, r"events\[0\] lacks start_s, end_s, probability"),
        ({"age": {"name": "adult", "probability": True}}, "age.probability must be a number"),
        ({"overlap": 1}, "overlap must be a boolean, got a number"),
        ({"overlap": None}, "overlap must be a boolean, got null"),
        ({"speaker": 1}, "speaker must be a string"),
        ({"gendre": None}, "did you mean gender"),
    ],
)
def test_labels_are_read_strictly(change, message):
    data = sample()
    data["segments"][0].update(change)
    with pytest.raises(ManifestError, match=message):
        Transcript.from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "mooer.transcript/3"}, "mooer.transcript/3.*reads mooer.transcript/1 and"),
        ({"schema": None}, "schema None"),
        ({"langage": "zh"}, "did you mean language"),
        ({"duration_s": "1"}, "duration_s must be a number, got a string"),
        ({"duration_s": True}, "got a boolean"),
        ({"duration_s": float("nan")}, "finite"),
        ({"segments": {}}, "segments must be a list"),
        ({"segments": [{"start_s": 0, "end_s": 1, "text": "a"}]}, r"segments\[0\] lacks language"),
        ({"segments": [3]}, r"segments\[0\] must be a JSON object"),
        ({"versions": {"a": 1}}, "versions.a must be a string"),
        ({"warnings": [None]}, r"warnings\[0\] must be a string, got null"),
    ],
)
def test_reading_is_strict(change, message):
    with pytest.raises(ManifestError, match=message):
        Transcript.from_dict({**sample(), **change})


def test_what_is_no_json_is_refused():
    with pytest.raises(ManifestError, match="not JSON"):
        Transcript.from_json("{")
    with pytest.raises(ManifestError, match="must be a JSON object"):
        Transcript.from_json("[]")


def test_numbers_that_json_cannot_hold():
    odd = Segment(0, 1, "a", "en", avg_logprob=float("-inf"))
    assert json.loads(Transcript((odd,), "en", 1).to_json())["segments"][0]["avg_logprob"] is None
    with pytest.raises(OutputError):
        Transcript((), "en", float("nan")).to_json()


@pytest.mark.parametrize(
    ("row", "place"),
    [
        *((Transcript, None), (Segment, "segment"), (Word, "word")),
        *((Label, "label"), (Event, "event")),
    ],
)
def test_the_schema_names_the_fields(row, place):
    schema = json.loads(files("mooer").joinpath("transcript.schema.json").read_text("utf-8"))
    part = schema["$defs"][place] if place else schema
    names = [f.name for f in fields(row)]
    assert [n for n in part["properties"] if n not in ("schema", "text") or place] == names
    given_names = set(part["required"]) - {"schema"}
    with pytest.raises(TypeError):
        row(**dict.fromkeys(sorted(given_names)[1:], ""))
    row(**dict.fromkeys(given_names, ""))  # no other field is required


def test_files():
    segments = (
        Segment(0, 1, "你好", "zh", None, "Hello"),
        Segment(1, 2, "世界", "zh", None, "world"),
    )
    transcript = Transcript(segments, "zh", 2)
    assert transcript.text == "你好世界"
    assert transcript.translation == "Hello world"
    assert transcript.render("txt") == "你好\n世界\n"
    assert transcript.render("srt").startswith("1\n00:00:00,000 --> 00:00:00,920\n你好\n\n2\n")
    assert transcript.render("vtt").startswith("WEBVTT\n\n00:00:00.000")
    assert json.loads(transcript.render("json"))["text"] == "你好世界"
    with pytest.raises(ConfigError, match="did you mean srt"):
        transcript.render("str")
    assert Transcript((), "und", 0).render("vtt") == "WEBVTT\n\n"


def test_importing_it_is_light():
    code = "import sys, mooer.transcript; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "rich", "opencc", "typer", "yaml"} & set(done.stdout.split())
