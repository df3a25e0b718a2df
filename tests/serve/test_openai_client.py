"""The official client against a live server: every format, and every class of error."""

import base64
import io
import json

import pytest
from tests.serve.stand import NUMERALS, Models, running, wav

from mooer.serve.settings import LimitOptions

openai = pytest.importorskip("openai")


def client_of(live, key="none"):
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0, timeout=20)


@pytest.fixture(scope="module")
def live():
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def client(live):
    with client_of(live) as found:
        yield found


def clip():
    return ("a.wav", io.BytesIO(wav()))


TEXT = "four four four four"
DEPRECATED = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # not by us


def test_json(client):
    found = client.audio.transcriptions.create(model="whisper-1", file=clip())
    assert found.text == TEXT
    assert found.usage.type == "duration"
    assert found.usage.seconds == 4


@pytest.mark.parametrize("format", ["text", "srt", "vtt"])
def test_text_formats(client, format):
    found = client.audio.transcriptions.create(
        model="whisper-1", file=clip(), response_format=format
    )
    assert isinstance(found, str)
    assert TEXT in found.replace("\n", " ")


def test_verbose_json_with_words(client):
    found = client.audio.transcriptions.create(
        model="whisper-1",
        file=clip(),
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
        temperature=0.2,
        prompt="numbers",
    )
    assert found.text == TEXT
    assert found.language == "english"
    assert float(found.duration) == 4.0
    assert [word.word for word in found.words] == TEXT.split()
    assert found.segments[0].end <= 4.0
    assert found.segments[0].tokens == []


def test_a_stream(client):
    events = list(client.audio.transcriptions.create(model="whisper-1", file=clip(), stream=True))
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == TEXT
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert "".join(deltas) == TEXT


@DEPRECATED
def test_a_translation(client):
    found = client.audio.translations.create(model="whisper-1", file=clip())
    assert found.text == 4 * NUMERALS[4]
    found = client.audio.translations.create(
        model="whisper-1", file=clip(), response_format="verbose_json"
    )
    assert found.task == "translate"


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_speech(client, tmp_path, format):
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input="Good morning. It is late.", response_format=format
    ) as answer:
        data = b"".join(answer.iter_bytes())
    assert len(data) > 1000
    whole = client.audio.speech.create(model="tts-1", voice="nova", input="Good morning.")
    whole.write_to_file(tmp_path / "a.mp3")
    assert (tmp_path / "a.mp3").stat().st_size > 1000


def test_chat_about_a_sound(client, live):
    data = base64.b64encode(wav(seconds=1.0)).decode()
    sound = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    question = {"type": "text", "text": "What is this?"}
    found = client.chat.completions.create(
        model="fake-chat",
        messages=[
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [question, sound]},
        ],
    )
    answer = found.choices[0].message.content
    assert answer in ("A dog barks.", "It is a small one.", "No.")
    assert found.choices[0].finish_reason == "stop"
    assert found.usage.prompt_tokens_details.audio_tokens == 20
    assert "What is this?[20]" in live.models.llm.prompts[-1]
    stream = client.chat.completions.create(
        model="gpt-4o-audio-preview",
        messages=[
            {"role": "user", "content": [question, sound]},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "Is it large?"},
        ],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text in ("A dog barks.", "It is a small one.", "No.")
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert answer in live.models.llm.prompts[-1]


def test_a_spoken_answer_and_the_turn_after_it(client, live):
    asked = [{"role": "user", "content": "Hello?"}]
    wanted = {"modalities": ["text", "audio"], "audio": {"voice": "low", "format": "wav"}}
    found = client.chat.completions.create(model="fake-chat", messages=asked, **wanted)
    audio = found.choices[0].message.audio
    assert base64.b64decode(audio.data)[:4] == b"RIFF"
    asked += [
        {"role": "assistant", "audio": {"id": audio.id}},
        {"role": "user", "content": "And?"},
    ]
    client.chat.completions.create(model="fake-chat", messages=asked)
    assert audio.transcript in live.models.llm.prompts[-1]
    stream = client.chat.completions.create(
        model="fake-chat",
        messages=asked[:1],
        stream=True,
        modalities=["text", "audio"],
        audio={"voice": "low", "format": "pcm16"},
    )
    parts = [c.choices[0].delta.audio for c in stream if hasattr(c.choices[0].delta, "audio")]
    said = "".join(part.transcript or "" for part in parts if part)
    assert said in ("A dog barks.", "It is a small one.", "No.")
    assert sum(len(base64.b64decode(p.data)) for p in parts if p and p.data) > 10_000


def test_models(client):
    assert {"fake", "fake-chat"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("fake").owned_by == "mooer"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (openai.BadRequestError, {"file": ("a.wav", b"nonsense")}),
        (openai.BadRequestError, {"language": "klingon"}),
        (openai.BadRequestError, {"include": ["logprobs"]}),
        (openai.NotFoundError, {"model": "no-such-model"}),
    ],
)
def test_errors_of_a_request(client, kind, options):
    with pytest.raises(kind) as caught:
        client.audio.transcriptions.create(**{"model": "whisper-1", "file": clip()} | options)
    assert caught.value.body["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user", "content": "x"}], "n": 3},
        {"messages": [{"role": "user", "content": "x"}], "max_tokens": 0},
        {"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]},
        {"messages": [{"role": "user", "content": "x"}], "modalities": ["audio"]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "!"}}]}
            ]
        },
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_errors_of_a_chat(client, body):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fake-chat", **body)


def test_an_address_is_not_fetched(client):
    part = {"type": "audio_url", "audio_url": {"url": "https://example.org/a.wav"}}
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(
            model="fake-chat", messages=[{"role": "user", "content": [part]}]
        )


def test_errors_of_a_server():
    with running(api_key="right") as live:
        with client_of(live, "wrong") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
        with client_of(live, "right") as client:
            assert client.models.list().data
    with running(limits=LimitOptions(requests_per_minute=1)) as live, client_of(live) as client:
        client.models.list()
        with pytest.raises(openai.RateLimitError) as caught:
            client.models.list()
        assert int(caught.value.response.headers["retry-after"]) >= 1
    models = Models()
    models.broken = "fake"
    with running(models) as live, client_of(live) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.audio.transcriptions.create(model="fake", file=clip())
        assert caught.value.status_code == 503
        with pytest.raises(openai.InternalServerError):
            list(client.audio.transcriptions.create(model="fake", file=clip(), stream=True))


def test_the_client_tries_again_when_there_is_room():
    with running(limits=LimitOptions(requests_per_minute=60)) as live:
        for _ in range(60):
            live.http.get("/v1/models")
        with client_of(live).with_options(max_retries=2) as client:
            assert client.models.list().data
