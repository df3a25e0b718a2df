"""What a form asks of a recogniser: OpenAI's fields, and a few of the house beside them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any

from mooer.audio.vad import VadOptions
from mooer.decoding.hotwords import parse_hotwords
from mooer.errors import ConfigError
from mooer.infer.guarded import RecognizeOptions
from mooer.serve.errors import wrong
from mooer.serve.formats import FORMATS
from mooer.serve.uploads import Form
from mooer.text import find_language

GRANULARITIES = ("segment", "word")
_MAX_PROMPT_CHARS = 4096
_MAX_SPEAKERS = 30
_NUMBER = re.compile(r"[0-9]{1,2}")
_DIARIZING = ("gpt-4o-transcribe-diarize",)  # a model's name that says what is wanted


@dataclass(frozen=True)
class Asked:
    """A request for text."""

    task: str  # asr | ast
    model: str
    format: str
    granularities: tuple[str, ...]
    streams: bool
    to: str  # language of a translation
    options: RecognizeOptions
    aligns: bool = False
    num_speakers: int | None = None  # None: not asked for; 0: to be found out

    @property
    def is_diarized(self) -> bool:
        """Whether speakers are told."""
        return self.num_speakers is not None


def read_asked(form: Form, task: str) -> Asked:
    """What a form asks for. ApiError 400 names the field that makes no sense."""
    model = form.text("model")
    named = "diarized_json" if model in _DIARIZING and "response_format" not in form.fields else ""
    format = form.text("response_format") or named or "json"
    if format not in FORMATS or (task == "ast" and format == "diarized_json"):
        known = [name for name in FORMATS if task == "asr" or name != "diarized_json"]
        raise wrong("response_format", f"response_format is one of {', '.join(known)}")
    granularities = tuple(dict.fromkeys(form.texts("timestamp_granularities"))) or ("segment",)
    if set(granularities) - set(GRANULARITIES):
        raise wrong("timestamp_granularities[]", "timestamp_granularities[] are word and segment")
    _refuse(form)
    aligns = truth(form, "align")
    num_speakers = _speakers(form, format)
    options = _options(form, task)
    needs_words = "word" in granularities or aligns
    return Asked(
        task=task,
        model=model,
        format=format,
        granularities=granularities,
        streams=truth(form, "stream"),
        to=_language(form, "to") or "en",
        options=replace(options, words=needs_words),
        aligns=aligns,
        num_speakers=num_speakers,
    )


def _refuse(form: Form) -> None:
    """What would be passed over in silence is refused."""
    if form.texts("include"):
        raise wrong("include[]", "log-probabilities of tokens are not known here: leave it out")
    for name in ("known_speaker_names", "known_speaker_references"):
        if form.texts(name):
            raise wrong(f"{name}[]", "speakers are told apart, not recognised: leave it out")


def _options(form: Form, task: str) -> RecognizeOptions:
    temperature = number(form, "temperature", 0.0, 0.0, 1.0)
    prompt = form.text("prompt")
    if len(prompt) > _MAX_PROMPT_CHARS:
        raise wrong("prompt", f"prompt has {len(prompt)} characters, at most {_MAX_PROMPT_CHARS}")
    hotwords = ", ".join(form.texts("keywords") or form.texts("hotwords"))
    if len(hotwords) > _MAX_PROMPT_CHARS:
        raise wrong("keywords", f"keywords are at most {_MAX_PROMPT_CHARS} characters together")
    script = form.text("script", "hans")
    if script not in ("hans", "hant"):
        raise wrong("script", "script is hans or hant")
    try:
        parse_hotwords(hotwords)
        return RecognizeOptions(
            language=_language(form, "language"),
            task="asr",
            temperatures=(temperature,) if temperature else RecognizeOptions().temperatures,
            prompt=prompt,
            hotwords=hotwords,
            script=script,
            rich=truth(form, "rich"),
            gender=truth(form, "gender"),
            age=truth(form, "age"),
            itn=truth(form, "itn"),
            punctuate=truth(form, "punctuate"),
            vad=_vad(form),
        )
    except ConfigError as error:
        raise wrong(None, str(error)) from error


def _language(form: Form, name: str) -> str | None:
    given = form.text(name).strip()
    if not given or (name == "language" and given == "auto"):
        return None
    try:
        return find_language(given[:40])
    except ConfigError as error:
        raise wrong(name, str(error)) from error


def _speakers(form: Form, format: str) -> int | None:
    given = form.text("speakers")
    if not given or given in ("false", "no", "0"):
        return 0 if format == "diarized_json" else None
    if given in ("true", "auto"):
        return 0
    if not (_NUMBER.fullmatch(given) and 1 <= int(given) <= _MAX_SPEAKERS):
        raise wrong("speakers", f"speakers is auto, or a number of 1 to {_MAX_SPEAKERS}")
    return int(given)


def _vad(form: Form) -> VadOptions:
    """Of chunking_strategy: "auto", or {"type": "server_vad", …}, as JSON or as a nested field."""
    given: Any = form.text("chunking_strategy") or "auto"
    nested = {
        name.removeprefix("chunking_strategy[").rstrip("]"): values[-1]
        for name, values in form.fields.items()
        if name.startswith("chunking_strategy[")
    }
    if nested:
        given = nested
    elif given.lstrip().startswith("{"):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    if given == "auto":
        return VadOptions()
    if not isinstance(given, dict) or given.get("type") != "server_vad":
        raise wrong("chunking_strategy", 'chunking_strategy is "auto" or {"type": "server_vad", …}')
    usual = VadOptions()
    threshold = _within(given, "threshold", usual.threshold, 0.05, 0.95)
    silence_s = _within(given, "silence_duration_ms", 1000 * usual.min_silence_s, 30, 5000) / 1000
    pad_s = _within(given, "prefix_padding_ms", 1000 * usual.pad_s, 0, 2000) / 1000
    release = min(usual.release, threshold)
    return replace(
        usual, threshold=threshold, release=release, min_silence_s=silence_s, pad_s=pad_s
    )


def _within(given: dict[str, Any], name: str, usual: float, low: float, high: float) -> float:
    try:
        value = float(given.get(name, usual))
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not low <= value <= high:
        raise wrong("chunking_strategy", f"{name} of chunking_strategy is {low:g} to {high:g}")
    return value


def number(form: Form, name: str, usual: float, low: float, high: float) -> float:
    """A field that is a number. ApiError 400 if it is none, or out of its range."""
    text = form.text(name).strip()
    try:
        value = float(text) if text else usual
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise wrong(name, f"{name} is a number of {low:g} to {high:g}")
    return value


def truth(form: Form, name: str) -> bool:
    """A field that is true or false; false where it is not there."""
    text = form.text(name).strip().lower()
    if text in ("", "false", "0", "no"):
        return False
    if text in ("true", "1", "yes"):
        return True
    raise wrong(name, f"{name} is true or false")
