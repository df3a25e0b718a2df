"""Each fault of a manifest is found, named with its line, and nothing else is."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.sets import recorded

from mooer.audio.wave import write_wave
from mooer.data.statistics import statistics, to_text
from mooer.data.supervision import Utterance, to_row
from mooer.data.validate import Bounds, check_text, loudest_db, validate
from mooer.errors import ConfigError, ManifestError


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    _, made = recorded(tmp_path_factory.mktemp("good"), 5)
    return [replace(u, text="hello there") for u in made]


def faulty(good, folder):
    """Lines of every fault, and the kinds that are to be found: line -> kind."""
    sound = np.sin(np.arange(160_000) / 9).astype(np.float32) / 4
    for name, samples in (
        ("long.wav", sound),
        ("short.wav", sound[:800]),
        ("silent.flac", 0 * sound[:8000]),
        ("faint.flac", sound[:8000] * 1e-4),
    ):
        write_wave(folder / name, samples)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no sound")
    whole = Path(good[0].audio).read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])

    def line(name, **known):
        known = {"text": "one two three", "language": "en", **known}
        return json.dumps(to_row(Utterance(name.partition(".")[0], str(folder / name), **known)))

    one = to_row(good[1])
    return [
        (json.dumps(to_row(good[0])), None),
        ("{", "line"),
        ('{"audio": 3}', "line"),
        (json.dumps({**one, "id": good[0].id}), "duplicate"),
        (line("gone.wav"), "unreadable"),
        (line("empty.wav"), "unreadable"),
        (line("text.wav"), "unreadable"),
        (line("long.wav", text="a b c d e f g h"), "too long"),
        (line("short.wav", text="a"), "too short"),
        (line("silent.flac"), "silent"),
        (line("faint.flac"), "silent"),
        (line("cut.wav", duration_s=good[0].duration_s), "duration"),
        (json.dumps({**one, "id": "lie", "duration": 9.5}), "duration"),
        (json.dumps({**one, "id": "fast", "text": "word " * 50}), "rate"),
        (json.dumps({**one, "id": "slow", "audio": str(folder / "long.wav"), "duration": 10.0,
                     "text": "word"}), "rate"),
        (json.dumps({**one, "id": "zh", "text": "hello", "language": "zh"}), "language"),
        (json.dumps({**one, "id": "en", "text": "你好", "language": "en"}), "language"),
        (json.dumps({**one, "id": "mute", "text": " ... "}), "no text"),
        (json.dumps(to_row(good[2])), None),
    ]  # fmt: skip


@pytest.mark.parametrize("num_workers", [1, 2])
def test_every_fault_is_found_at_its_line(good, tmp_path, num_workers):
    rows = faulty(good, tmp_path)
    (tmp_path / "m.jsonl").write_text("".join(row + "\n" for row, _ in rows))
    seen = []
    report = validate(
        tmp_path / "m.jsonl",
        Bounds(max_s=9.0),
        num_workers=num_workers,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    wanted = {n: kind for n, (_, kind) in enumerate(rows, 1) if kind}
    found = {}
    for problem in report.problems:
        found.setdefault(problem.line, set()).add(problem.kind)
    assert found.keys() - {15} == wanted.keys() - {15}
    for number, kind in wanted.items():
        assert kind in found[number], (number, found[number])
    assert found[15] == {"too long", "rate"}
    assert report.num_lines == len(rows)
    assert report.num_bad_lines == len(wanted)
    assert report.duration_s > 20
    assert seen[-1] == (len(rows), len(rows))
    text = report.to_text(max_examples=1)
    assert "unreadable: 3\n  line 5 gone: " in text
    assert "… and 2 more" in text
    told = json.loads(json.dumps(report.to_dict()))
    assert told["counts"]["duration"] == 2
    assert told["problems"][0]["line"] == 2


def test_a_good_manifest_has_no_problems(good, tmp_path):
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(to_row(u)) + "\n" for u in good))
    report = validate(tmp_path / "m.jsonl")
    assert (report.problems, report.num_bad_lines) == ([], 0)
    assert report.duration_s == pytest.approx(sum(u.duration_s for u in good), abs=1e-3)
    assert "none with problems" in report.to_text()


def test_without_sound_only_the_list_is_examined(tmp_path):
    rows = [{"audio": "gone.wav", "duration": 40}, {"audio": "x.wav", "duration": 3}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert validate(tmp_path / "m.jsonl", Bounds(reads_sound=False)).counts == {"too long": 1}
    strict = Bounds(reads_sound=False, needs_text=True)
    assert validate(tmp_path / "m.jsonl", strict).counts == {"no text": 2, "too long": 1}


def test_texts_that_mix_scripts_and_languages_without_a_script():
    def kinds(text, language, duration_s=3.0):
        one = Utterance("a", "a.wav", text=text, language=language)
        return [kind for kind, _ in check_text(one, duration_s, Bounds())]

    assert kinds("学Java Script这些啊", "zh") == []
    assert kinds("Привет, как дела", "ru") == []
    assert kinds("hello there", None) == []
    assert kinds("こんにちは世界", "ja") == []
    assert kinds("全部中文", "en") == ["language"]
    assert kinds("好" * 100, "zh") == ["rate"]
    assert kinds("hello", "en", None) == []


def test_lists_that_cannot_be_examined(tmp_path):
    with pytest.raises(ManifestError, match="cannot read"):
        validate(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text("\n")
    with pytest.raises(ManifestError, match="lists nothing"):
        validate(tmp_path / "m.jsonl")
    with pytest.raises(ConfigError, match="min < max"):
        Bounds(5, 1)


def test_loudness():
    assert loudest_db(np.zeros(9, np.float32)) == -np.inf
    assert loudest_db(np.zeros(0, np.float32)) == -np.inf
    burst = np.zeros(16_000, np.float32)
    burst[8000:9600] = 0.5
    assert loudest_db(burst) == pytest.approx(-6.02, abs=0.1)


def test_statistics():
    some = [
        Utterance(f"u{i}", "a.wav", duration_s=float(i), text="ab", language=("en", "zh")[i % 2],
                  speaker=f"s{i % 3}")
        for i in range(1, 11)
    ]  # fmt: skip
    found = statistics([*some, Utterance("bare", "b.wav")])
    assert (found["num_utterances"], found["num_speakers"], found["num_chars"]) == (11, 3, 20)
    assert found["hours"] == round(55 / 3600, 4)
    assert found["seconds"] == {"0%": 0, "5%": 0, "50%": 5, "95%": 10, "100%": 10}
    assert found["known"]["duration"] == 10
    assert found["hours_by"]["language"] == {"en": round(30 / 3600, 4), "zh": round(25 / 3600, 4)}
    assert "11 utterances" in to_text(found)
    assert statistics([])["seconds"]["50%"] == 0
