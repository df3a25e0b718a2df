"""`mooer transcribe` as a person types it, over a scripted recogniser."""

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.fakes import LoudnessVad, ScriptedWhisper, speech

import mooer.infer
import mooer.infer.speakers
from mooer.audio.wave import read_wave, write_wave
from mooer.cli.main import main
from mooer.errors import AudioError
from mooer.infer.recognizer import Recognizer
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.subtitles.rttm import Turn
from mooer.transcript import Event, Label, Segment, Transcript


class Loaded:
    """Stands in for `infer.Model`: says "first thing said", "second thing said" and so on."""

    def __init__(self):
        names = ["first", "second", "third", "fourth"]
        self.engine = ScriptedWhisper([f"{name} thing said" for name in names])
        self.recognizer = Recognizer(self.engine, LoudnessVad(), name="fake", versions={})


@pytest.fixture
def loaded(monkeypatch):
    fake = Loaded()
    monkeypatch.setattr(mooer.infer, "load", lambda *args, **kwargs: fake)
    return fake


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a", "b"):
        write_wave(folder / f"{name}.wav", speech((0.5, 0), (2, 0.5), (0.5, 0)))
    return folder


def run(*arguments):
    return main(["transcribe", *map(str, arguments)])


def test_text_goes_to_stdout_and_news_to_stderr(loaded, clips, capsys):
    assert run(clips / "a.wav") == 0
    out, err = capsys.readouterr()
    assert out == "first thing said\n"
    assert "language: en" in err


def test_many_inputs_are_told_apart(loaded, clips, capsys):
    assert run(clips) == 0
    assert capsys.readouterr().out == "== a\nfirst thing said\n== b\nsecond thing said\n"


def test_json_of_one_is_a_transcript_and_of_many_a_line_each(loaded, clips, capsys):
    assert run(clips / "a.wav", "--json", "--words") == 0
    one = Transcript.from_json(capsys.readouterr().out)
    assert [w.text for w in one.segments[0].words] == ["first", "thing", "said"]
    assert run(clips, "--format", "json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["text"] for line in lines] == [
        "second thing said",
        "third thing said",
    ]


