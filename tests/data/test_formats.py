# ruff: noqa: E501 (rows as other toolkits write them)
"""Ours -> theirs -> ours keeps all that the format can hold, and what it cannot is said."""

import gzip
import io
import json
import tarfile
from dataclasses import fields, replace
from pathlib import Path

import pytest
from tests.data.sets import recorded

from mooer.data.convert import convert, measured
from mooer.data.formats import FORMATS, Notes, find_format
from mooer.data.pack import PackOptions, pack
from mooer.data.sound import read_sound, recordings
from mooer.data.supervision import FIELDS, Turn, Utterance, read_manifest, write_manifest
from mooer.errors import ConfigError, ManifestError

FILES = {  # where each format is written, in an empty folder
    "manifest": "m.jsonl",
    "kaldi": "kaldi",
    "mooer-shards": "tars",
    "mooer-jsonl": "raw.jsonl",
    "sensevoice": "s.jsonl",
    "osum": "o.jsonl",
    "chatml": "c.jsonl",
    "salmonn": "s.json",
    "emilia": "emilia",
    "lhotse": "cuts.jsonl.gz",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Utterances in which every field is known, as far as they can be at once."""
    _, plain = recorded(tmp_path_factory.mktemp("made"), 6)
    return [
        replace(
            one,
            text=text,
            language=language,
            emotion=emotion,
            event=event,
            gender=("female", "male")[i % 2],
            age=("adult", 31)[i % 2],
            task="asr",
            prompt="What?",
            answer="This.",
            dnsmos=3.25,
            source="made",
            licence="CC0-1.0",
            extra={"with_itn": bool(i % 2), "words": [["hi", 0, 1.5]], "style": "客服"},
        )
        for i, (one, text, language, emotion, event) in enumerate(
            zip(
                plain,
                ("hello there", "你好，世界。", "It's 5.", "a\u2028b", "こんにちは", "x"),
                ("en", "zh", "en", "en", "ja", "de"),
                ("happy", "angry", "fearful", "disgust", "calm", None),
                ("laughter", None, "music", "cough", "dog_bark", None),
                strict=True,
            )
        )
    ]


def key(utterance):
    return utterance.id


def there_and_back(name, utterances, folder):
    """What comes back, and the notes of writing."""
    format, notes = FORMATS.load(name), Notes()
    target = folder / FILES[name]
    assert format.write(target, iter(utterances), notes) == len(utterances)
    assert find_format(target) == name
    again = Notes()
    back = sorted(format.read(target, again), key=key)
    assert again.lines() == []
    return back, notes.lines()


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_holds_comes_back(name, made, tmp_path):
    held = FORMATS.load(name).holds
    given = made
    if name == "salmonn":  # its text is what the task asks for
        held |= {"answer"}
        given = [replace(u, task="chat") for u in made]
    words = {"sensevoice": 4, "osum": 6}.get(name, 6)  # of the others they have no word
    back, lost = there_and_back(name, given[:words], tmp_path)
    assert [u.id for u in back] == [u.id for u in given[:words]]
    for before, after in zip(given[:words], back, strict=True):
        for field in held - {"extra"}:
            was, now = getattr(before, field), getattr(after, field)
            if name == "sensevoice" and field == "duration_s":
                assert now == pytest.approx(was, abs=0.005)  # it counts in frames
            elif name == "salmonn" and field == "task":
                assert now == "chat"
            else:
                assert now == was, field
        if "extra" in held:
            assert after.extra.items() >= before.extra.items()
        assert abs(len(read_sound(after)) - len(read_sound(before))) < 10
    told = {line.split(" x ", 1)[1].split(":")[0] for line in lost}
    kept = {field for field in FIELDS if field in held} | {"id", "audio"}
    names = {"duration_s": "duration"}
    for field in fields(Utterance):
        if field.name != "extra" and getattr(given[0], field.name) is not None:
            said = names.get(field.name, field.name) in told
            assert said != (field.name in kept), field.name


@pytest.mark.parametrize("name", ["osum", "salmonn", "chatml", "sensevoice", "kaldi", "lhotse"])
def test_a_second_time_round_loses_nothing(name, made, tmp_path):
    first, _ = there_and_back(name, made, tmp_path)
    (tmp_path / "again").mkdir()
    second, lost = there_and_back(name, first, tmp_path / "again")
    assert second == first
    assert not [line for line in lost if "not held" in line]


@pytest.mark.parametrize("name", ["kaldi", "mooer-jsonl", "lhotse", "manifest", "mooer-shards"])
def test_parts_of_a_recording(name, made, tmp_path):
    one = Utterance("p1", made[0].audio, start_s=0.05, duration_s=0.1, text="a")
    whole = Utterance("w", made[1].audio, duration_s=made[1].duration_s, text="b")
    back, _ = there_and_back(name, [one, whole], tmp_path)
    if name == "mooer-shards":  # cut out
        assert [len(read_sound(u)) for u in back] == [1600, len(read_sound(whole))]
        return
    assert (back[0].start_s, back[0].duration_s, back[1].start_s) == (0.05, 0.1, None)
    assert read_sound(back[0]).tolist() == read_sound(one).tolist()


@pytest.mark.parametrize("name", ["sensevoice", "osum", "chatml", "salmonn", "emilia"])
def test_parts_must_be_extracted_for_the_others(name, made, tmp_path):
    one = Utterance("p1", made[0].audio, start_s=0.05, duration_s=0.1, text="a")
    write_manifest(tmp_path / "m.jsonl", [one])
    target = tmp_path / "out" / FILES[name]
    with pytest.raises(ManifestError, match="--extract DIR"):
        convert(tmp_path / "m.jsonl", target, target_format=name)
    convert(tmp_path / "m.jsonl", target, target_format=name, extract=tmp_path / "wav")
    (back,) = FORMATS.load(name).read(target, Notes())
    assert len(read_sound(back)) == 1600


def test_shards_to_files_and_tars_to_a_manifest(made, tmp_path):
    write_manifest(tmp_path / "m.jsonl", made)
    pack(tmp_path / "m.jsonl", tmp_path / "s", PackOptions(per_shard=4))
    listed = tmp_path / "s" / "manifest.jsonl"
    with pytest.raises(ManifestError, match="stands in a shard, which kaldi cannot name"):
        convert(listed, tmp_path / "k", target_format="kaldi")
    number, _ = convert(listed, tmp_path / "k", target_format="kaldi", extract=tmp_path / "f")
    assert number == 6
    assert len(list((tmp_path / "f").glob("*.flac"))) == 6

    convert(listed, tmp_path / "tars", target_format="mooer-shards")
    for source in ("tars", "tars/data.list", "tars/shards_000000000.tar"):
        convert(tmp_path / source, tmp_path / "n.jsonl", durations=True)
        back = read_manifest(tmp_path / "n.jsonl")
        assert [u.text for u in back] == [u.text for u in made]
        assert all(u.shard.endswith("shards_000000000.tar") for u in back)  # in place
        for before, after in zip(made, back, strict=True):
            assert after.duration_s == pytest.approx(before.duration_s, abs=1e-3)


def test_long_labels_of_osum(tmp_path):
    rows = [
        {"task": "<TRANSCRIBE> <GENDER>", "key": "a", "wav": "a.wav", "txt": "你好<female>"},
        {"task": "<TRANSCRIBE> <AGE> <GENDER>", "key": "b", "wav": "b.wav", "txt": "哦<adult><male>"},
        {"task": "<TRANSCRIBE> <EMOTION>", "key": "c", "wav": "c.wav", "txt": "嗯 <ANGER>"},
        {"task": "<TRANSCRIBE> <S2TCHAT>", "key": "d", "wav": "d.wav", "txt": "问<开始回答>答"},
        {"task": "<TRANSCRIBE>", "key": "e", "wav": "e.wav", "txt": "a <b> c", "lang": "cn",
         "speaker": "none", "extra": {"duration": 2.5, "age": "<ADULT>", "dataset": "x"}},
        {"task": "<NEW>", "key": "f", "wav": "f.wav", "txt": "t"},
    ]  # fmt: skip
    path = tmp_path / "o.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    a, b, c, d, e, f = FORMATS.load("osum").read(path, Notes())
    assert (a.text, a.gender, a.task) == ("你好", "female", "asr_gender")
    assert (b.text, b.age, b.gender) == ("哦", "adult", "male")
    assert (c.text, c.emotion) == ("嗯", "angry")
    assert (d.text, d.answer) == ("问", "答")
    assert (e.text, e.language, e.speaker, e.duration_s) == ("a <b> c", "zh", None, 2.5)
    assert (e.age, e.extra) == ("adult", {"dataset": "x"})
    assert f.task == "<NEW>"
    (tmp_path / "again").mkdir()
    back, _ = there_and_back("osum", [a, b, c, d, e, f], tmp_path / "again")
    for before, after in zip([a, b, c, d, f], [x for x in back if x.id != "e"], strict=True):
        assert after == replace(before, audio=after.audio)


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def test_tars_of_osum_with_their_side_files(made, tmp_path):
    sound = Path(made[0].audio).read_bytes()
    with tarfile.open(tmp_path / "o.tar", "w") as tar:
        for suffix, data in (
            ("txt", "你好<happy>".encode()),
            ("wav", sound),
            ("task", b"<TRANSCRIBE> <EMOTION>"),
            ("lang", b"cn"),
            ("speaker", b"none"),
            ("gender", b"<FEMALE>"),
            ("duration", b"1.5"),
            ("extra", b'{"dataset": "x"}'),
        ):
            add(tar, f"k.1.{suffix}", data)
        add(tar, "alone.txt", b"no sound")
    notes = Notes()
    (one,) = FORMATS.load("osum").read(tmp_path / "o.tar", notes)
    assert (one.id, one.text, one.emotion, one.gender) == ("k.1", "你好", "happy", "female")
    assert (one.language, one.duration_s, one.extra) == ("zh", 1.5, {"dataset": "x"})
    assert read_sound(one).tolist() == read_sound(made[0]).tolist()
    assert notes.lines() == ["1 x names without a sound in a tar, passed over"]


def test_chatml_of_both_styles(made, tmp_path):
    audio = made[0].audio
    rows = [
        {"messages": [{"role": "user", "content": "<audio>What?"}, {"role": "assistant", "content": "A"}], "audios": [audio]},
        {"messages": [{"role": "system", "content": "S"},
                      {"role": "user", "content": [{"type": "audio", "audio_url": audio}, {"type": "text", "text": "Q"}]},
                      {"role": "assistant", "content": "A"}, {"role": "user", "content": "More"}, {"role": "assistant", "content": "B"}], "id": "long"},
        {"messages": [{"role": "user", "content": "Hello?"}], "audios": []},
    ]  # fmt: skip
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = Notes()
    short, long = FORMATS.load("chatml").read(path, notes)
    assert (short.id, short.prompt, short.answer, short.conversation) == ("u0", "What?", "A", None)
    assert [turn.role for turn in long.conversation] == ["system", *["user", "assistant"] * 2]
    assert long.conversation[1] == Turn("user", "<audio>Q")
    assert notes.lines() == ["1 x conversations without a recording, passed over"]
    two = Utterance(
        "two",
        audio,
        conversation=(Turn("user", "<audio>Q<audio>"), Turn("assistant", "A")),
        more_audio=(made[1].audio,),
    )
    (tmp_path / "again").mkdir()
    for name in ("chatml", "manifest"):
        back, _ = there_and_back(name, [short, long, two], tmp_path / "again")
        assert back == sorted([short, long, two], key=key)
    with pytest.raises(ManifestError, match="two has several recordings, which kaldi cannot name"):
        there_and_back("kaldi", [two], tmp_path)
    assert measured(two).duration_s == pytest.approx(
        made[0].duration_s + made[1].duration_s, abs=1e-3
    )
    assert len(recordings(two)) == 2
    said, lost = there_and_back("chatml", [Utterance("t", audio, text="hi")], tmp_path / "again")
    assert said[0].answer == "hi"
    assert lost == ["1 x text: written as the answer"]


def test_tasks_of_salmonn(made, tmp_path):
    audio = made[0].audio
    given = [
        Utterance("u0", audio, text="a", task="asr"),
        Utterance("u0-2", audio, translation="b", task="ast_zh"),
        Utterance("u0-3", audio, emotion="happy", task="emotion"),
        Utterance("u0-4", audio, prompt="Who?", answer="c", task="chat"),
        Utterance("u0-5", audio, answer="d", task="phone_recognition"),
    ]
    back, lost = there_and_back("salmonn", given, tmp_path)
    assert back == given
    assert lost == ["4 x id: SALMONN has none, it will be the name of the file"]
    with pytest.raises(ManifestError, match="u0: task ast_zh needs its translation"):
        there_and_back("salmonn", [replace(given[0], task="ast_zh")], tmp_path)


def test_emilia_as_published(made, tmp_path):
    sound = Path(made[0].audio).read_bytes()
    rows = [
        {"id": f"EN_B00000_S00000_W00000{i}", "wav": f"EN_B00000/EN_B00000_S00000/mp3/EN_B00000_S00000_W00000{i}.mp3",
         "text": " You can.", "duration": 6.264, "speaker": "EN_B00000_S00000", "language": "en", "dnsmos": 3.2927,
         "phone_count": 51} for i in range(3)
    ]  # fmt: skip
    path = tmp_path / "EN_B00000.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    emilia = FORMATS.load("emilia")
    with pytest.raises(ManifestError, match="there is neither"):
        list(emilia.read(path, Notes()))
    (tmp_path / "EN_B00000.tar.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(ManifestError, match="is compressed"):
        list(emilia.read(path, Notes()))
    with tarfile.open(tmp_path / "EN_B00000.tar", "w") as tar:
        for row in rows[:2]:
            add(tar, "./" + row["wav"].partition("/")[2], sound)
    notes = Notes()
    one, two = emilia.read(path, notes)
    assert (one.text, one.dnsmos, one.extra) == ("You can.", 3.2927, {"phone_count": 51})
    assert read_sound(two).tolist() == read_sound(made[0]).tolist()
    assert notes.lines() == ["1 x lines whose sound is in no tar, passed over"]

    with tarfile.open(tmp_path / "EN-B000000.tar", "w") as tar:  # the later layout
        for row in rows:
            add(tar, f"{row['id']}.mp3", sound)
            add(tar, f"{row['id']}.json", json.dumps(row).encode())
    pairs = list(emilia.read(tmp_path / "EN-B000000.tar", Notes()))
    assert [u.id for u in pairs] == [row["id"] for row in rows]
    assert pairs[0].dnsmos == 3.2927


def test_cuts_of_other_kinds(made, tmp_path):
    recording = {
        "id": "r", "sources": [{"type": "file", "channels": [0], "source": made[0].audio}],
        "sampling_rate": 16000, "num_samples": 160000, "duration": 10.0,
    }  # fmt: skip
    cut = {
        "id": "c",
        "start": 1.0,
        "duration": 4.0,
        "channel": 0,
        "recording": recording,
        "type": "MonoCut",
    }
    rows = [
        {**cut, "supervisions": [{"id": f"s{i}", "start": i, "duration": 0.5, "text": f"t{i}", "speaker": "x"} for i in range(2)]},
        {**cut, "id": "bare", "supervisions": []},
        {**cut, "id": "whole", "start": 0, "duration": 10.0, "supervisions": []},
        {"id": "m", "tracks": [], "type": "MixedCut"},
        {**cut, "id": "u", "recording": {**recording, "sources": [{"type": "url", "source": "http://x"}]}},
    ]  # fmt: skip
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = Notes()
    got = list(FORMATS.load("lhotse").read(path, notes))
    assert [(u.id, u.start_s, u.duration_s, u.text) for u in got] == [
        ("s0", 1.0, 0.5, "t0"),
        ("s1", 2.0, 0.5, "t1"),
        ("bare", 1.0, 4.0, None),
        ("whole", None, 10.0, None),
    ]
    assert len(notes.lines()) == 2


def test_kaldi_as_found(made, tmp_path):
    (tmp_path / "wav.scp").write_text(f"rec1 {made[0].audio}\nrec2 {made[1].audio}\n")
    (tmp_path / "text").write_text("u1 hello  world\nu2\nu9 nowhere\n")
    (tmp_path / "segments").write_text("u1 rec1 0.00 1.50\nu2 rec2 0.25 1.00\n")
    (tmp_path / "utt2spk").write_text("u1 s1\nu2 s1\n")
    (tmp_path / "spk2gender").write_text("s1 f\n")
    notes = Notes()
    one, two = FORMATS.load("kaldi").read(tmp_path / "wav.scp", notes)
    assert (one.text, one.start_s, one.duration_s, one.gender) == ("hello  world", 0, 1.5, "female")
    assert (two.text, two.start_s, two.duration_s) == ("", 0.25, 0.75)
    assert notes.lines() == ["1 x lines of text without a recording"]
    (tmp_path / "segments").write_text("u1 rec3 0 1\n")
    with pytest.raises(ManifestError, match=r"wav\.scp has no 'rec3'"):
        list(FORMATS.load("kaldi").read(tmp_path, Notes()))
    (tmp_path / "segments").write_text("u1 rec1 2 1\n")
    with pytest.raises(ManifestError, match="before its start"):
        list(FORMATS.load("kaldi").read(tmp_path, Notes()))
    with pytest.raises(ManifestError, match="has spaces"):
        there_and_back("kaldi", [replace(made[0], id="a b")], tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("mooer-jsonl", '{"key": "a", "txt": "b"}', 'line 1 has no "wav"'),
        ("mooer-jsonl", '{"key": "a", "wav": "b", "start": 2, "end": 1}', '"start" 2 and "end" 1'),
        ("sensevoice", '{"key": "a", "source": "b", "target": 3}', '"target" must be a string'),
        ("sensevoice", '{"key": "a", "source": "b", "source_len": -1}', "0 or more"),
        ("osum", '{"key": "a", "wav": "b", "task": []}', '"task" must be a string'),
        ("chatml", '{"messages": []}', 'no "messages"'),
        ("chatml", '{"messages": [{"role": "user"}]}', "a message must be"),
        (
            "chatml",
            '{"messages": [{"role": "user", "content": "x"}], "audios": ["a"]}',
            "0 <audio>",
        ),
        ("salmonn", '{"annotation": {}}', 'no "annotation"'),
        ("emilia", '{"wav": "a/b.mp3"}', "there is neither"),
        ("lhotse", '{"id": "a", "recording": {"sources": [{"type": "file"}]}}', 'no "source"'),
        ("manifest", '{"id": "a"}', 'no "audio"'),
    ],
)
def test_bad_lines_are_named(name, line, message, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ManifestError, match=message):
        list(FORMATS.load(name).read(path, Notes()))


def test_conversions_that_make_no_sense(made, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"foo": 1}\n')
    with pytest.raises(ManifestError, match="looks like no known list: name its format by --from"):
        convert(path, tmp_path / "y.jsonl")
    with pytest.raises(ConfigError, match="did you mean lhotse"):
        convert(path, tmp_path / "y.jsonl", source_format="lhots")
    path.write_text(f'{{"key": "a", "wav": "{made[0].audio}", "txt": "t"}}\n' * 2)
    with pytest.raises(ManifestError, match="'a' comes twice"):
        convert(path, tmp_path / "y.jsonl")
    path.write_text('{"type": "PaddingCut"}\n')
    with pytest.raises(ManifestError, match="nothing was read"):
        convert(path, tmp_path / "y.jsonl", source_format="lhotse")
    with pytest.raises(ManifestError, match="is a file"):
        convert(path, path, source_format="lhotse", target_format="kaldi")
    assert not (tmp_path / "y.jsonl").exists()
