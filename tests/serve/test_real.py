"""The house's own models behind the port, asked by the official client."""

import asyncio
import base64
import io
import threading
import wave

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


def test_a_spoken_question_is_answered_aloud(client):
    """A whole turn: Kokoro asks, Whisper hears, Qwen thinks, Kokoro answers, Whisper hears that."""
    question = "What is the capital of France?"
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=question, response_format="pcm"
    ) as spoken:
        sound = b"".join(spoken.iter_bytes())

    async def converse():
        asker = openai.AsyncOpenAI(base_url=client.base_url, api_key="x")
        async with asker, asker.realtime.connect(model="agent") as connection:
            transcription = {"transcription": {"model": "default", "language": "en"}}
            session = {"type": "realtime", "audio": {"input": transcription}}
            await connection.session.update(session=session)
            for block in (sound, bytes(96_000)):  # the question, two seconds of silence
                audio = base64.b64encode(block).decode()
                await connection.input_audio_buffer.append(audio=audio)
            heard, data = "", b""
            async for event in connection:
                if event.type == "conversation.item.input_audio_transcription.completed":
                    heard = event.transcript
                elif event.type == "response.output_audio.delta":
                    data += base64.b64decode(event.delta)
                elif event.type == "response.done" and event.response.status != "cancelled":
                    return heard, data, event.response.output[0].content[0].transcript
        raise AssertionError("the connection ended before the answer")

    heard, data, said = asyncio.run(asyncio.wait_for(converse(), 120))
    assert "capital of france" in heard.lower()
    assert "Paris" in said
    assert len(data) > 24_000
    pcm = io.BytesIO()
    with wave.open(pcm, "wb") as out:
        out.setparams((1, 2, 24_000, 0, "NONE", ""))
        out.writeframes(data)
    found = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", pcm.getvalue()))
    assert "paris" in found.text.lower()
