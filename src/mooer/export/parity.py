"""Whether exported files say what the network says: torch against llama.cpp, with numbers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave
from mooer.decoding.generation import SearchOptions
from mooer.decoding.search import decode
from mooer.engines.llama_context import BATCH_ROWS, LlamaContext, Row
from mooer.errors import AudioError
from mooer.export.gguf import Exported
from mooer.export.mtmd import AudioProjector
from mooer.export.precision import Precision
from mooer.export.projector import WINDOW_S
from mooer.models.encoders.whisper import WhisperEncoder
from mooer.models.load import load
from mooer.models.speech_llm import SpeechLLM
from mooer.models.step_model import step_model
from mooer.tasks.layout import Text
from mooer.tasks.templates import parts, template

logger = logging.getLogger(__name__)

# llama.cpp takes the logarithm of at least 6e-8, Whisper of 1e-10; both then keep the 8 decades
# below the loudest. Only if that is louder than `QUIET` are their features the same. Both numbers
# are of features: (log10 + 4) / 4.
FLOOR = (np.log10(5.960464477539063e-08) + 4) / 4
QUIET = FLOOR + 8 / 4
_CONTEXT_TOKENS = 1024  # a window, a prompt and an answer

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """Between two arrays of numbers, without its sign."""

    max: float
    mean: float

    @classmethod
    def between(cls, one: Floats, other: Floats) -> Difference:
        """Of two arrays of one shape."""
        distance = np.abs(one - other)
        return cls(float(distance.max()), float(distance.mean()))


@dataclass(frozen=True)
class LlmParity:
    """An LLM of llama.cpp, given llama.cpp's own embeddings of the audio."""

    logprobs: Difference  # of the first token of the answer, over the vocabulary
    answer: str


@dataclass(frozen=True)
class ClipParity:
    """What torch and llama.cpp make of one recording, with silence after it up to 30 s."""

    audio: str
    embeddings: Difference
    embeddings_floored: Difference  # with torch as deaf to what is quiet as llama.cpp: see `FLOOR`
    answer: str  # torch's, greedy
    answer_as_trained: str | None  # torch's without that silence, where it was trained so
    llms: dict[Precision, LlmParity] = field(default_factory=dict)


@dataclass(frozen=True)
class _Prompt:
    """A prompt around embeddings of audio, and what torch answers."""

    before: list[int]
    embeddings: Floats  # [N, W]
    floored: Floats  # [N, W] of features that are at least FLOOR
    after: list[int]
    logprobs: Floats  # [V] of the first token
    tokens: tuple[int, ...]


def compare(
    folder: str | os.PathLike[str],
    exported: Exported,
    audios: Sequence[str | os.PathLike[str]],
    *,
    task: str = "asr",
    max_new_tokens: int = 64,
) -> list[ClipParity]:
    """Run recordings of up to 30 s through a saved model and through what was exported of it."""
    model = load(folder, dtype="float32")
    return compare_model(model, exported, audios, task=task, max_new_tokens=max_new_tokens)


def compare_model(
    model: SpeechLLM,
    exported: Exported,
    audios: Sequence[str | os.PathLike[str]],
    *,
    task: str = "asr",
    max_new_tokens: int = 64,
) -> list[ClipParity]:
    """The same for a model in memory, in float32."""
    waves = [_samples(audio) for audio in audios]
    asked = [_ask(model, wave, task, max_new_tokens, pad=True) for wave in waves]
    trained: list[str | None] = [None] * len(waves)
    assert isinstance(model.encoder, WhisperEncoder), "no other is exported"
    if model.encoder.config.pad_to_s != WINDOW_S:
        plain = [_ask(model, wave, task, max_new_tokens, pad=False) for wave in waves]
        trained = [_text(model, prompt.tokens) for prompt in plain]
    first = next(iter(exported.llms.values()))
    with AudioProjector(exported.projector, first) as projector:
        heard = [projector.embed(wave) for wave in waves]
    found = [
        ClipParity(
            str(audio),
            Difference.between(prompt.embeddings, embeddings),
            Difference.between(prompt.floored, embeddings),
            _text(model, prompt.tokens),
            as_trained,
        )
        for audio, prompt, embeddings, as_trained in zip(audios, asked, heard, trained, strict=True)
    ]
    end = _ids(model, template(model.template).end)[0]
    for precision, path in exported.llms.items():
        context = LlamaContext(path, context_tokens=_CONTEXT_TOKENS, num_sequences=1, exact=True)
        try:
            for clip, prompt, embeddings in zip(found, asked, heard, strict=True):
                answer = _answer(
                    context, (prompt.before, embeddings, prompt.after), end, max_new_tokens
                )
                difference = Difference.between(prompt.logprobs, answer[0])
                clip.llms[precision] = LlmParity(difference, _text(model, answer[1]))
        finally:
            context.close()
    return found