def test_files_named_by_their_stem_are_not_done_twice(loaded, clips, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    assert run(clips, "--out", out, "-f", "srt,json") == 0
    assert sorted(p.name for p in out.iterdir()) == ["a.json", "a.srt", "b.json", "b.srt"]
    assert "first thing said" in (out / "a.srt").read_text()
    assert len(loaded.engine.decodings) == 2
    (out / "b.srt").unlink()
    assert run(clips, "--out", out, "-f", "srt,json") == 0
    assert len(loaded.engine.decodings) == 3
    assert "1 of 2 are there already" in capsys.readouterr().err
    assert run(clips / "a.wav", "--out", out, "-f", "srt,json", "--force") == 0
    assert "fourth" in (out / "a.srt").read_text()


def test_one_bad_file_does_not_stop_the_others(loaded, clips, tmp_path, capsys):
    (clips / "aa.wav").write_text("this is a text, not a sound")
    (clips / "zz.flac").write_bytes(b"")
    out = tmp_path / "out"
    assert run(clips, "--out", out) == 1
    assert sorted(p.name for p in out.iterdir()) == ["a.txt", "b.txt"]
    err = capsys.readouterr().err
    assert "2 of 4 inputs failed" in err
    assert "aa.wav" in err
    assert "Traceback" not in err


def test_ctrl_c_keeps_finished_files(loaded, clips, tmp_path, monkeypatch):
    decode, calls = loaded.engine.decode, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decode(*args, **kwargs)

    monkeypatch.setattr(loaded.engine, "decode", interrupted)
    out = tmp_path / "out"
    assert run(clips, "--out", out) == 130
    assert [p.name for p in out.iterdir()] == ["a.txt"]


def test_a_full_disk_leaves_nothing_half_written(loaded, clips, tmp_path, monkeypatch, capsys):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "out"
    assert run(clips, "--out", out) == 1
    assert list(out.iterdir()) == []
    assert "No space left" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written(loaded, clips, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(clips, "--out", tmp_path / "file" / "out") == 1
    assert "cannot write to the folder" in capsys.readouterr().err
    assert loaded.engine.decodings == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-file.wav"], "no such file"),
        (["{clips}/a.wav", "--format", "srtt"], "did you mean srt?"),
        (["{clips}/a.wav", "--format", "srt,json"], "--out"),
        (["{clips}/a.wav", "--beam", "0"], "beam size"),
        (["{clips}/a.wav", "--script", "latin"], "hans or hant"),
        (["{clips}/a.wav", "--temperatures", "hot"], "temperatures"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(loaded, clips, capsys, arguments, sentence):
    assert run(*(a.format(clips=clips) for a in arguments)) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err


def test_a_folder_without_audio(loaded, tmp_path, capsys):
    assert run(tmp_path) != 0
    assert "holds no audio" in capsys.readouterr().err


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(32_000, np.float32),
        np.full(32_000, 0.004, np.float32),
        np.zeros(1, np.float32),
    ],
)
def test_no_speech_is_told_and_is_no_failure(loaded, tmp_path, capsys, samples):
    path = tmp_path / "quiet.wav"
    write_wave(path, samples)
    assert run(path) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "no speech" in err


def test_nan_samples_are_told(loaded):
    samples = speech((2, 0.5))
    samples[100:200] = np.nan
    run = loaded.recognizer.run(samples, rate_hz=16_000)
    transcript = run.transcript(run)
    assert transcript.text == "first thing said"
    assert transcript.warnings


def test_wav_scp_and_manifest(loaded, clips, tmp_path, capsys):
    scp = tmp_path / "wav.scp"
    scp.write_text(f"utt-1 {clips / 'a.wav'}\n")
    manifest = clips / "list.jsonl"
    manifest.write_text('{"id": "utt-2", "audio": "b.wav"}\n')
    assert run(scp, manifest) == 0
    assert capsys.readouterr().out == "== utt-1\nfirst thing said\n== utt-2\nsecond thing said\n"


def test_an_id_cannot_leave_the_folder(loaded, clips, tmp_path):
    manifest = clips / "list.jsonl"
    manifest.write_text('{"id": "../../evil", "audio": "a.wav"}\n')
    out = tmp_path / "deep" / "out"
    assert run(manifest, "--out", out) == 0
    assert [p.parent for p in tmp_path.rglob("*evil*")] == [out]


def test_three_hours_do_not_fill_the_memory(loaded, tmp_path):
    import resource

    path = tmp_path / "long.wav"
    write_wave(path, speech((0.5, 0), (2, 0.5), (0.5, 0)))
    num_bytes = 3 * 3600 * 32_000
    with path.open("r+b") as file:  # a sparse tail of silence, and a header that counts it
        head = bytearray(file.read(44))
        head[4:8] = (num_bytes - 8).to_bytes(4, "little")
        head[40:44] = (num_bytes - 44).to_bytes(4, "little")
        file.seek(0)
        file.write(head)
        file.truncate(num_bytes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = loaded.recognizer.run(str(path))
    transcript = run.transcript(run)
    assert transcript.duration_s == pytest.approx(10_800, abs=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


@pytest.mark.real
def test_unknown_model_and_language_name_the_nearest(examples, capsys):
    assert run(examples / "zh.flac", "--model", "whisper-bas") != 0
    assert "whisper-base" in capsys.readouterr().err
    assert run(examples / "zh.flac", "--language", "chinesee") == 2
    assert "chinese" in capsys.readouterr().err.lower()


@pytest.mark.real
def test_real_subtitles(examples, tmp_path):
    assert run(examples, "--words", "--format", "srt,vtt,tsv,json", "--out", tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 8
    transcript = Transcript.from_json(Path(tmp_path, "zh.json").read_text())
    assert transcript.model == "whisper-base"
    assert transcript.segments[0].words


def test_audio_error_is_also_a_value_error():
    assert issubclass(AudioError, ValueError)


class Ears:
    """Hears a happy adult woman who laughs at the end."""

    def enrich(self, samples, segment):
        laugh = Event(segment.end_s - 0.5, segment.end_s, "laughter", 0.9)
        voice = {"gender": Label("female", 0.9), "age": Label("adult", 0.8)}
        return replace(segment, emotion=Label("happy", 0.9), events=(laugh,), **voice)


@pytest.fixture
def rich(monkeypatch):
    fake = Loaded()
    fake.recognizer.engine = ScriptedWhisper(["it was twenty five percent"] * 4)
    fake.recognizer.make_enricher = Ears
    monkeypatch.setattr(mooer.infer, "load", lambda *args, **kwargs: fake)
    return fake


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "it was twenty five percent"),
        (("--itn",), "it was 25%"),
        (("--punctuate",), "It was twenty five percent."),
        (("--rich",), "[en] [happy] [laughter 2.1-2.6] It was 25%."),
        (("--rich", "--tags", "emoji"), "[en] It was 25%. 😊 😄"),
        (("--rich", "--tags", "none"), "It was 25%."),
        (("--rich", "--no-itn", "--no-punctuate", "--tags", "none"), "it was twenty five percent"),
        (("--gender", "--age"), "[en] [female] [adult] it was twenty five percent"),
    ],
)
def test_what_is_heard_beside_the_words(rich, clips, capsys, options, line):
    assert run(clips / "a.wav", *options) == 0
    out = capsys.readouterr().out.splitlines()
    spoken = [text for text in out if "percent" in text or "%" in text]
    assert [re.sub(r"\d\.\d+-\d\.\d+", "2.1-2.6", text) for text in spoken] == [line]


def test_tags_are_in_files_and_labels_in_json(rich, clips, tmp_path):
    assert run(clips / "a.wav", "--rich", "--words", "--out", tmp_path, "-f", "srt,json,tsv") == 0
    assert "[happy] It was 25%. [laughter]" in (tmp_path / "a.srt").read_text()
    (said,) = [
        s for s in Transcript.from_json((tmp_path / "a.json").read_text()).segments if s.text
    ]
    assert (said.text, said.emotion.name, said.gender) == ("It was 25%.", "happy", None)
    assert [word.text for word in said.words] == ["It", "was", "twenty", "five", "percent."]
    assert "\temotion\tevents\n" in (tmp_path / "a.tsv").read_text()


def test_rich_needs_a_model_that_tells(loaded, clips, capsys):
    assert run(clips / "a.wav", "--rich", "--gender") == 2
    err = capsys.readouterr().err
    assert "fake does not tell emotions and events and gender: ask without rich, gender" in err
    assert loaded.engine.decodings == []
    assert run(clips / "a.wav", "--tags", "smileys") == 2
    assert "unknown tags 'smileys'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "num_speakers"), [(["--speakers"], None), (["--speakers", "2"], 2)]
)
def test_speakers_in_every_format(
    loaded, clips, tmp_path, monkeypatch, capsys, given, num_speakers
):
    class Diary:
        def listen(self):
            return self

        def push(self, samples):
            pass

        def finish(self, asked):
            assert asked == num_speakers
            return SimpleNamespace(turns=(Turn(0.0, 5.0, "S1"),), warnings=())

    monkeypatch.setattr(mooer.infer.speakers, "load_diarizer", Diary)
    assert run(*given, clips / "a.wav") == 0
    assert capsys.readouterr().out == "S1: first thing said\n"
    assert run(clips, *given, "--out", tmp_path, "-f", "srt,tsv,json,rttm") == 0
    assert "S1: second thing said" in (tmp_path / "a.srt").read_text()
    assert "\tspeaker\n" in (tmp_path / "a.tsv").read_text()
    assert '"speaker": "S1"' in (tmp_path / "a.json").read_text()
    assert (tmp_path / "b.rttm").read_text().startswith("SPEAKER b 1 ")


