"""What a form asks for, and what is refused by the name of its field."""

import pytest

from mooer.serve.asking import read_asked
from mooer.serve.errors import ApiError
from mooer.serve.uploads import Form


def form(**fields):
    found = Form()
    for name, value in fields.items():
        found.fields[name] = value if isinstance(value, list) else [value]
    return found


def ask(task="asr", **fields):
    return read_asked(form(**fields), task)


def test_nothing_but_a_file_is_enough():
    asked = ask()
    assert (asked.format, asked.streams, asked.to) == ("json", False, "en")
    assert asked.options.language is None
    assert not asked.options.words


def test_fields_become_options():
    asked = ask(
        **{
            "language": "Chinese",
            "temperature": "0.3",
            "keywords[]": ["MooER", "Paraformer"],
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word"],
            "stream": "true",
            "rich": "1",
            "script": "hant",
        }
    )
    assert asked.options.language == "zh"
    assert asked.options.temperatures == (0.3,)
    assert asked.options.hotwords == "MooER, Paraformer"
    assert asked.options.words
    assert asked.options.rich
    assert asked.streams
    assert asked.options.script == "hant"


def test_speakers():
    assert ask(response_format="diarized_json").num_speakers == 0
    assert ask(model="gpt-4o-transcribe-diarize").format == "diarized_json"
    assert ask(speakers="3").num_speakers == 3
    assert not ask(speakers="false").is_diarized


@pytest.mark.parametrize(
    "given",
    [
        '{"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 500}',
        None,
    ],
)
def test_the_vad_of_a_chunking_strategy(given):
    if given is None:
        fields = {
            "chunking_strategy[type]": "server_vad",
            "chunking_strategy[threshold]": "0.7",
            "chunking_strategy[silence_duration_ms]": "500",
        }
    else:
        fields = {"chunking_strategy": given}
    vad = ask(**fields).options.vad
    assert (vad.threshold, vad.min_silence_s) == (0.7, 0.5)
    assert vad.release <= vad.threshold


@pytest.mark.parametrize(
    ("task", "fields", "param"),
    [
        ("asr", {"response_format": "xml"}, "response_format"),
        ("ast", {"response_format": "diarized_json"}, "response_format"),
        ("asr", {"temperature": "1.5"}, "temperature"),
        ("asr", {"temperature": "nan"}, "temperature"),
        ("asr", {"temperature": "hot"}, "temperature"),
        ("asr", {"language": "klingon"}, "language"),
        ("asr", {"timestamp_granularities[]": ["letter"]}, "timestamp_granularities[]"),
        ("asr", {"stream": "maybe"}, "stream"),
        ("asr", {"include[]": ["logprobs"]}, "include[]"),
        ("asr", {"known_speaker_names[]": ["Anna"]}, "known_speaker_names[]"),
        ("asr", {"chunking_strategy": "fixed"}, "chunking_strategy"),
        (
            "asr",
            {"chunking_strategy": '{"type": "server_vad", "threshold": 9}'},
            "chunking_strategy",
        ),
        ("asr", {"chunking_strategy": "{" * 100_000}, "chunking_strategy"),
        ("asr", {"speakers": "many"}, "speakers"),
        ("asr", {"speakers": "99999999999"}, "speakers"),
        ("asr", {"speakers": "0030" + "9" * 5000}, "speakers"),
        ("asr", {"speakers": "00019999"}, "speakers"),
        ("asr", {"speakers": "٣"}, "speakers"),
        ("asr", {"keywords[]": ["a," * 100_000] * 20}, "keywords"),
        ("asr", {"hotwords": "a," * 100_000}, "keywords"),
        ("asr", {"prompt": "x" * 5000}, "prompt"),
        ("asr", {"script": "latin"}, "script"),
        ("ast", {"to": "elvish"}, "to"),
    ],
)
def test_what_makes_no_sense_is_named(task, fields, param):
    with pytest.raises(ApiError) as caught:
        ask(task, **fields)
    assert caught.value.status == 400
    assert caught.value.param == param