def table(clips: Sequence[ClipParity]) -> Iterator[tuple[str, ...]]:
    """Rows of text: a head, then one of each recording and precision."""
    yield ("audio", "llm", "embeddings max", "mean", "floored", "log-probs max", "mean", "text")
    for clip in clips:
        for precision, llm in clip.llms.items():
            yield (
                Path(clip.audio).name,
                precision,
                *(f"{x:.2g}" for x in (clip.embeddings.max, clip.embeddings.mean)),
                f"{clip.embeddings_floored.max:.2g}",
                *(f"{x:.2g}" for x in (llm.logprobs.max, llm.logprobs.mean)),
                "same" if llm.answer == clip.answer else "differs",
            )


def _samples(audio: str | os.PathLike[str]) -> Floats:
    samples = read_wave(audio)
    if len(samples) >= WINDOW_S * SAMPLE_RATE_HZ:
        raise AudioError(
            f"{audio} is {len(samples) / SAMPLE_RATE_HZ:.1f} s long, but llama.cpp cuts at "
            f"{WINDOW_S:g} s: compare by a shorter recording"
        )
    return samples


def _ids(model: SpeechLLM, text: str) -> list[int]:
    found: list[int] = model.tokenizer.encode(text, add_special_tokens=False)
    return found


def _text(model: SpeechLLM, ids: Sequence[int]) -> str:
    return str(model.tokenizer.decode(list(ids), skip_special_tokens=True))


def _ask(
    model: SpeechLLM, samples: Floats, task: str, max_new_tokens: int, *, pad: bool
) -> _Prompt:
    """Torch's answer; `pad`: with silence up to 30 s, else as the model was trained."""
    frontend: Any = model.encoder.frontend
    if pad:
        frontend = type(frontend)(frontend.num_mels, pad_to_s=WINDOW_S)
    features = torch.from_numpy(frontend(samples))[None]
    embedding = model.llm.get_input_embeddings()
    with torch.no_grad():
        lengths = torch.tensor([features.shape[1]])
        audio, _ = model.embed_audio(features, lengths)
        floored = audio
        if pad and float(features.max()) < QUIET:
            logger.warning(
                "a recording is so quiet that llama.cpp hears it otherwise than Whisper: raise its "
                "volume before it is sent"
            )
            floored, _ = model.embed_audio(features.clamp(min=FLOOR), lengths)
        laid = parts(model.template, task, audio.shape[1])
        middle = next(i for i, part in enumerate(laid) if not isinstance(part, Text))
        before, after = (
            [i for part in some if isinstance(part, Text) for i in _ids(model, part.text)]
            for some in (laid[:middle], laid[middle + 1 :])
        )
        words = [embedding(torch.tensor([ids])) for ids in (before, after)]
        prompt = torch.cat([words[0], audio, words[1]], dim=1)
        mask = torch.ones(prompt.shape[:2], dtype=torch.bool)
        steps: Any = step_model(model.llm)
        logits: Tensor = steps.start(prompt, mask)[0]
        search = SearchOptions(num_beams=1, eos_bias=0.0, max_new_tokens=max_new_tokens)
        end = _ids(model, template(model.template).end)
        [[best]] = decode(steps, prompt, mask, search, eos_ids=end)
    logprobs = torch.log_softmax(logits[0].float(), dim=-1).numpy()
    embeddings = audio[0].numpy()
    return _Prompt(before, embeddings, floored[0].numpy(), after, logprobs, best.tokens)


def _answer(
    context: LlamaContext,
    prompt: tuple[list[int], Floats, list[int]],
    end: int,
    max_new_tokens: int,
) -> tuple[Floats, list[int]]:
    """Log-probabilities [V] of the first token, and the greedy answer."""
    position, tokens = 0, list[int]()
    logits: Floats = np.zeros(0, np.float32)
    pieces = [p[i : i + BATCH_ROWS] for p in prompt for i in range(0, len(p), BATCH_ROWS)]
    try:
        for piece in pieces:
            logits = _read(context, piece, position)
            position += len(piece)
        wide = logits.astype(np.float64)
        top = wide.max()
        logprobs = wide - top - np.log(np.exp(wide - top).sum())
        while (best := int(logits.argmax())) != end and len(tokens) < max_new_tokens:
            tokens.append(best)
            logits = _read(context, [best], position)
            position += 1
    finally:
        context.remove(0)
    return logprobs.astype(np.float32), tokens


def _read(context: LlamaContext, piece: Sequence[int] | Floats, position: int) -> Floats:
    """Logits after the last row."""
    last = len(piece) - 1
    rows = [Row(0, position + i, i == last) for i in range(len(piece))]
    return context.evaluate(piece, rows)[0]
