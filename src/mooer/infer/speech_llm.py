"""A speech LLM as a recogniser: it transcribes, translates, or does both in one answer.

    recognizer = SpeechLLMRecognizer(TorchNetwork(model), vad, name="mooer", versions={})
    recognizer.transcribe("talk.mp3", RecognizeOptions(task="asr_ast"))

A chunk of speech is one segment: the network says no times.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mooer.audio.vad import SpeechModel
from mooer.audio.wave import SAMPLE_RATE_HZ, Source, Wave, open_wave, read_wave
from mooer.decoding import rules
from mooer.decoding.generation import SearchOptions
from mooer.engines.device import AUTO, CUDA
from mooer.engines.speech_folder import read_options
from mooer.engines.speech_llm import SpeechLLM as NativeSpeechLLM
from mooer.engines.speech_llm import why_not
from mooer.errors import (
    AudioError,
    ConfigError,
    MissingExtra,
    ModelError,
    MooerError,
    did_you_mean,
)
from mooer.infer.answering import Answered, Answerer, Network, language_of
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk, Samples, batches
from mooer.infer.native_network import NativeNetwork
from mooer.infer.pool import transcripts
from mooer.infer.run import Listener, OnProgress, Run
from mooer.infer.torch_device import torch_device
from mooer.infer.torch_network import SpeechLLM, TorchNetwork
from mooer.store import SCHEME
from mooer.tasks.templates import tasks
from mooer.text import find_language
from mooer.transcript import Segment, Transcript

logger = logging.getLogger(__name__)

MAX_S = 30.0  # what such models are trained on
SEARCH = SearchOptions(max_new_tokens=500)  # as MooER decodes; the length of the speech bounds it
CONFIG = "mooer.yaml"  # of our own layout (models.load)
ADAPTER = "adapter_project.pt"  # of MooER's (models.released)
_RELEASED_NAMES = {"asr": "asr", "ast": "ast", "asr_ast": "asr_ast_mtl"}  # our tasks and its
PARTS: Mapping[str, Callable[[str], Any]] = {
    "llm": str,
    "encoder": str,
    "lora_alpha": float,
    "engine": str,  # one of ENGINES
    "draft": str,  # the Whisper that drafts, CTC_DRAFT or NO_DRAFT
    "device": str,  # see `engines.device`
}
ENGINES = ("native", "torch", "llama")  # llama: native, the LLM on llama.cpp even so
NO_DRAFT = "none"
CTC_DRAFT = "ctc"  # by the model's own CTC head
_TOGETHER = 8  # batches of chunks of several inputs that are held at once
_AHEAD = 4  # batches that are read at once, so that chunks of like length go together


class SpeechLLMRecognizer(Listener):
    """A speech LLM with a VAD before it and guards behind it; use one from one thread.

    `search` is how it decodes, and may be set to something else between two inputs; `beam_size`
    of the options, where given, takes the place of its beams.
    """

    def __init__(
        self,
        network: Network[Any],
        vad: SpeechModel,
        *,
        name: str = "",
        versions: dict[str, str],
        search: SearchOptions = SEARCH,
    ) -> None:
        super().__init__(vad, name=name, versions=versions)
        self.network = network
        self.search = search

    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Open an input; iterate the result for segments.

        AudioError if it cannot be read; ConfigError for what a speech LLM cannot do.
        """
        options = options or RecognizeOptions()
        answerer = self.answerer(options)
        wave = open_wave(source, rate_hz=rate_hz)
        return _SpeechRun(self, wave, source, _with_code(options), on_progress, answerer)

    def transcribe_all(
        self, sources: Iterable[Source], options: RecognizeOptions | None = None
    ) -> Iterator[Transcript | MooerError]:
        """A transcript or an error for each input in order; chunks of several share a batch.

        What fails in one input is in its place, and nothing of the others is lost. ConfigError
        for what a speech LLM cannot do.
        """
        options = _with_code(options or RecognizeOptions())
        answerer = self.answerer(options)
        size = options.batch_size

        def open_run(source: Source) -> _SpeechRun:
            return _SpeechRun(self, open_wave(source), source, options, None, answerer)

        def decode(pairs: Sequence[tuple[_SpeechRun, Chunk]]) -> list[Iterable[Segment]]:
            answered = by_length(answerer, [chunk for _, chunk in pairs], size)
            return [
                run.to_segments(chunk, one)
                for (run, chunk), one in zip(pairs, answered, strict=True)
            ]

        return transcripts(sources, open_run, decode, _TOGETHER * size)

    def stream(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
    ) -> Iterator[str]:
        """The raw answer to one utterance of at most 30 s, in pieces of text as it is written.

        Greedy, and no guard looks at it. AudioError if it cannot be read or is longer.
        """
        options = replace(options or RecognizeOptions(), beam_size=1)
        samples = read_utterance(source, rate_hz)
        return self.answerer(options).stream(samples)

    def answerer(self, options: RecognizeOptions) -> Answerer[Any]:
        """The LLM with what it is asked to do. ConfigError for what it cannot do."""
        known = tasks(self.network.template)
        into = "" if options.task == "asr" or options.to == "en" else f"_{options.to}"
        task = options.task + into
        if task not in known:
            raise ConfigError(
                f"the speech LLM {self.name} was not trained for the task {task}: "
                f"it knows {', '.join(known)}"
            )
        for name in ("prompt", "words", "fusion"):
            if getattr(options, name):
                raise ConfigError(f"a speech LLM has no use for {name}: leave it out")
        search = replace(self.search, num_beams=options.beam_size or self.search.num_beams)
        return Answerer(
            self.network,
            task,
            search,
            language=options.language and find_language(options.language),
            target=options.to,
            temperatures=options.temperatures,
            hotwords=options.expected,
        )


