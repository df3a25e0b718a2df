"""`mooer agent`: replay and bench, with a session whose manners are known."""

import json
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.agent.parrot import Parrot, tone

import mooer.speak
from mooer.agent.jobs import VirtualJobs
from mooer.agent.options import AgentOptions
from mooer.audio.wave import read_wave, write_wave
from mooer.cli import agent_parts
from mooer.cli import main as command_line
from mooer.cli.agent import user_blocks
from mooer.cli.agent_parts import Agent
from mooer.cli.main import main
from mooer.transcript import Transcript


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    monkeypatch.setitem(command_line.COMMANDS, "agent", ("mooer.cli.agent:app", ""))


@pytest.fixture
def opened(monkeypatch):
    found = SimpleNamespace(manners={"answer_s": 4.0}, sessions=[], jobs=[], minds=[])

    def open_agent(wanted):
        found.wanted = wanted
        found.minds.append(wanted.mind)

        def open_session(options, jobs):
            found.sessions.append(Parrot(**found.manners))
            found.jobs.append(jobs)
            return found.sessions[-1]

        return Agent("parrot", AgentOptions(), open_session)

    monkeypatch.setattr(agent_parts, "open_agent", open_agent)
    return found


class Tone:
    rate_hz = 24_000
    voices = ("a", "b", "c")
    languages = ("en", "zh")

    def speak(self, text, language, voice, *, speed=1.0):
        return tone(0.1 * len(text) if language == "zh" else 0.03 * len(text), 24_000)


@pytest.fixture
def speaker(monkeypatch):
    monkeypatch.setattr(mooer.speak, "load_speaker", lambda name, **options: Tone())


def run(*arguments):
    return main(["agent", *map(str, arguments)])


def test_a_recording_gives_the_files_of_a_talk(opened, tmp_path, capsys):
    write_wave(tmp_path / "a.wav", tone(1.0))
    assert run("replay", tmp_path / "a.wav", "--out", tmp_path / "out", "--mind", "mini") == 0
    captured = capsys.readouterr()
    assert "you: hello there" in captured.out
    assert "agent: so it is" in captured.out
    assert f"written to {tmp_path / 'out'}" in captured.err
    assert opened.wanted.mind == "mini"
    assert isinstance(opened.jobs[0], VirtualJobs)
    assert opened.sessions[0].is_closed
    transcript = Transcript.from_json((tmp_path / "out" / "transcript.json").read_text())
    assert [segment.speaker for segment in transcript.segments] == ["user", "agent"]
    assert transcript.model == "parrot"


def test_of_a_recorded_talk_the_user_alone_is_heard(opened, tmp_path, capsys):
    write_wave(tmp_path / "a.wav", np.concatenate([np.zeros(16_000, "f4"), tone(1.0)]))
    assert run("replay", tmp_path / "a.wav", "--out", tmp_path / "talk", "--json") == 0
    first = capsys.readouterr().out
    for again in (tmp_path / "talk", tmp_path / "talk" / "conversation.wav"):
        assert run("replay", again, "--json") == 0
        assert capsys.readouterr().out == first  # the agent's own side is not heard
    user = np.concatenate(list(user_blocks(tmp_path / "talk")))
    np.testing.assert_allclose(user[16_000:32_000], tone(1.0), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("nothing.wav", 2, "no such file"), (".", 2, "is no recorded conversation")],
)
def test_what_is_no_recording_is_told_before_weights_are_loaded(
    opened, tmp_path, capsys, name, code, said
):
    assert run("replay", tmp_path / name) == code
    assert said in capsys.readouterr().err
    assert not hasattr(opened, "wanted")


def test_a_damaged_conversation_is_one_sentence(opened, tmp_path, capsys):
    (tmp_path / "events.jsonl").touch()
    (tmp_path / "conversation.wav").write_bytes(b"RIFF1234")
    assert run("replay", tmp_path) == 1
    assert "cannot be read" in capsys.readouterr().err


