"""Every client against a live server: what it prints, and how it says what went wrong."""

import json
import os
import pty
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.clients.programs import CLIENTS, Program
from tests.clients.scripted import HEARD, REASON, rude, scripted
from tests.serve.stand import wav

FOUR = "four four four four"
NO_SERVER = "http://127.0.0.1:9"  # a port on which nothing may listen
commands = pytest.mark.parametrize("command", ["transcribe", "captions"])


def good(ran):
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def failed(ran, *parts, out=""):
    """Exit code 1, nothing more printed, and one sentence that has all of these."""
    assert (ran.code, ran.out) == (1, out), ran
    assert ran.err.startswith("error: "), ran.err
    assert ran.err.count("\n") == 1, ran.err
    for part in parts:
        assert part in ran.err
    return True


def test_a_recording_as_json(program, stand):
    ran = program.run("transcribe", stand.clip, "--url", f"{stand.open}/v1/", "--format", "json")
    assert json.loads(good(ran))["text"] == FOUR


def test_a_recording_to_chinese_text_with_a_key(program, stand):
    ran = program.run(
        *("transcribe", stand.clip, "--url", stand.locked, "--key", stand.key, "--language", "zh")
    )
    assert good(ran) == "四四四四\n"


def test_chinese_captions_with_a_key_of_the_environment(streamer, stand):
    ran = streamer.run(
        *("captions", stand.clip, "--url", stand.locked, "--fast", "--language", "zh"),
        key=stand.key,
    )
    assert good(ran) == "四四四四\n"


def test_on_a_terminal_words_stand_in_place_as_they_are_said(programs, stand, tmp_path):
    clip = tmp_path / "two.wav"
    clip.write_bytes(wav(0.2, 1.0))
    with ThreadPoolExecutor() as pool:  # at once, for they wait most of their time
        found = pool.map(lambda one: on_a_terminal(one, clip, stand.open), programs)
        for program, (seconds, states) in zip(programs, found, strict=True):
            assert seconds > 1.9, f"{program.name} did not take as long as it sounds"
            partials = [state for state in states[1:-1] if "\n" not in state]
            assert any(state.strip().startswith("two") for state in partials), (program, states)
            assert [state for state in states if "\n" in state] == ["two two\r\n"]
            assert states[0] == states[-1] == ""


def on_a_terminal(program, clip, url):
    """The seconds it took, and the states of the last line."""
    ours, theirs = pty.openpty()
    began = time.monotonic()
    process = subprocess.Popen(
        program.command("captions", str(clip), "--url", url),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=program.environment(),
    )
    os.close(theirs)
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    assert process.communicate(timeout=20) == (None, b"")
    assert process.returncode == 0
    return time.monotonic() - began, shown.decode().split("\r\x1b[K")


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux's way to say that nobody is on the other side
        return b""


def test_frames_as_they_may_come_and_a_reason_to_close(streamer, stand):
    with scripted() as (url, script):
        ran = streamer.run("captions", stand.clip, "--url", url, "--fast", "--language", 'a"\\b')
    assert failed(ran, f"4503: {REASON}", out=HEARD)
    start = {"type": "start", "rate_hz": 16_000, "channels": 1, "language": 'a"\\b'}
    assert script.starts == [start]
    assert script.num_bytes == 2 * 4 * 16_000
    assert script.pongs == 1


def test_a_server_that_hangs_up_on_a_file(program, stand):
    with rude() as url:
        ran = program.run("transcribe", stand.clip, "--url", url)
    assert failed(ran, "the server went away before the end")


def test_a_server_that_goes_away(streamer, stand):
    with scripted() as (url, _):
        ran = streamer.run("captions", stand.clip, "--url", url, "--fast", "--language", "gone")
    assert failed(ran, "the server went away before the end")


def test_the_servers_own_reason_to_end_a_stream(streamer, stand):
    ran = streamer.run("captions", stand.clip, "--url", stand.open, "--language", "klingon")
    assert failed(ran, "4400: ", "klingon")


def test_a_wrong_key_for_a_stream(streamer, stand):
    ran = streamer.run("captions", stand.clip, "--url", stand.locked, "--key", "mk-wrong")
    assert failed(ran, "401: the API key is not known here", "--key", "MOOER_API_KEY")


def test_a_wrong_key_for_a_file_that_is_refused_before_it_is_sent(program, stand, tmp_path):
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(30 << 20)
    ran = program.run("transcribe", path, "--url", stand.locked, key="mk-wrong")
    assert failed(ran, "401: the API key is not known here", "--key", "MOOER_API_KEY")


def test_what_no_key_can_be(program, stand):
    ran = program.run("captions", stand.clip, "--url", stand.locked, key="a\nX-Header: b")
    assert failed(ran, "visible ASCII letters")


def test_no_server_for_a_stream(streamer, stand):
    ran = streamer.run("captions", stand.clip, "--url", NO_SERVER)
    assert failed(ran, f"no server answers at {NO_SERVER}", "`mooer serve`")


def test_no_server_for_a_file(program, stand):
    ran = program.run("transcribe", stand.clip, "--url", NO_SERVER)
    assert failed(ran, f"no server answers at {NO_SERVER}", "`mooer serve`")


def test_no_address(program, stand):
    ran = program.run("captions", stand.clip, "--url", "localhost:8000")
    assert failed(ran, "localhost:8000 is no address of a server")


def test_no_such_file(program, stand, tmp_path):
    path = tmp_path / "没有.wav"
    assert failed(program.run("captions", path, "--url", stand.open), f"cannot read {path}: ")


def test_a_folder_is_no_file(program, stand, tmp_path):
    ran = program.run("captions", tmp_path, "--url", stand.open)
    assert failed(ran, f"cannot read {tmp_path}: ")


@commands
def test_a_file_that_is_no_sound(program, stand, tmp_path, command):
    path = tmp_path / "a.mp3"
    path.write_text("no sound at all")
    parts = ("400: ",) if command == "transcribe" else (f"{path} is no WAV", "ffmpeg")
    assert failed(program.run(command, path, "--url", stand.open), *parts)


def test_a_command_line_that_makes_no_sense(program):
    ran = program.run("captions", "--slow", "1", "a.wav")
    assert (ran.code, ran.out) == (2, "")
    assert "usage:" in ran.err.lower()


def test_java_needs_no_build(made, stand, tmp_path):
    made("java")  # skipped where there is none
    shutil.copy(CLIENTS / "java" / "Client.java", tmp_path)
    program = Program("java", ("java", str(tmp_path / "Client.java")), tmp_path)
    ran = program.run("transcribe", stand.clip, "--url", stand.open, "--format", "srt")
    lines = good(ran).split("\n")
    assert lines[0] == "1"
    assert " --> " in lines[1]
    assert lines[2] == FOUR
    assert [path.name for path in tmp_path.iterdir()] == ["Client.java"]
