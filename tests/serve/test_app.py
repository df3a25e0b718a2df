"""A live server: who is let in, what is told, what is refused, and what is left behind."""

import json
import logging
import re
import socket
import threading
from pathlib import Path

import httpx
import pytest
from tests.serve.stand import Models, running, until, wav
from tests.speak.tones import ToneSpeaker

from mooer.audio.wave import read_wave
from mooer.serve.settings import LimitOptions


@pytest.fixture(scope="module")
def live():
    with running() as found:
        yield found


def num_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def error_of(answer):
    found = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


def test_a_recording_in_each_format(live):
    assert live.transcribe().json()["text"] == "four four four four"
    assert live.transcribe(response_format="text").text == "four four four four\n"
    for format, start in (("srt", "1\n00:00:"), ("vtt", "WEBVTT\n\n00:00:")):
        answer = live.transcribe(response_format=format)
        assert answer.text.startswith(start)
        assert answer.headers["content-type"].startswith("text/plain")
    found = live.transcribe(response_format="verbose_json").json()
    assert found["duration"] == 4.0
    assert found["segments"][0]["text"] == "four four four four"


def test_a_stream_of_deltas(live):
    answer = live.transcribe(stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line]
    assert [one["type"] for one in events] == ["transcript.text.delta", "transcript.text.done"]
    assert "".join(one.get("delta", "") for one in events) == events[-1]["text"]


def test_a_streamed_verbose_json_has_segments_with_words(live):
    fields = {"timestamp_granularities[]": ["word", "segment"], "rich": "false"}
    answer = live.transcribe(stream="true", response_format="verbose_json", **fields)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line]
    segment, delta, done = events
    assert segment["type"] == "transcript.text.segment"
    assert (segment["text"], segment["language"]) == (delta["delta"], "en")
    assert [word["word"] for word in segment["words"]] == ["four"] * 4
    assert all(word["start"] < word["end"] for word in segment["words"])
    assert all(0 < word["probability"] <= 1 for word in segment["words"])
    assert (done["duration"], done["text"]) == (4.0, segment["text"])


@pytest.mark.parametrize(
    ("data", "fields", "status", "code"),
    [
        (b"", {}, 400, "invalid_audio"),
        (b"not a sound at all", {}, 400, "invalid_audio"),
        (wav()[:30], {}, 400, "invalid_audio"),
        (b"#EXTM3U\nfile:///etc/passwd\n", {}, 400, "invalid_audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", {}, 400, "invalid_audio"),
        (None, {"model": "gpt-9"}, 404, "model_not_found"),
        (None, {"model": "/etc/passwd"}, 404, "model_not_found"),
        (None, {"response_format": "xml"}, 400, "invalid_value"),
        (None, {"language": "klingon"}, 400, "invalid_value"),
        (None, {"temperature": "9"}, 400, "invalid_value"),
    ],
)
def test_what_cannot_be_done_is_said(live, data, fields, status, code):
    for stream in ("false", "true"):
        answer = live.transcribe(data, stream=stream, **fields)
        assert answer.status_code == status
        assert error_of(answer)["code"] == code
        assert "/tmp" not in answer.text


def test_what_is_not_there_is_said_in_the_same_form(live):
    for answer, status in (
        (live.http.get("/v1/nothing"), 404),
        (live.http.get("/v1/audio/transcriptions"), 405),
        (live.http.post("/v1/audio/transcriptions", json={"file": "x"}), 400),
        (live.http.post("/v1/audio/transcriptions", files={"file2": b"x"}), 400),
        (live.http.post("/v1/audio/transcriptions", data={"url": "http://x.org"}), 400),
        (live.http.post("/v1/audio/speech", content=b"{"), 400),
    ):
        assert answer.status_code == status, answer.text
        error_of(answer)


def test_what_an_address_takes_is_said(live):
    for path, allowed in (("/v1/models", {"GET", "HEAD"}), ("/v1/audio/speech", {"POST"})):
        answer = live.http.request("DELETE", path)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed


def test_a_text_of_a_caller_is_no_name_of_a_route(live):
    for name in ("v1", "v", "models", "load", "%0a"):
        live.http.get(f"/v1/models/{name}")
        live.http.post(f"/v1/models/{name}/load")
    routes = set(re.findall(r'route="(/v1/m[^"]*|/[^v][^"]*1/[^"]*)"', metrics_of(live)))
    known = {"/v1/models", "/v1/models/{model}", "/v1/models/{model}/load"}
    assert routes <= known | {"/v1/models/{model}/unload"}


def metrics_of(live):
    return live.http.get("/metrics").text


def test_no_answer_leads_elsewhere():
    """A redirect would name the host that the caller claims."""
    with running(api_key="k" * 40, host="127.0.0.1", public=True) as live:
        key = {"authorization": f"Bearer {'k' * 40}", "host": "evil.example"}
        for path in ("/health/", "/v1/models/", "/v1/models/fake/"):
            answer = live.http.get(path, headers=key)
            assert answer.status_code == 404
            assert "location" not in answer.headers


