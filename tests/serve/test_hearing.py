"""What is heard of a recording besides its text: words, translations and speakers together."""

import json

import pytest
from tests.serve.stand import NUMERALS, running, wav

from mooer.serve import hearing
from mooer.serve.tools import DIARIZER
from mooer.subtitles.rttm import Turn


class TwoSpeakers:
    """Tells apart who speaks in a recording: one up to a time, then another."""

    num_samples = 0

    def __init__(self, at_s):
        self.turns = [Turn(0.0, at_s, "S1"), Turn(at_s, 60.0, "S2")]
        self.warnings = ()

    def listen(self):
        return self

    def push(self, samples):
        self.num_samples += len(samples)

    def finish(self, num_speakers):
        return self


@pytest.fixture
def server():
    with running() as one:
        yield one


def translated(server, **fields):
    asked = {"response_format": "verbose_json", **fields}
    data = {"file": ("a.wav", wav(0.4, 4.0))}
    answer = server.http.post("/v1/audio/translations", files=data, data=asked)
    assert answer.status_code == 200, answer.text
    return answer


def segments_of(answer):
    events = [line[6:] for line in answer.text.split("\n") if line.startswith("data: {")]
    found = [json.loads(event) for event in events]
    return [one for one in found if one["type"] == "transcript.text.segment"]


def test_whisper_translates_into_english_itself_where_no_llm_is():
    """Then nobody knows when which word was said."""
    with running(llm="none") as server:
        (segment,) = translated(server).json()["segments"]
    assert segment["text"].startswith("four four")
    assert segment["original"] == segment["text"]


@pytest.mark.parametrize("to", ["en", "zh"])
def test_who_asks_for_words_is_given_them_beside_the_translation(server, to):
    answer = translated(
        server, to=to, stream="true", **{"timestamp_granularities[]": ["segment", "word"]}
    )
    (segment,) = segments_of(answer)
    assert segment["original"].startswith("four four")
    assert set(segment["text"]) == {NUMERALS[4]}
    assert [word["word"] for word in segment["words"]] == segment["original"].split()


@pytest.mark.parametrize("stream", ["true", "false"])
def test_speakers_of_a_translation(server, stream):
    two = TwoSpeakers(2.6)
    server.state.tools._tools[DIARIZER].make = lambda: two
    answer = translated(server, to="zh", speakers="auto", stream=stream)
    segments = segments_of(answer) if stream == "true" else answer.json()["segments"]
    assert [segment["speaker"] for segment in segments] == ["S1", "S2"]
    assert all(set(segment["text"]) == {NUMERALS[4]} for segment in segments)
    assert len("".join(segment["text"] for segment in segments)) == sum(
        len(segment["original"].split()) for segment in segments
    )
    assert two.num_samples == 5 * 16_000


def test_words_that_are_not_known_have_a_code_of_their_own(server, monkeypatch):
    """A page asks once more without them."""
    monkeypatch.setattr(hearing, "SpeechLLMRecognizer", object)
    answer = server.transcribe(**{"timestamp_granularities[]": "word"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "no_word_times"