def real_speech(folder):
    rows = []
    for place in range(4):
        name = f"{place}.wav"
        sound = np.concatenate([np.zeros(4000, "f4"), tone(1.5), np.zeros(4000, "f4")])
        write_wave(folder / name, sound)
        rows.append({"audio": name, "text": "so it is", "language": "en", "duration": 2.0})
    write_wave(folder / "rain.wav", tone(2.0))
    rows.append({"audio": "rain.wav", "event": "rain", "language": None, "text": None})
    (folder / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_all_kinds_are_played_and_scored(opened, speaker, tmp_path, capsys):
    real_speech(tmp_path)
    arguments = ["--speech", tmp_path, "--num", 1, "--languages", "en", "--keep"]
    assert run("bench", "--out", tmp_path / "out", *arguments) == 0
    captured = capsys.readouterr()
    table = [line for line in captured.out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 7
    assert (tmp_path / "out" / "bench.md").read_text() == captured.out
    data = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert data["agents"]["pause"] == "parrot"
    assert sorted(opened.minds) == ["embedded", "reciter"]
    assert data["speech"] == ["set.jsonl"]
    by_kind = {row["kind"]: row for row in data["summary"]}
    assert by_kind["turn_taking"]["take_over_rate"] == 1.0
    assert by_kind["turn_taking"]["latency_s"]["median"] == pytest.approx(0.7, abs=0.05)
    assert by_kind["pause"]["take_over_rate"] in (0.0, 1.0)
    assert by_kind["interruption"]["tested"] == 1
    assert by_kind["interruption"]["stopped_in_time_rate"] == 1.0
    assert data["waterfall"]["voice_to_voice"]["num"] > 0
    assert len(opened.sessions) == 7  # each its own
    assert all(session.is_closed for session in opened.sessions)
    kept = tmp_path / "out" / "runs" / "en-interruption-0"
    assert json.loads((kept / "outcome.json").read_text())["ended"] is True
    with wave.open(str(kept / "conversation.wav")) as file:
        assert file.getnchannels() == 2
    for name in ("bench.png", "waterfall.png"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    assert opened.wanted.changes == (("barge_in", "pause"),)


def test_scenarios_can_be_played_again(opened, speaker, tmp_path, capsys):
    out = ["bench", "--out", tmp_path / "out", "--num", 2, "--kinds", "turn-taking,pause"]
    assert run(*out, "--languages", "zh", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in first["summary"]] == ["turn_taking", "pause"]
    scenarios = tmp_path / "out" / "scenarios"
    again = ["bench", "--scenarios", scenarios, "--out", tmp_path / "b", "--json"]
    assert run(*again, "--kinds", "pause", "--barge-in", "wait") == 0
    second = json.loads(capsys.readouterr().out)
    assert second["summary"] == first["summary"][1:]
    assert second["barge_in"] == "wait"


def test_without_real_speech_it_is_said_that_it_is_spoken(opened, speaker, tmp_path, capsys):
    arguments = ["--num", 1, "--kinds", "turn_taking", "--languages", "en"]
    assert run("bench", "--out", tmp_path, *arguments) == 0
    assert "spoken ones take their place" in capsys.readouterr().err
    assert read_wave(tmp_path / "scenarios" / "en-turn_taking-0-0.wav").any()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--kinds", "party"], 2, "unknown kind 'party'"),
        (["--languages", "xx"], 2, "no scenarios in 'xx'"),
        (["--speech", "nothing.jsonl"], 1, "is no manifest of speech"),
        (["--scenarios", "nothing"], 1, "is no list of scenarios"),
    ],
)
def test_wrong_options_are_named(opened, speaker, tmp_path, capsys, arguments, code, said):
    assert run("bench", "--out", tmp_path, *arguments) == code
    assert said in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.slow
def test_real_models_answer_a_real_sentence(tmp_path, capsys):
    example = Path(__file__).parents[2] / "examples" / "en.flac"
    assert run("replay", example, "--out", tmp_path, "--language", "en", "--speaker", "espeak") == 0
    transcript = Transcript.from_json((tmp_path / "transcript.json").read_text())
    assert {segment.speaker for segment in transcript.segments} == {"user", "agent"}
    falls = json.loads((tmp_path / "waterfall.json").read_text())["answers"]
    assert any(fall["is_played"] for fall in falls)