def test_speakers_and_hotwords_that_make_no_sense(loaded, clips, tmp_path, capsys):
    assert run(clips / "a.wav", "--speakers", "0") == 2
    assert "--speakers takes a number above 0" in capsys.readouterr().err
    assert run(clips / "a.wav", "--hotwords", tmp_path / "names.txt") == 2
    assert "no such file of hotwords" in capsys.readouterr().err
    (tmp_path / "names.txt").write_text("MooER 2\n")
    assert run(clips / "a.wav", "--hotwords", tmp_path / "names.txt") == 0
    assert "MooER" in loaded.engine.options[-1].hotwords


class SpokenLLM(SpeechLLMRecognizer):
    """Says "heard NAME" of each input, and nothing of those that cannot be read."""

    def __init__(self):
        super().__init__(None, LoudnessVad(), versions={})
        self.batches = []

    def transcribe_all(self, sources, options=None):
        self.batches.append(list(sources))
        for source in self.batches[-1]:
            name = Path(source).stem
            try:
                read_wave(source)
            except AudioError as error:
                yield error
                continue
            segment = Segment(0.0, 1.0, f"heard {name}", "zh", translation=f"of {name}")
            yield Transcript((segment,), "zh", 1.0)


def test_a_speech_llm_is_given_all_inputs_at_once(monkeypatch, clips, tmp_path, capsys):
    recognizer, asked = SpokenLLM(), []
    model = SimpleNamespace(recognizer=recognizer)
    monkeypatch.setattr(mooer.infer, "load", lambda *args, **kwargs: asked.append(kwargs) or model)
    (clips / "aa.wav").write_text("no sound")
    assert run(clips, "--task", "asr_ast") == 1
    out, err = capsys.readouterr()
    assert out == "== a\nheard a\nof a\n== aa\n== b\nheard b\nof b\n"
    assert "1 of 3 inputs failed" in err
    assert "skipped" not in err
    assert [len(batch) for batch in recognizer.batches] == [3]
    assert run(clips, "--out", tmp_path / "out", "--unchecked", "--device", "cpu") == 1
    assert (tmp_path / "out" / "b.txt").read_text() == "heard b\n"
    assert "the md5 check of its files is skipped" in capsys.readouterr().err
    assert [kwargs["check_md5"] for kwargs in asked] == [True, False]
    assert [kwargs["parts"]["device"] for kwargs in asked] == ["auto", "cpu"]