def read_utterance(source: Source, rate_hz: int | None) -> Samples:
    """Samples [T] at 16 kHz of at most 30 s; AudioError if there are more."""
    samples = read_wave(source, rate_hz=rate_hz, max_s=MAX_S + 1)
    if len(samples) > MAX_S * SAMPLE_RATE_HZ:
        raise AudioError(
            f"the input is longer than {MAX_S:.0f} s, and only one utterance can be streamed: "
            "iterate `run` for segments"
        )
    return samples


def _with_code(options: RecognizeOptions) -> RecognizeOptions:
    """The same, with the language by its code."""
    language = options.language and find_language(options.language)
    return replace(options, language=language)


def holds_speech_llm(folder: Path) -> bool:
    """Whether a folder looks like a speech LLM: of our own layout, or as MooER was released."""
    return (folder / CONFIG).is_file() or bool(_released_tasks(folder))


def drafts_by(folder: Path, parts: Mapping[str, str]) -> str | None:
    """Whose drafts a speech LLM is shown, a Whisper's or CTC_DRAFT, by `parts` or as trained."""
    if not (folder / CONFIG).is_file():
        return None
    draft = parts.get("draft") or read_options(folder).draft
    return None if draft in (None, NO_DRAFT) else draft.removeprefix(SCHEME)


def is_draft_alone(folder: Path) -> bool:
    """Whether the LLM is shown the draft without the sound."""
    return read_options(folder).draft_alone


def load_speech_llm(
    folder: Path,
    vad: SpeechModel,
    *,
    task: str = "asr",
    num_threads: int | None = None,
    check_md5: bool = True,
    parts: Mapping[str, str] | None = None,
) -> SpeechLLMRecognizer:
    """The speech LLM of a folder, without torch if it can be run so.

    In torch it runs on the GPU in bfloat16 if there is one, without torch its encoder alone does,
    or as the part `device` says. `task` chooses among the networks of a released folder; without
    `check_md5` its files need not be the published ones; `parts` says what of it lies elsewhere,
    and the `engine` (see `PARTS`, `ENGINES`). ConfigError for another part, ModelError lists what
    does not fit.
    """
    places = _places(parts or {})
    wanted = places.pop("engine", None)
    places.pop("draft", None)  # see `drafts_by`
    device = places.pop("device", AUTO)
    is_ours = (folder / CONFIG).is_file()
    reason = why_not(folder) if is_ours else "it is a released one, which runs in torch alone"
    if wanted in ("native", "llama") and reason is not None:
        raise ModelError(f"{folder} cannot be run without torch: {reason}")
    if wanted == "torch" or reason is not None:
        logger.info("%s runs in torch: %s", folder.name, reason or "as asked for")
        model = _load_in_torch(folder, task, device, num_threads, check_md5, places)
        network: Network[Any] = TorchNetwork(model)
        packages = ("torch", "transformers")
    else:
        packs = wanted != "llama"
        native = NativeSpeechLLM(folder, device=device, num_threads=num_threads, packs=packs)
        library, package = native.llm.library
        logger.info("%s runs on CTranslate2 and %s, without torch", folder.name, library)
        network = NativeNetwork(native)
        packages = ("ctranslate2", package)
    versions = {name: version(name) for name in ("mooer", *packages)}
    return SpeechLLMRecognizer(network, vad, name=folder.resolve().name, versions=versions)


