import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.speak.tones import DyingSpeaker, NativeSpeaker, ToneSpeaker

from mooer.audio.wave import read_wave
from mooer.data.texts import Line
from mooer.errors import ConfigError, ModelError
from mooer.infer.synthesise import SynthOptions, make_voices, synthesise
from mooer.speak import Voice

LINES = [
    Line(f"s-{i}", f"sentence number {i}", "en", (f"第{i}句",), "zh", "somebody") for i in range(12)
]
OPTIONS = SynthOptions(num_voices=5, noise=True, rooms=True)


class HoarseSpeaker(ToneSpeaker):
    voices = ("low",)


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_a_set_has_a_clip_a_line_as_the_manifest_says(tmp_path):
    report = synthesise(LINES, tmp_path, OPTIONS, speaker=ToneSpeaker)
    rows = manifest(tmp_path)
    assert [row["id"] for row in rows] == [line.id for line in LINES]
    for row, line in zip(rows, LINES, strict=True):
        assert row["text"] == line.text
        assert row["translation"] == list(line.translation)
        assert (row["language"], row["translation_language"]) == ("en", "zh")
        assert row["attribution"] == "somebody"
        samples = read_wave(tmp_path / row["audio"])
        assert len(samples) / 16_000 == pytest.approx(row["duration"], abs=0.001)
        assert 0.2 < np.abs(samples).max() <= 0.9
        assert 0.85 <= row["speed"] <= 1.2
    assert len({row["speaker"] for row in rows}) in range(2, 6)
    assert any("snr_db" in row for row in rows)
    assert not all("reverb_s" in row for row in rows)
    assert report.num_clips == 12
    assert report.seconds == pytest.approx(sum(row["duration"] for row in rows), abs=0.01)


def test_two_processes_make_the_same_set_as_one(tmp_path):
    for workers in (1, 2):
        synthesise(LINES, tmp_path / str(workers), OPTIONS, speaker=ToneSpeaker, workers=workers)
    assert manifest(tmp_path / "1") == manifest(tmp_path / "2")
    for row in manifest(tmp_path / "1"):
        one, two = ((tmp_path / n / row["audio"]).read_bytes() for n in "12")
        assert one == two


def test_an_interrupted_run_goes_on_to_the_same_set(tmp_path):
    synthesise(LINES, tmp_path / "whole", OPTIONS, speaker=ToneSpeaker)
    part = tmp_path / "part"

    def stop(done, total, seconds):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(LINES, part, OPTIONS, speaker=ToneSpeaker, on_progress=stop)
    assert len(manifest(part)) == 5
    with (part / "manifest.jsonl").open("a") as file:
        file.write('{"id": "s-5", "aud')  # as a kill leaves it
    (part / manifest(tmp_path / "whole")[2]["audio"]).unlink()  # and a clip that was lost
    report = synthesise(LINES, part, OPTIONS, speaker=ToneSpeaker)
    assert report.num_before == 5
    assert manifest(part) == manifest(tmp_path / "whole")
    assert len(list((part / "audio").iterdir())) == 12


@pytest.mark.slow
def test_a_killed_process_loses_and_doubles_nothing(tmp_path):
    code = (
        "from pathlib import Path; from tests.infer.test_synthesise import *\n"
        "lines = [replace(LINES[0], id=f's-{i}', text=f'{i} ' * 40) for i in range(400)]\n"
        "if __name__ == '__main__':\n"
        f"    synthesise(lines, Path({str(tmp_path)!r}), OPTIONS, speaker=ToneSpeaker)"
    )
    for kill in (True, True, False):
        before = len(manifest(tmp_path)) if (tmp_path / "manifest.jsonl").exists() else 0
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
        if kill:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                path = tmp_path / "manifest.jsonl"
                if path.exists() and path.read_bytes().count(b"\n") >= before + 20:
                    break
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
        assert (process.wait(120) == 0) is not kill
    ids = [row["id"] for row in manifest(tmp_path)]
    assert ids == [f"s-{i}" for i in range(400)]