def test_models_health_and_numbers(live):
    models = {one["id"]: one for one in live.http.get("/v1/models").json()["data"]}
    assert models["fake"]["kind"] == "recogniser"
    assert live.http.get("/v1/models/whisper-1").json()["id"] == "fake"
    assert live.http.get("/v1/models/none").status_code == 404
    assert live.http.get("/health").json()["status"] == "ok"
    assert live.http.get("/ready").json()["status"] == "ready"
    live.transcribe()
    until(lambda: not live.state.limits.num_running)  # the place is free once the thread has ended
    text = live.http.get("/metrics").text
    assert 'mooer_requests_total{route="/v1/audio/transcriptions",status="200"}' in text
    assert 'mooer_requests_total{route="/v1/models/{model}",status="200"}' in text
    until(lambda: "mooer_running{} 0" in live.http.get("/metrics").text)  # once its thread ends


def test_the_description_and_its_page(live):
    document = live.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path in document["paths"]:
        assert live.http.request("PATCH", path).status_code == 405, path
    page = live.http.get("/docs")
    assert "/v1/audio/transcriptions" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_models_are_unloaded_and_loaded_again(live):
    assert live.http.post("/v1/models/fake/unload").json()["loaded"] is False
    assert live.transcribe().status_code == 200
    assert live.http.post("/v1/models/fake/load").json()["loaded"] is True
    assert live.http.post("/v1/models/none/unload").status_code == 404


def test_a_page_of_another_site_is_refused(live):
    assert live.transcribe(headers={"origin": "https://evil.example"}).status_code == 403
    assert live.transcribe(headers={"host": "evil.example"}).status_code == 403
    own = live.url
    assert live.transcribe(headers={"origin": own}).status_code == 200
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = live.http.options("/v1/audio/transcriptions", headers=asked)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_pages_that_are_allowed():
    with running(cors=("https://ours.example",)) as live:
        origin = {"origin": "https://ours.example"}
        answer = live.transcribe(headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://ours.example"
        asked = origin | {"access-control-request-method": "POST"}
        assert live.http.options("/v1/models", headers=asked).status_code == 204


def test_a_server_with_keys(caplog):
    with running(api_key="right", public=True) as live, caplog.at_level(logging.INFO, "mooer"):
        for headers in ({}, {"authorization": "Bearer wrong"}):
            for answer in (
                live.transcribe(headers=headers),
                live.http.get("/v1/models", headers=headers),
                live.http.get("/metrics", headers=headers),
            ):
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        assert live.http.get("/health").status_code == 200
        assert live.transcribe(headers={"authorization": "Bearer right"}).status_code == 200
        assert "right" not in caplog.text
        assert "wrong" not in caplog.text


def test_the_log_has_no_content(caplog):
    with running() as live, caplog.at_level(logging.DEBUG, "mooer.serve"):
        answer = live.transcribe(prompt="my secret", file_name="diary.wav")
        until(lambda: answer.headers["x-request-id"] in caplog.text)
        for word in ("four", "secret", "diary"):
            assert word not in caplog.text
    with running(log_content=True) as live, caplog.at_level(logging.INFO, "mooer.serve"):
        live.transcribe()
        until(lambda: "said: four" in caplog.text)


def test_too_many_at_once_are_told_to_wait():
    models = Models()
    models.whisper.gate.clear()
    limits = LimitOptions(max_running=1, max_waiting=1)
    with running(models, limits=limits) as live:
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(live.transcribe())) for _ in range(2)
        ]
        for i, thread in enumerate(threads):
            thread.start()
            until(lambda i=i: live.state.limits.num_running + live.state.limits.num_waiting > i)
        refused = live.transcribe()
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert error_of(refused)["type"] == "rate_limit_error"
        models.whisper.gate.set()
        for thread in threads:
            thread.join(10)
        assert [answer.status_code for answer in answers] == [200, 200]
        until(lambda: live.state.limits.num_running == 0)


def test_a_client_that_leaves_ends_its_work():
    models = Models()
    models.whisper.gate.clear()
    with running(models) as live:
        for stream in ("false", "true"):
            files = {"file": ("a.wav", wav())}
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{live.url}/v1/audio/transcriptions",
                    files=files,
                    data={"stream": stream},
                    timeout=httpx.Timeout(5, read=0.3),
                )
        models.whisper.gate.set()
        until(lambda: live.state.limits.num_running == 0)
        assert live.transcribe().status_code == 200


def test_a_deadline():
    models = Models()
    models.whisper.gate.clear()
    with running(models, limits=LimitOptions(deadline_s=1)) as live:
        answer = live.transcribe()
        assert answer.status_code == 504
        models.whisper.gate.set()


