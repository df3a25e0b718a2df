"""The description of the server as OpenAPI 3.1, and a page that shows it without any script."""

from __future__ import annotations

import html
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import mooer
from mooer.audio import encoders
from mooer.serve import formats, messages
from mooer.serve.state import State

Schema = dict[str, Any]
_WORKING = (400, 404, 408, 413, 429, 503, 504)  # what any work may end in
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>mooer API</title>
<meta name="viewport" content="width=device-width"><style>
:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;max-width:56rem;margin:auto;padding:1rem}
code{font-size:.9em}table{border-collapse:collapse;width:100%%}td{border-top:1px solid #8886;
padding:.2rem .6rem .2rem 0;vertical-align:top}h2 code{font-size:1em}</style>
<h1>mooer %s</h1><p>The same as <a href="openapi.json">openapi.json</a>, for people.</p>%s</html>"""


def routes(state: State) -> list[Route]:
    """`/openapi.json` and `/docs`; none if the settings say so."""
    if not state.settings.docs:
        return []
    found = describe(has_keys=state.settings.has_keys)

    async def document(request: Request) -> Response:
        return JSONResponse(found)

    async def page(request: Request) -> Response:
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(as_page(found), headers=policy)

    return [Route("/openapi.json", document), Route("/docs", page)]


def describe(*, has_keys: bool) -> Schema:
    """The document."""
    found: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "mooer",
            "version": mooer.__version__,
            "description": "Speech to text, text to speech and chat about sound.",
        },
        "paths": _paths(),
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    if has_keys:
        found["security"] = [{"key": []}]
    return found


def _paths() -> Schema:
    model = [_parameter("model")]
    return {
        "/v1/audio/transcriptions": {"post": _hears("Write down what is said", _TRANSCRIPTION)},
        "/v1/audio/translations": {"post": _hears("Translate what is said", _TRANSLATION)},
        "/v1/audio/speech": {
            "post": _call("Speak a text", _body(_SPEECH), _sound(), **_answers(*_WORKING))
        },
        "/v1/audio/voices": {
            "get": _call("The voices there are", None, _json(_OBJECT), **_answers(404, 503))
        },
        "/v1/chat/completions": {
            "post": _call(
                "Answer, of text and sound",
                _body(_CHAT),
                _json(_OBJECT) | {"text/event-stream": {"schema": _EVENT}},
                **_answers(403, *_WORKING),
            )
        },
        "/v1/models": {"get": _call("The models there are", None, _json(_OBJECT))},
        "/v1/models/{model}": {
            "parameters": model,
            "get": _call("One of them", None, _json(_OBJECT), **_answers(404)),
        },
        "/v1/models/{model}/load": {
            "parameters": model,
            "post": _call("Load it", None, _json(_OBJECT), **_answers(403, 404, 503)),
        },
        "/v1/models/{model}/unload": {
            "parameters": model,
            "post": _call("Give its memory back", None, _json(_OBJECT), **_answers(403, 404, 409)),
        },
        "/health": {"get": _call("Whether the process lives", None, _json(_OBJECT))},
        "/ready": {"get": _call("Whether it can work", None, _json(_OBJECT), **_answers(503))},
        "/metrics": {
            "get": _call("Numbers for Prometheus", None, {"text/plain": {"schema": _TEXT}})
        },
    }


def _hears(summary: str, schema: Schema) -> Schema:
    content = _json(_OBJECT) | {"text/plain": {"schema": _TEXT}}
    content |= {"text/event-stream": {"schema": _EVENT}}
    body = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    return _call(summary, body, content, **_answers(403, 507, *_WORKING))


def _call(summary: str, body: Schema | None, content: Schema, **others: Schema) -> Schema:
    found: Schema = {
        "summary": summary,
        "responses": {
            "200": {"description": "Done", "content": content},
            "401": _ANSWER,
            "429": _ANSWER,
            **{code.removeprefix("s"): answer for code, answer in others.items()},
        },
    }
    return found | ({"requestBody": body} if body else {})


def _answers(*codes: int) -> dict[str, Schema]:
    return {f"s{code}": _ANSWER for code in codes}


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": _json(schema)}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _sound() -> Schema:
    kinds = {kind: {"schema": _BINARY} for kind in encoders.MEDIA_TYPES.values()}
    return kinds | {"text/event-stream": {"schema": _EVENT}}


def _parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _of(kind: str, text: str = "", **more: Any) -> Schema:
    return {"type": kind, **({"description": text} if text else {}), **more}


def _choice(names: Any, usual: str, text: str = "") -> Schema:
    return _of("string", text, enum=list(names), default=usual)


_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}
_EVENT: Schema = _of("object", "a server-sent event", properties={"data": _TEXT})
_BINARY: Schema = {"type": "string", "format": "binary"}
_FLAG: Schema = {"type": "boolean", "default": False}
_ERROR = _of(
    "object",
    required=["error"],
    properties={
        "error": _of(
            "object",
            required=["message", "type", "param", "code"],
            properties={
                "message": _of("string", "what failed, and how to mend it"),
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        )
    },
)
_ANSWER: Schema = {
    "description": "An error; of 429 and 503 Retry-After says how long to wait",
    "content": _json({"$ref": "#/components/schemas/Error"}),
}
_HEARING: Schema = {
    "file": _BINARY | {"description": "the recording: wav, flac, mp3, m4a, ogg, webm, mp4 …"},
    "url": _of("string", "its address instead, where the server fetches addresses"),
    "model": _of("string", "one of /v1/models; the first where it is missing"),
    "prompt": _of("string", "text in whose style and spelling to go on"),
    "temperature": _of(
        "number", "of further tries where a text looks invented", minimum=0, maximum=1
    ),
    "language": _of("string", "spoken language; found out where it is missing"),
    "stream": _FLAG | {"description": "deltas as server-sent events"},
    "keywords": _of("array", "names and terms to expect", items=_TEXT),
    "script": _choice(("hans", "hant"), "hans", "of Chinese"),
    "itn": _FLAG | {"description": "numbers, dates and amounts in digits"},
    "punctuate": _FLAG | {"description": "marks by pauses, where the model writes none"},
    "rich": _FLAG | {"description": "emotions and events"},
    "gender": _FLAG,
    "age": _FLAG,
    "timestamp_granularities[]": _of(
        "array", "of verbose_json", items=_of("string", enum=["word", "segment"])
    ),
    "chunking_strategy": _of("string", "auto, or an object of type server_vad as JSON"),
}
_TRANSCRIPTION = _of(
    "object",
    properties={
        **_HEARING,
        "response_format": _choice(formats.FORMATS, "json"),
        "speakers": _of("string", "auto, or how many there are"),
        "align": _FLAG | {"description": "time words by hearing the text once more"},
    },
)
_TRANSLATION = _of(
    "object",
    properties={
        **_HEARING,
        "response_format": _choice([f for f in formats.FORMATS if f != "diarized_json"], "json"),
        "to": _of("string", "language of the translation", default="en"),
    },
)
_SPEECH = _of(
    "object",
    required=["input"],
    properties={
        "input": _of("string", "the text", minLength=1, maxLength=4096),
        "model": _TEXT,
        "voice": _of(
            "string", "one of /v1/audio/voices, or a blend: a:0.6+b:0.4", minLength=1, maxLength=256
        ),
        "response_format": _choice(encoders.MEDIA_TYPES, "mp3"),
        "speed": _of("number", minimum=0.5, maximum=2.0, default=1.0),
        "stream_format": _choice(("audio", "sse"), "audio"),
    },
)
_MESSAGE = _of(
    "object",
    required=["role"],
    properties={
        "role": _of("string", enum=["system", "developer", "user", "assistant"]),
        "content": {"type": ["string", "array", "null"], "description": "a text, or parts"},
    },
)
_CHAT = _of(
    "object",
    required=["messages"],
    properties={
        "model": _TEXT,
        "messages": _of("array", "turns of text and input_audio", minItems=1, items=_MESSAGE),
        "stream": _FLAG,
        "max_completion_tokens": _of("integer", minimum=1, maximum=4096),
        "temperature": _of("number", minimum=0, maximum=2),
        "modalities": _of("array", items=_of("string", enum=["text", "audio"])),
        "audio": _of(
            "object",
            properties={"voice": _TEXT, "format": _of("string", enum=list(messages.FORMATS))},
        ),
    },
)


def as_page(document: Schema) -> str:
    """The document for people."""
    parts = []
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            if method == "parameters":
                continue
            title = html.escape(f"{method.upper()} {path}")
            parts.append(f"<h2><code>{title}</code></h2><p>{html.escape(call['summary'])}.</p>")
            for content in call.get("requestBody", {}).get("content", {}).values():
                parts.append(_table(content["schema"]))
    return _PAGE % (mooer.__version__, "".join(parts))


def _table(schema: Schema) -> str:
    rows = []
    for name, one in schema.get("properties", {}).items():
        notes = [one.get("description", "")]
        if "enum" in one:
            notes.append(" | ".join(one["enum"]))
        if "default" in one:
            notes.append(f"default {str(one['default']).lower()}")
        needed = " (required)" if name in schema.get("required", ()) else ""
        text = html.escape("; ".join(filter(None, notes)))
        rows.append(f"<tr><td><code>{html.escape(name)}</code>{needed}<td>{text}")
    return f"<table>{''.join(rows)}</table>"