def _load_in_torch(
    folder: Path,
    task: str,
    device: str,
    num_threads: int | None,
    check_md5: bool,
    places: dict[str, Any],
) -> SpeechLLM:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    if num_threads:
        torch.set_num_threads(num_threads)
    device = torch_device(device)
    dtype: Literal["bfloat16", "float32"] = "bfloat16" if device == CUDA else "float32"
    if (folder / CONFIG).is_file():
        from mooer.models.load import load

        return load(folder, device, dtype, merge=True)
    from mooer.models.released import ReleasedOptions, load_released

    name = choose_task(_released_tasks(folder), task, folder)
    options = ReleasedOptions(task=name, check_md5=check_md5, dtype=dtype, **places)
    return load_released(folder.resolve(), options, device)


def _places(parts: Mapping[str, str]) -> dict[str, Any]:
    for name in parts:
        if name not in PARTS:
            raise ConfigError(f"unknown part {name!r}: {did_you_mean(name, PARTS)}")
    engine = parts.get("engine", ENGINES[0])
    if engine not in ENGINES:
        raise ConfigError(f"unknown engine {engine!r}: {did_you_mean(engine, ENGINES)}")
    try:
        return {name: PARTS[name](value) for name, value in parts.items()}
    except ValueError as error:
        raise ConfigError(f"lora_alpha is a number: {error}") from None


def choose_task(names: Sequence[str], task: str, folder: Path) -> str:
    """The one of a released folder's tasks that does ours; ModelError if none does.

    >>> choose_task(["asr", "asr_ast_mtl"], "asr_ast", Path("MooER-MTL-5K"))
    'asr_ast_mtl'
    """
    wanted = _RELEASED_NAMES.get(task, task)
    if wanted in names:
        return wanted
    if len(names) == 1 and names[0] not in _RELEASED_NAMES.values():
        return names[0]
    raise ModelError(
        f"{folder} has no network for the task {task}: it holds {', '.join(sorted(names))}"
    )


def _released_tasks(folder: Path) -> list[str]:
    found = [*folder.glob(ADAPTER), *folder.glob(f"*/{ADAPTER}")]
    names = [path.resolve().parent.name for path in found]
    for place in (folder, *folder.glob("*/")):  # DeepSpeed's, with an adapter in them
        if (place / "latest").is_file() and any(place.glob("*/*_model_states.pt")):
            names.append(place.resolve().name)
    return names


class _SpeechRun(Run):
    """One input on its way through a speech LLM."""

    def __init__(
        self,
        recognizer: Listener,
        wave: Wave,
        source: Source,
        options: RecognizeOptions,
        on_progress: OnProgress | None,
        answerer: Answerer[Any],
    ) -> None:
        super().__init__(recognizer, wave, source, options, on_progress)
        self._answerer = answerer

    def decoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Iterable[Segment]]]:
        size = self._options.batch_size
        for together in batches(chunks, size * _AHEAD):
            answered = by_length(self._answerer, together, size)
            for chunk, one in zip(together, answered, strict=True):
                yield chunk, self.to_segments(chunk, one)

    def to_segments(self, chunk: Chunk, answered: Answered) -> Iterator[Segment]:
        """The segment of a chunk, if anything was said."""
        answer, faults = answered.answer, answered.faults
        text = answer.transcript if answer.transcript is not None else answer.translation
        if not text or "over_silence" in faults:
            return
        if "loops" in faults:
            text = rules.without_loop(text)
        translation = answer.translation
        if answer.transcript is None:
            translation = text
            language = self._options.language or "und"
        else:
            language = self._options.language or language_of(text)
            text = self._in_script(text, language)
        yield Segment(
            start_s=chunk.input_time_s(0.0),
            end_s=chunk.end_s,
            text=text,
            language=language,
            translation=translation,
            avg_logprob=round(answered.hypothesis.avg_logprob, 4),
            temperature=answered.temperature,
            warnings=faults,
        )


def by_length(
    answerer: Answerer[Any], chunks: Sequence[Chunk], size: int, drafts: Sequence[str] = ()
) -> list[Answered]:
    """Answers to chunks in their order, decoded in batches of like length; with a draft of each."""
    order = [int(i) for i in np.argsort([-chunk.duration_s for chunk in chunks], kind="stable")]
    found: dict[int, Answered] = {}
    for start in range(0, len(order), size):
        places = order[start : start + size]
        shown = [drafts[i] for i in places] if drafts else ()
        answered = answerer.answers([chunks[i] for i in places], shown)
        found.update(zip(places, answered, strict=True))
    return [found[i] for i in range(len(chunks))]