def test_workers_end_with_a_process_that_is_killed(tmp_path):
    code = (
        "from pathlib import Path; from tests.infer.test_synthesise import *\n"
        "if __name__ == '__main__':\n"
        f"    synthesise(LINES, Path({str(tmp_path)!r}), OPTIONS, speaker=ToneSpeaker,"
        " hours=9, workers=2)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (tmp_path / "manifest.jsonl").exists() and manifest(tmp_path):
                break
            time.sleep(0.01)
        process.kill()
        process.communicate(timeout=30)  # workers hold the pipe open too
    assert manifest(tmp_path)


def test_hours_take_the_text_again_with_other_voices(tmp_path):
    hours = 40 / 3600
    report = synthesise(LINES[:4], tmp_path, OPTIONS, speaker=ToneSpeaker, hours=hours)
    rows = manifest(tmp_path)
    assert 40 <= report.seconds < 44
    assert len({row["id"] for row in rows}) == len(rows) > 12
    assert {"s-0", "s-0-take2"} <= {row["id"] for row in rows}  # s-0-2 is an encoded variant
    by_text = [row["speaker"] for row in rows if row["text"] == LINES[0].text]
    assert len(set(by_text)) > 1
    more = synthesise(LINES[:4], tmp_path, OPTIONS, speaker=ToneSpeaker, hours=2 * hours)
    assert more.num_before == len(rows)
    assert manifest(tmp_path)[: len(rows)] == rows


def test_what_cannot_be_spoken_is_left_out_and_told(tmp_path):
    lines = [LINES[0], replace(LINES[1], text="…"), LINES[2]]
    report = synthesise(lines, tmp_path, OPTIONS, speaker=ToneSpeaker)
    assert [row["id"] for row in manifest(tmp_path)] == ["s-0", "s-2"]
    assert report.skipped == [{"id": "s-1", "reason": "there is nothing to say in '…'"}]


def test_a_text_that_cannot_be_spoken_at_all_ends(tmp_path):
    lines = [replace(LINES[0], text="…")]
    report = synthesise(lines, tmp_path, OPTIONS, speaker=ToneSpeaker, hours=1.0)
    assert report.num_clips == 0
    assert report.rtf is None


def test_other_settings_or_texts_for_the_same_folder_are_refused(tmp_path):
    synthesise(LINES, tmp_path, OPTIONS, speaker=ToneSpeaker)
    with pytest.raises(ConfigError, match="seed: 0 then, 1 now"):
        synthesise(LINES, tmp_path, replace(OPTIONS, seed=1), speaker=ToneSpeaker)
    with pytest.raises(ConfigError, match="own_voices: 3 then, 1 now"):
        synthesise(LINES, tmp_path, OPTIONS, speaker=HoarseSpeaker)
    with pytest.raises(ConfigError, match="another text"):
        synthesise([replace(LINES[0], text="else")], tmp_path, OPTIONS, speaker=ToneSpeaker)


def test_a_process_that_dies_is_told_and_the_rest_kept(tmp_path):
    lines = [*LINES[:6], replace(LINES[6], text="DIE"), *LINES[7:]]
    with pytest.raises(ModelError, match="fewer workers"):
        synthesise(lines, tmp_path, OPTIONS, speaker=DyingSpeaker, workers=2)
    rows = manifest(tmp_path)
    assert [row["id"] for row in rows] == [line.id for line in lines[: len(rows)]]


def test_opus(tmp_path):
    synthesise(LINES[:1], tmp_path, replace(OPTIONS, format="opus"), speaker=ToneSpeaker)
    [row] = manifest(tmp_path)
    assert row["audio"].endswith(".opus")
    samples = read_wave(tmp_path / row["audio"])
    assert len(samples) / 16_000 == pytest.approx(row["duration"], abs=0.001)


def test_voices_are_as_many_as_asked_for():
    assert len(set(map(str, make_voices(("a", "b", "c"), SynthOptions(num_voices=40))))) == 40
    assert len(make_voices(("a",), SynthOptions(num_voices=40))) == 1


def test_each_language_is_spoken_by_its_natives(tmp_path):
    both = [*LINES[:4], *(Line(f"z-{i}", f"第{i}句话", "zh") for i in range(4))]
    synthesise(both, tmp_path, OPTIONS, speaker=NativeSpeaker)
    names = {row["language"]: set() for row in manifest(tmp_path)}
    for row in manifest(tmp_path):
        names[row["language"]] |= {name for name, _ in Voice.parse(row["speaker"]).parts}
    assert names == {"en": {"low", "mid"}, "zh": {"high"}}


def test_noise_and_rooms_are_as_the_manifest_says(tmp_path):
    clean = replace(OPTIONS, noise=False, rooms=False)
    synthesise(LINES, tmp_path / "clean", clean, speaker=ToneSpeaker)
    synthesise(LINES, tmp_path / "noisy", replace(clean, noise=True), speaker=ToneSpeaker)
    synthesise(LINES, tmp_path / "roomy", replace(clean, rooms=True), speaker=ToneSpeaker)
    tails = []
    for row, noisy, roomy in zip(
        *map(manifest, (tmp_path / n for n in ("clean", "noisy", "roomy"))), strict=True
    ):
        assert row["speaker"] == noisy["speaker"] == roomy["speaker"]
        one, two, three = (
            read_wave(tmp_path / folder / row["audio"]) for folder in ("clean", "noisy", "roomy")
        )
        assert np.array_equal(one, three) is ("reverb_s" not in roomy)
        assert np.array_equal(one, two) is ("snr_db" not in noisy)
        if "snr_db" in noisy:
            scale = np.dot(one, two) / np.dot(one, one)  # loudness is set after the noise
            noise = two - scale * one
            snr_db = 10 * np.log10(np.sum((scale * one) ** 2) / np.sum(noise**2))
            assert snr_db == pytest.approx(noisy["snr_db"], abs=1.0)
        if "reverb_s" in roomy:
            tails.append(np.abs(three[-1500:]).mean() / (np.abs(one[-1500:]).mean() + 1e-9))
    assert min(tails) > 2  # the room rings where the clean clip is silent
