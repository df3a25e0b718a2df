"""Shards: packed, read in order and by place, gone on with, damaged."""

import io
import itertools
import tarfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.sets import recorded

from mooer.audio.wave import read_wave, write_wave
from mooer.data.pack import PackOptions, pack
from mooer.data.shards import Shards, find_shards, read_shard
from mooer.data.sound import PartReader, read_sound
from mooer.data.stages import Share, Shuffle
from mooer.data.supervision import Utterance, read_manifest, write_manifest
from mooer.data.tar import TarWriter, members
from mooer.errors import AudioError, ConfigError, ManifestError


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    manifest, made = recorded(folder / "plain", 11)
    pack(manifest, folder / "shards", PackOptions(per_shard=4))
    return folder / "shards", made


def test_a_shard_has_what_the_manifest_has(packed):
    folder, made = packed
    listed = read_manifest(folder / "manifest.jsonl")
    assert [u.id for u in listed] == [u.id for u in made]
    for before, after in zip(made, listed, strict=True):
        assert (before.text, before.speaker) == (after.text, after.speaker)
        np.testing.assert_allclose(read_sound(after), read_sound(before), atol=1e-4)
    assert [Path(p).name for p in find_shards(folder)] == [f"shard-0000{i}.jsonl" for i in range(3)]
    with tarfile.open(folder / "shard-00002.tar") as tar:  # a tar like any other
        assert tar.getnames() == ["u8.flac", "u9.flac", "u10.flac"]


def test_reading_in_order_gives_the_same_bytes(packed):
    folder, _ = packed
    for path in find_shards(folder):
        for utterance, data in read_shard(path):
            np.testing.assert_array_equal(read_wave(data), read_sound(utterance))


