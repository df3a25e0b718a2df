"""What the user names to items."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooer.data import inputs, safe_stem
from mooer.errors import ManifestError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return str(path)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_need_not_exist_and_keep_their_order():
    items = inputs(["b.wav", Path("gone/a.mp3"), "-"])
    assert [(i.id, i.path) for i in items] == [
        ("b", "b.wav"),
        ("a", str(Path("gone/a.mp3"))),
        ("stdin", "-"),
    ]


def test_a_folder_is_searched_and_sorted(tmp_path):
    touch(tmp_path, "b.WAV", "a/z.flac", "a/notes.txt", ".hidden/x.wav", ".y.wav", "c.mp4")
    assert [i.id for i in inputs([tmp_path])] == ["a/z", "b", "c"]
    assert len(inputs([tmp_path, tmp_path / "c.mp4"])) == 3  # named twice, read once


def test_globs(tmp_path):
    touch(tmp_path, "b.wav", "a.wav", "x[1].wav")
    assert [i.id for i in inputs([f"{tmp_path}/[ab].wav"])] == ["a", "b"]
    assert [i.id for i in inputs([f"{tmp_path}/x[1].wav"])] == ["x[1]"]
    with pytest.raises(ManifestError, match="nothing matches"):
        inputs([f"{tmp_path}/*.ogg"])


def test_nothing_to_read_is_told(tmp_path):
    with pytest.raises(ManifestError, match="holds no audio"):
        inputs([tmp_path])
    with pytest.raises(ManifestError, match="empty name"):
        inputs([""])
    with pytest.raises(ManifestError, match=r"cannot read .*No such file"):
        inputs([tmp_path / "gone.jsonl"])


def test_same_names_get_numbers(tmp_path):
    touch(tmp_path, "a/x.wav", "b/x.wav", "c/x.wav")
    args = [tmp_path / d / "x.wav" for d in "abc"]
    assert [i.id for i in inputs(args)] == ["x", "x-2", "x-3"]
    manifest = write(tmp_path / "m.jsonl", '{"audio": "a/y.wav", "id": "p/q"}')
    other = write(tmp_path / "n.jsonl", '{"audio": "b/y.wav", "id": "p_q"}')
    assert [i.id for i in inputs([manifest, other])] == ["p/q", "p_q-2"]  # one file name


def test_jsonl_paths_are_relative_to_the_manifest(tmp_path):
    rows = [
        {"audio": "clips/a.wav", "text": "好\u2028", "language": "zh"},
        {"audio": "/abs/b.wav", "id": 7},
    ]
    path = write(tmp_path / "m.jsonl", *(json.dumps(r, ensure_ascii=False) for r in rows), "")
    first, second = inputs([path])
    assert (first.id, first.path) == ("a", str(tmp_path / "clips" / "a.wav"))
    assert first.fields["text"] == "好\u2028"
    assert (second.id, second.path) == ("7", "/abs/b.wav")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is no object"),
        ('{"text": "a"}', 'line 2 has no "audio"'),
        ('{"audio": "b.wav", "id": "a"}', "line 2 has the id 'a' of line 1"),
        ('{"audio": "b.wav", "id": []}', '"id" that is no string'),
    ],
)
def test_a_broken_line_is_named(tmp_path, row, message):
    path = write(tmp_path / "m.jsonl", '{"audio": "a.wav", "id": "a"}', row)
    with pytest.raises(ManifestError, match=message):
        inputs([path])


def test_lists_that_are_no_text(tmp_path):
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="not UTF-8"):
        inputs([tmp_path / "m.jsonl"])
    with pytest.raises(ManifestError, match="lists nothing"):
        inputs([write(tmp_path / "n.jsonl")])
    (tmp_path / "bom.jsonl").write_bytes(b'\xef\xbb\xbf{"audio": "a.wav"}\r\n')
    assert inputs([tmp_path / "bom.jsonl"])[0].id == "a"


def test_wav_scp(tmp_path, monkeypatch):
    touch(tmp_path, "kaldi/a.wav", "work/b.wav")
    monkeypatch.chdir(tmp_path / "work")
    path = write(tmp_path / "kaldi" / "wav.scp", "u1 a.wav", "u2   b.wav", "u3 with space.wav")
    assert [(i.id, i.path) for i in inputs([path])] == [
        ("u1", str(tmp_path / "kaldi" / "a.wav")),
        ("u2", "b.wav"),
        ("u3", str(tmp_path / "kaldi" / "with space.wav")),
    ]
    for row, message in [
        ("u4 sox a.wav -t wav - |", "is a command, which is not run"),
        ("u4", "no path"),
        ("u1 c.wav", "of line 1"),
    ]:
        bad = write(tmp_path / "kaldi" / "bad.scp", "u1 a.wav", row)
        with pytest.raises(ManifestError, match=message):
            inputs([bad])


@given(st.text())
def test_a_stem_is_one_part_of_a_path(id):
    stem = safe_stem(id)
    assert Path(stem).name == stem
    assert stem not in ("", ".", "..")
    assert not stem.startswith(".")
    assert len(stem.encode()) <= 180


def test_stems_stay_apart_and_safe():
    assert safe_stem("../x") == "_x"
    assert safe_stem("CON.wav") == "_CON.wav"
    assert safe_stem("长" * 100) != safe_stem("长" * 101)
    assert safe_stem("a\x00b\nc") == "a_b_c"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared recordings are not beside the checkout")
def test_the_shared_manifests_are_read():
    items = inputs(sorted(SHARED.glob("*.jsonl")))
    assert all(Path(item.path).is_file() for item in items)
    assert len(items) > 1000
