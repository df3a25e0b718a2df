import json

import numpy as np
import pytest

from mooer.audio.wave import write_wave
from mooer.data.manifest import Item
from mooer.errors import ConfigError, ManifestError
from mooer.evaluate.report import to_json
from mooer.evaluate.speakers import SpeakerPlan, reference_turns, run_speakers, speakers_table
from mooer.infer.speakers import Diarization
from mooer.subtitles.rttm import Turn, to_rttm

TURNS = (Turn(0, 1, "anna"), Turn(1, 2, "ben"))
ROWS = [["anna", 0, 1], ["ben", 1, 2]]


class Fake:
    """Says that one person speaks all the time, or as many as it is told, one after the other."""

    def __init__(self):
        self.told = []

    def diarize(self, blocks, num_speakers=None):
        duration_s = sum(map(len, blocks)) / 16_000
        self.told.append(num_speakers)
        num = num_speakers or 1
        step = duration_s / num
        turns = tuple(Turn(i * step, (i + 1) * step, f"S{i + 1}") for i in range(num))
        return Diarization(turns, duration_s)


def manifest(tmp_path, *rows, name="meetings"):
    for row in rows:
        if "missing" not in row["audio"]:
            write_wave(tmp_path / row["audio"], np.zeros(32_000, np.float32))
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_set_is_scored(tmp_path):
    path = manifest(
        tmp_path,
        {"audio": "a.wav", "segments": ROWS},
        {"audio": "b.wav", "segments": ROWS[:1]},
        {"audio": "missing.wav", "segments": ROWS},
    )
    seen = []
    report = run_speakers(SpeakerPlan((path,)), Fake, on_progress=lambda *x: seen.append(x))
    numbers = report["sets"]["meetings"]
    assert seen[-1] == (3, 3)
    assert numbers["num_utterances"] == 2
    assert numbers["total_s"] == 3
    assert (numbers["confusion_s"], numbers["false_alarm_s"], numbers["missed_s"]) == (1, 1, 0)
    assert numbers["der"] == pytest.approx(2 / 3)
    assert numbers["counted_right"] == 1
    assert [row["der"] for row in report["utterances"]["meetings"]] == [0.5, 1.0]
    assert report["failures"][0]["id"] == "missing"
    assert report["task"] == json.loads(to_json(report))["task"] == "diarization"
    table = speakers_table(report).splitlines()
    assert table[2].startswith("| meetings | 2 | 66.7 | 0.0 | 33.3 | 33.3 | 1 of 2 |")
    assert len({line.count("|") for line in table}) == 1


def test_the_number_is_told_on_request(tmp_path):
    path = manifest(tmp_path, {"audio": "a.wav", "segments": ROWS})
    fake = Fake()
    report = run_speakers(SpeakerPlan((path,), known_speakers=True), lambda: fake)
    assert fake.told == [2]
    assert report["sets"]["meetings"]["der"] == 0


def test_an_rttm_is_a_reference(tmp_path):
    (tmp_path / "one.rttm").write_text(to_rttm(TURNS, "whatever"))
    (tmp_path / "all.rttm").write_text(to_rttm(TURNS, "a") + to_rttm(TURNS[:1], "b"))
    audio = str(tmp_path / "b.wav")
    assert reference_turns(Item("x", audio, {"rttm": "one.rttm"})) == TURNS
    assert reference_turns(Item("x", audio, {"rttm": "all.rttm"})) == TURNS[:1]
    assert reference_turns(Item("a", audio, {"rttm": "all.rttm"})) == TURNS
    with pytest.raises(ManifestError, match="holds no turns of c: it has a, b"):
        reference_turns(Item("c", str(tmp_path / "c.wav"), {"rttm": "all.rttm"}))
    with pytest.raises(ManifestError, match="cannot read"):
        reference_turns(Item("c", audio, {"rttm": "none.rttm"}))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "hello"}, "says not who speaks when"),
        ({"segments": [["hello", 0, 1, "anna"]]}, r"not \[speaker, start, end\]"),
        ({"segments": [["anna", "now", 1]]}, "not"),
        ({"segments": [None]}, "None"),
    ],
)
def test_lines_without_turns_are_told_before_anything_is_loaded(tmp_path, fields, words):
    path = manifest(tmp_path, {"audio": "a.wav", **fields})
    with pytest.raises(ManifestError, match=words):
        run_speakers(SpeakerPlan((path,)), lambda: pytest.fail("it was loaded"))


def test_a_silent_reference_has_no_rate(tmp_path):
    path = manifest(tmp_path, {"audio": "a.wav", "segments": []})
    report = run_speakers(SpeakerPlan((path,)), Fake)
    assert report["sets"]["meetings"]["der"] is None
    assert "| – |" in speakers_table(report)


def test_limit_and_same_names(tmp_path):
    (tmp_path / "other").mkdir()
    rows = [{"audio": "a.wav", "segments": ROWS}, {"audio": "b.wav", "segments": ROWS}]
    paths = (manifest(tmp_path, *rows), manifest(tmp_path / "other", *rows))
    report = run_speakers(SpeakerPlan(paths, limit=1), Fake)
    assert {name: s["num_utterances"] for name, s in report["sets"].items()} == {
        "meetings": 1,
        "meetings-2": 1,
    }


def test_a_collar_that_cannot_be():
    with pytest.raises(ConfigError, match="collar"):
        SpeakerPlan(("x",), collar_s=-1)
