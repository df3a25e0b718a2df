"""The house's own models behind the port, asked by the official client."""

import threading

import pytest
from tests.serve.stand import until

from mooer.serve.run import Server, configure
from mooer.serve.settings import Settings

openai = pytest.importorskip("openai")
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def client():
    server = Server(configure(Settings(port=0, models=("whisper-base",))))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, 60)
    port = server.servers[0].sockets[0].getsockname()[1]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", timeout=60) as found:
        yield found
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def test_a_recording_is_written_down(client, examples):
    with (examples / "en.flac").open("rb") as file:
        found = client.audio.transcriptions.create(
            model="whisper-1",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["word"],
        )
    assert "machines learn to understand human speech" in found.text
    assert found.language == "english"
    assert found.words[0].word == "Good"


def test_several_at_once_have_their_own_text(client, examples):
    wanted = {"en.flac": "Good morning", "zh.flac": "天气"}
    found = {}

    def ask(place):
        name = ("en.flac", "zh.flac")[place % 2]
        with (examples / name).open("rb") as file:
            answer = client.audio.transcriptions.create(model="whisper-1", file=file)
        found[place] = (name, answer.text)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 6
    for name, text in found.values():
        assert wanted[name] in text


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by the client, not by us
def test_a_translation(client, examples):
    with (examples / "zh.flac").open("rb") as file:
        text = client.audio.translations.create(model="whisper-1", file=file).text
    assert text.isascii()
    assert "weather" in text.lower()


def test_a_text_is_spoken(client):
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="Good morning to you all.", response_format="wav"
    ) as answer:
        data = b"".join(answer.iter_bytes())
    found = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", data))
    assert "morning" in found.text.lower()