@pytest.mark.parametrize("share", [Share(), Share(1, 2)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_going_on_is_not_stopping(packed, share, shuffled):
    stage = Shards(find_shards(packed[0]), seed=4, share=share)
    stage = Shuffle(stage, 5) if shuffled else stage
    whole = list(itertools.islice(stage.stream(), 30))
    for cut_at in range(1, 30):
        rest = list(itertools.islice(stage.stream(whole[cut_at - 1][1]), 30 - cut_at))
        assert rest == whole[cut_at:]


def test_shares_read_other_shards(packed):
    lists = find_shards(packed[0])
    got = [
        {x.utterance.id for x, _ in Shards(lists, epochs=1, share=Share(i, 3)).stream()}
        for i in range(3)
    ]
    assert sorted(map(len, got)) == [3, 4, 4]
    assert len(set.union(*got)) == 11
    with pytest.raises(ConfigError, match="3 shards cannot be shared by 4"):
        next(Shards(lists, share=Share(0, 4)).stream())


def test_packing_goes_on_and_refuses_other_options(packed, tmp_path):
    manifest, _ = recorded(tmp_path / "plain", 9)
    whole = pack(manifest, tmp_path / "whole", PackOptions(per_shard=4))
    assert (whole.num_shards, whole.num_utterances) == (3, 9)
    part = tmp_path / "part"
    pack(manifest, part, PackOptions(per_shard=4))
    kept = (part / "shard-00000.tar").stat().st_mtime_ns
    for name in ("shard-00001.jsonl", "shard-00002.tar", "shard-00002.jsonl", "manifest.jsonl"):
        (part / name).unlink()
    seen = []
    options = PackOptions(per_shard=4, num_workers=2)  # other processes, the same bytes
    pack(manifest, part, options, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (9, 9)
    assert (part / "shard-00000.tar").stat().st_mtime_ns == kept
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (part / path.name).read_bytes()
    with pytest.raises(ConfigError, match="per_shard: 4 then, 5 now"):
        pack(manifest, part, PackOptions(per_shard=5))


def test_parts_are_cut_out_and_originals_kept(tmp_path):
    _, (one,) = recorded(tmp_path, 1)
    end_s = one.duration_s
    parts = [
        Utterance("p/1", one.audio, start_s=0.05, duration_s=0.1),
        Utterance("p_1", one.audio, start_s=end_s - 0.1, duration_s=0.1),
        Utterance("whole", one.audio, duration_s=end_s),
    ]
    write_manifest(tmp_path / "parts.jsonl", parts)
    pack(tmp_path / "parts.jsonl", tmp_path / "out", PackOptions(codec="original"))
    listed = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert [u.audio for u in listed] == ["p_1.flac", "p_1-2.flac", "whole.wav"]
    assert len(read_sound(listed[0])) == 1600
    np.testing.assert_allclose(read_sound(listed[0]), read_sound(parts[0]), atol=1e-4)
    assert read_sound(listed[2]).tolist() == read_sound(one).tolist()
    pack(tmp_path / "parts.jsonl", tmp_path / "opus", PackOptions(codec="opus"))
    (first, *_) = read_manifest(tmp_path / "opus" / "manifest.jsonl")
    assert len(read_sound(first)) == 1600


def test_parts_in_any_order_are_read_as_one_by_one(tmp_path):
    _, made = recorded(tmp_path, 2, suffix=".flac")
    long = Utterance("long", str(tmp_path / "long.flac"))
    rng = np.random.default_rng(0)
    write_wave(long.audio, rng.uniform(-0.5, 0.5, 16_000 * 25).astype(np.float32))
    spans = [(0.0, 3.0), (1.0, 3.0), (9.5, 1.0), (24.0, 0.5), (12.0, 9.0), (3.0, 20.0), (24.5, 9.0)]
    parts = [
        *(replace(long, start_s=start_s, duration_s=duration_s) for start_s, duration_s in spans),
        made[0],
        replace(made[0], start_s=0.05, duration_s=0.1),
        replace(made[1], start_s=0.0, duration_s=0.1),
    ]
    with closing(PartReader()) as read:
        for part in [*parts, *parts[::-1]]:
            assert np.array_equal(read(part), read_sound(part))
        for bad in (replace(long, start_s=30.0, duration_s=1.0), replace(parts[0], audio="gone")):
            for reader in (read, read_sound):
                with pytest.raises(AudioError, match=r"begins at 30\.00 s|gone"):
                    reader(bad)
        assert np.array_equal(read(parts[1]), read_sound(parts[1]))


def test_what_cannot_be_read_is_an_error_or_counted(tmp_path):
    manifest, made = recorded(tmp_path, 3)
    Path(made[1].audio).write_bytes(b"no sound")
    with pytest.raises(AudioError, match=r"^u1: "):
        pack(manifest, tmp_path / "a", PackOptions())
    result = pack(manifest, tmp_path / "b", PackOptions(on_error="skip"))
    assert (result.num_utterances, result.skipped.total()) == (2, 1)
    for one in made:
        Path(one.audio).unlink()
    with pytest.raises(ManifestError, match="would be empty"):
        pack(manifest, tmp_path / "c", PackOptions(on_error="skip"))


# --- damage -------------------------------------------------------------------------------------


def copy(folder, to, *, cut=0):
    to.mkdir()
    for path in folder.glob("shard-*"):
        (to / path.name).write_bytes(path.read_bytes())
    tar = to / "shard-00001.tar"
    data = tar.read_bytes()
    if cut:
        tar.write_bytes(data[:cut])
    return find_shards(to)


@pytest.mark.parametrize("cut", [100, 5_000, 1 << 14])
def test_a_tar_that_is_cut_off(packed, tmp_path, cut):
    lists = copy(packed[0], tmp_path / "cut", cut=cut)
    with pytest.raises(ManifestError, match=r"shard-00001\.tar .*cut off"):
        list(Shards(lists, epochs=1).stream())
    stage = Shards(lists, epochs=2, on_error="skip")
    whole = list(stage.stream())
    assert 14 <= len(whole) < 22
    assert stage.skipped == {lists[1]: 2}  # once an epoch
    for cut_at in (1, 7, len(whole) - 1):
        assert list(stage.stream(whole[cut_at - 1][1])) == whole[cut_at:]
    with pytest.raises(ManifestError, match="cut off"):
        list(members(tmp_path / "cut" / "shard-00001.tar"))


def test_missing_empty_and_exchanged_shards(packed, tmp_path):
    lists = copy(packed[0], tmp_path / "s")
    tar = tmp_path / "s" / "shard-00001.tar"
    other = (tmp_path / "s" / "shard-00000.tar").read_bytes()
    tar.write_bytes(other)
    with pytest.raises(ManifestError, match="belongs to another archive"):
        list(read_shard(lists[1]))
    tar.unlink()
    with pytest.raises(ManifestError, match="No such file"):
        list(read_shard(lists[1]))
    Path(lists[1]).write_text("")
    with pytest.raises(ManifestError, match="the shard is empty"):
        list(read_shard(lists[1]))
    assert len(list(Shards(lists, epochs=1, on_error="skip").stream())) == 7
    with pytest.raises(ManifestError, match="none of 1 shards could be read"):
        list(Shards((lists[1],), on_error="skip").stream())
    Path(lists[1]).write_text('{"audio": "a.wav"}\n')
    with pytest.raises(ManifestError, match='names no "shard"'):
        list(read_shard(lists[1]))
    with pytest.raises(ManifestError, match="holds no shards"):
        find_shards(tmp_path)


def tar_with(path, name, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info, io.BytesIO(b""))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("../a.wav", tarfile.REGTYPE, "leads elsewhere"),
        ("a/../../b.wav", tarfile.REGTYPE, "leads elsewhere"),
        ("/etc/a.wav", tarfile.REGTYPE, "leads elsewhere"),
        ("..\\a.wav", tarfile.REGTYPE, "leads elsewhere"),
        ("a.wav", tarfile.SYMTYPE, "link or a device"),
        ("a.wav", tarfile.LNKTYPE, "link or a device"),
        ("a.wav", tarfile.FIFOTYPE, "link or a device"),
    ],
)
def test_tricks_are_refused(tmp_path, name, kind, message):
    path = tar_with(tmp_path / "t.tar", name, kind)
    with pytest.raises(ManifestError, match=message):
        list(members(path))
    write_manifest(
        tmp_path / "t.jsonl",
        [Utterance("a", name, shard=str(path), offset_bytes=512, num_bytes=0)],
    )
    with pytest.raises(ManifestError, match=message):
        list(read_shard(str(tmp_path / "t.jsonl")))


def test_tars_of_any_make(tmp_path):
    long = "深" * 60 + "/" + "x" * 90 + ".wav"
    for name, kind in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        with tarfile.open(tmp_path / f"{name}.tar", "w", format=kind) as tar:
            for member, data in (("a.wav", b"1234"), (long, b"56")):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    with (tmp_path / "own.tar").open("wb") as file:
        writer = TarWriter(file)
        own = [writer.add("a.wav", b"1234"), writer.add(long, b"56")]
        writer.close()
    assert list(members(tmp_path / "own.tar")) == own
    for path in tmp_path.glob("*.tar"):
        data = path.read_bytes()
        found = list(members(path))
        assert [(m.name, data[m.offset_bytes :][: m.num_bytes]) for m in found] == [
            ("a.wav", b"1234"),
            (long, b"56"),
        ]
    with tarfile.open(tmp_path / "z.tar", "w:gz") as tar:
        tar.add(tmp_path / "own.tar", "a")
    with pytest.raises(ManifestError, match="is compressed"):
        list(members(tmp_path / "z.tar"))
    (tmp_path / "none.tar").write_bytes(b"")
    with pytest.raises(ManifestError, match="no tar archive, empty"):
        list(members(tmp_path / "none.tar"))
