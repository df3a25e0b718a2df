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
from mooer.transcript import Segment, Transcript, Word

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.builds(Word, NUMBERS, NUMBERS, st.text(), NUMBERS)
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
        "schema": "mooer.transcript/1",
        "segments": [{"start_s": 0, "end_s": 1, "text": "好", "language": "zh"}],
        "language": "zh",
        "duration_s": 1.5,
    }


def test_the_least_json_is_read():
    transcript = Transcript.from_dict(sample())
    assert transcript.text == "好"
    assert transcript.translation is None
    assert transcript.segments[0].words is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "mooer.transcript/2"}, "mooer.transcript/2"),
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
    ("row", "place"), [(Transcript, None), (Segment, "segment"), (Word, "word")]
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
