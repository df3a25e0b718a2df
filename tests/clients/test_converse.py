"""The example of a spoken turn, against a live server whose agent answers by a script."""

import subprocess
import sys
import wave
from pathlib import Path

import pytest
from tests.serve.stand import running, wav

pytest.importorskip("openai")
PROGRAM = Path(__file__).parents[2] / "clients" / "python" / "converse.py"


def test_a_question_is_answered(tmp_path):
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    question.write_bytes(wav(0.4, 1.0))
    with running() as server:
        command = [sys.executable, str(PROGRAM), str(question), str(answer), server.url]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "You: turn 1\nAgent: Good morning.\n"
    with wave.open(str(answer)) as found:
        assert (found.getframerate(), found.getnframes()) == (24_000, 24_000)