def test_a_recording_that_is_too_long_or_too_large():
    limits = LimitOptions(max_duration_s=2, max_upload_bytes=200_000)
    with running(limits=limits) as live:
        assert "longer than 2 s" in error_of(live.transcribe())["message"]
        assert live.transcribe(wav(seconds=9)).status_code == 413
        assert live.transcribe(wav(seconds=0.8)).status_code == 200


def test_a_model_that_is_gone_does_not_end_the_others(caplog):
    models = Models()
    models.broken = "fake-two"
    with running(models, more_models=("fake-two",)) as live:
        answer = live.transcribe(model="fake-two")
        assert answer.status_code == 503
        assert "/secret" not in answer.text
        assert live.transcribe(model="fake").status_code == 200
        models.whisper.fails = True
        answer = live.transcribe()
        assert (answer.status_code, "/secret" in answer.text) == (503, False)
        models.whisper.fails = False
        assert live.transcribe().status_code == 200
        assert live.http.get("/ready").json()["failed_models"] == ["fake-two"]
        models.broken = ""
        assert live.transcribe(model="fake-two").status_code == 200
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("mooer")]
    assert any("/secret" in line for line in lines)
    assert not any("\n" in line for line in lines)


def test_nothing_is_left_behind(tmp_path):
    with running(upload_dir=tmp_path) as live:
        live.transcribe()
        live.transcribe(b"garbage")
        live.http.get("/health")
        before = num_files()
        for _ in range(20):
            live.transcribe()
            live.transcribe(b"garbage")
            live.transcribe(stream="true")
            with socket.create_connection(live.server.servers[0].sockets[0].getsockname()) as one:
                one.sendall(
                    b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Type: multipart/form-data; boundary=x\r\n"
                    b"Content-Length: 500\r\n\r\n--x\r\n"
                )
        until(lambda: num_files() <= before + 1)
        assert not list(tmp_path.iterdir())
        until(lambda: not live.state.limits.num_running)


def test_speech_in_each_format(live):
    for format in ("wav", "mp3", "flac", "opus", "aac", "pcm"):
        body = {"input": "Good morning. How are you?", "voice": "low", "response_format": format}
        answer = live.http.post("/v1/audio/speech", json=body)
        assert answer.status_code == 200
        if format != "pcm":
            assert 2.0 < len(read_wave(answer.content)) / 16_000 < 3.5
    assert live.models.speaker.said[-1][1] == "en"
    live.http.post("/v1/audio/speech", json={"input": "今天天气很好。", "voice": {"id": "high"}})
    assert live.models.speaker.said[-1][1] == "zh"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": "  "}, "input"),
        ({"input": 5}, "input"),
        ({"input": "x" * 5000}, "input"),
        ({"input": "hi", "voice": 5}, "voice"),
        ({"input": "hi", "voice": "nobody"}, None),
        ({"input": "hi", "speed": 9}, "speed"),
        ({"input": "hi", "speed": True}, "speed"),
        ({"input": "hi", "speed": 10**400}, "speed"),
        ({"input": "hi", "response_format": "mp4"}, "response_format"),
        ({"input": "?!", "voice": "low"}, None),
        ({"input": "half a letter: \ud800", "voice": "low"}, None),
    ],
)
def test_speech_that_makes_no_sense(live, body, param):
    answer = live.http.post("/v1/audio/speech", content=json.dumps(body))
    assert answer.status_code == 400
    assert error_of(answer)["param"] == param


class Halting(ToneSpeaker):
    """Says one sentence, and the next when it may."""

    gate = threading.Event()

    def speak(self, text, language, voice, *, speed=1.0):
        assert not self.said or self.gate.wait(10)
        return super().speak(text, language, voice, speed=speed)


def test_large_bodies_together_are_bounded():
    limits = LimitOptions(max_held_bytes=4 << 20)
    with running(limits=limits) as live:
        body = {"messages": [{"role": "user", "content": "x" * 50}], "pad": "y" * (3 << 20)}
        answer = live.http.post("/v1/chat/completions", json=body)
        assert (answer.status_code, error_of(answer)["code"]) == (429, "rate_limit_exceeded")
        assert answer.headers["retry-after"]
        for _ in range(9):
            body["pad"] = "y" * (1 << 20)
            assert live.http.post("/v1/chat/completions", json=body).status_code == 200
        until(lambda: not live.state.limits._held_bytes)
        long = {"input": "x", "pad": "y" * (2 << 20)}
        assert live.http.post("/v1/audio/speech", json=long).status_code == 413


def test_speech_begins_before_all_is_spoken():
    models = Models()
    models.speaker = Halting()
    body = {"input": "This is one sentence. " * 10, "voice": "low", "response_format": "pcm"}
    with running(models) as live:
        with live.http.stream("POST", "/v1/audio/speech", json=body) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            assert len(models.speaker.said) == 1
            models.speaker.gate.set()
            assert sum(map(len, pieces)) > 100_000
        until(lambda: live.state.limits.num_running == 0)
