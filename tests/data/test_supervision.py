"""One schema: read strictly, written whole, nothing lost."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooer.data.jsonl import read_rows, write_lines, write_rows
from mooer.data.lines import Lines, read_lines
from mooer.data.supervision import (
    Turn,
    Utterance,
    from_row,
    iter_manifest,
    read_manifest,
    to_row,
    write_manifest,
)
from mooer.errors import ManifestError, OutputError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
seconds = st.floats(0, 1e6) | st.integers(0, 99)
words = st.none() | text
made = st.builds(
    Utterance,
    id=text.filter(bool),
    audio=text.filter(lambda t: t and "\0" not in t).map(lambda t: "a/" + t.replace("/", "_")),
    start_s=st.none() | seconds,
    duration_s=st.none() | seconds,
    text=words,
    language=words,
    translation=words,
    emotion=words,
    speaker=words,
    age=st.none() | seconds | text,
    prompt=words,
    answer=words,
    conversation=st.none() | st.lists(st.builds(Turn, text, text), max_size=3).map(tuple),
    dnsmos=st.none() | st.floats(0, 5),
    extra=st.dictionaries(text.map("x-".__add__), st.none() | text | st.lists(seconds), max_size=3),
)


@settings(deadline=None)
@given(made)
def test_a_row_and_back(utterance):
    row = json.loads(json.dumps(to_row(utterance)))
    assert from_row(row, "here") == utterance


@settings(deadline=None, max_examples=30)
@given(st.lists(made, min_size=1, max_size=5, unique_by=lambda u: u.id))
def test_a_manifest_and_back(tmp_path_factory, utterances):
    path = tmp_path_factory.mktemp("m") / "m.jsonl"
    placed = [replace(u, audio=str(path.parent / u.audio)) for u in utterances]
    assert write_manifest(path, placed) == len(placed)
    assert read_manifest(path) == placed
    lines = Lines(path)
    assert [lines[i] for i in range(len(lines))] == placed
    assert lines.duration_s == pytest.approx(sum(u.duration_s or 0 for u in placed))


def test_of_several_translations_the_first_is_learned_and_all_are_kept():
    row = {"id": "u", "audio": "a", "translation": ["one", "another"]}
    utterance = from_row(row, "here")
    assert utterance.translation == "one"
    assert to_row(utterance) == row
    assert to_row(replace(utterance, translation="new"))["translation"] == "new"
    with pytest.raises(ManifestError, match="translation"):
        from_row({**row, "translation": []}, "here")


def test_a_folder_can_be_moved(tmp_path):
    path = tmp_path / "one" / "m.jsonl"
    given = [
        Utterance("a", str(tmp_path / "one" / "clips" / "a.wav")),
        Utterance("b", "/elsewhere/b.wav"),
        Utterance(
            "c", "c.flac", shard=str(tmp_path / "one" / "s.tar"), offset_bytes=1, num_bytes=2
        ),
    ]
    write_manifest(path, given)
    (tmp_path / "one").rename(tmp_path / "two")
    a, b, c = read_manifest(tmp_path / "two" / "m.jsonl")
    assert a.audio == str(tmp_path / "two" / "clips" / "a.wav")
    assert b.audio == "/elsewhere/b.wav"
    assert (c.audio, c.shard) == ("c.flac", str(tmp_path / "two" / "s.tar"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"m\.jsonl line 2 is not JSON"),
        ('"a"', r"m\.jsonl line 2 is no object"),
        ("{}", 'line 2 has no "audio"'),
        ('{"audio": ""}', 'has no "audio"'),
        ('{"audio": "b", "id": ""}', 'has an empty "id"'),
        ('{"audio": 3}', '"audio" must be a string, got 3'),
        ('{"audio": "b", "text": ["x"]}', '"text" must be a string'),
        ('{"audio": "b", "duration": "3"}', """"duration" must be a number, got '3'"""),
        ('{"audio": "b", "duration": true}', '"duration" must be a number'),
        ('{"audio": "b", "duration": -1}', '"duration" must be 0 or more'),
        ('{"audio": "b", "duration": NaN}', "NaN is no number of JSON"),
        ('{"audio": "b", "duration": 1e999}', "must be 0 or more, got inf"),
        ('{"audio": "b", "start": null, "age": []}', '"age" must be a number'),
        ('{"audio": "b", "conversation": [{"role": "user"}]}', '"conversation" must be a list'),
        ('{"audio": "b", "conversation": "hi"}', '"conversation" must be a list'),
        ('{"audio": "b", "shard": "s.tar"}', 'names a "shard" without "offset" and "size"'),
        ('{"audio": "b", "offset": 1.5}', "whole number of bytes"),
        ('{"audio": "b", "id": "a"}', r"line 2 has the id 'a' of .*line 1"),
        ("[" * 100_000, "line 2 is (nested too deep|not JSON)"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio": "a"}\n' + line + "\n")
    with pytest.raises(ManifestError, match=message):
        read_manifest(path)
    if "has the id" not in message:  # those are the matter of the whole list
        with pytest.raises(ManifestError, match=message):
            Lines(path)
        (_, good), (number, bad) = read_lines(path)
        assert (good.id, number) == ("a", 2)
        assert isinstance(bad, ManifestError)


def test_files_that_are_no_manifest(tmp_path):
    with pytest.raises(ManifestError, match=r"cannot read .*No such file"):
        read_manifest(tmp_path / "m.jsonl")
    with pytest.raises(ManifestError, match=r"cannot read .*No such file"):
        Lines(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_bytes(b"\n \n")
    for read in (read_manifest, Lines):
        with pytest.raises(ManifestError, match="lists nothing"):
            read(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_bytes(b'{"audio": "\xff"}')
    with pytest.raises(ManifestError, match="line 1 is not UTF-8"):
        read_manifest(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(b'{"audio": "a"}\n' * 99)[:30])
    with pytest.raises(ManifestError, match="cannot read"):
        list(read_rows(tmp_path / "m.jsonl.gz"))


def test_marks_blank_lines_and_line_separators(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes('\ufeff{"audio": "a.wav", "text": "\u2028"}\r\n\n{"audio": "b.wav"}'.encode())
    a, b = read_manifest(path)
    assert (a.text, b.id) == ("\u2028", "b")
    assert [Lines(path)[i] for i in (0, 1)] == [a, b]
    assert [place for _, place in iter_manifest(path)] == [f"{path} line {n}" for n in (1, 3)]


def test_a_manifest_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio": "a.wav"}\n')
    lines = Lines(path)
    path.write_text('{"audio": "a.wav"}\n{"audio": "b.wav"}\n')
    with pytest.raises(ManifestError, match="was changed while"):
        _ = lines[0]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "m.jsonl"
    write_rows(path, [{"a": 1}])

    def broken():
        yield {"a": 2}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_rows(path, broken())
    assert path.read_text() == '{"a": 1}\n'
    assert [p.name for p in path.parent.iterdir()] == ["m.jsonl"]
    with pytest.raises(OutputError, match="cannot write"):
        write_lines(path / "below", ["x"])
    write_rows(tmp_path / "m.jsonl.gz", [{"a": 1}])
    first = (tmp_path / "m.jsonl.gz").read_bytes()
    write_rows(tmp_path / "m.jsonl.gz", [{"a": 1}])
    assert (tmp_path / "m.jsonl.gz").read_bytes() == first  # no time in it
    assert [row for _, row in read_rows(tmp_path / "m.jsonl.gz")] == [{"a": 1}]


@pytest.mark.shared
def test_the_shared_manifests_are_of_the_schema():
    if not SHARED.exists():
        pytest.skip("the shared recordings are not here")
    paths = [*SHARED.glob("*.jsonl"), *(SHARED.parent / "synth").glob("*.jsonl")]
    assert paths
    for path in paths:
        rows = [row for _, row in read_rows(path)]
        for utterance, row in zip(read_manifest(path), rows, strict=True):
            back = to_row(replace(utterance, audio=row["audio"]))
            assert {k: v for k, v in back.items() if v is not None} == {
                k: v for k, v in row.items() if v is not None
            }
