"""The model that a user holds: weights by name, recognition and translation by call."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mooer.audio.vad import SpeechModel, VadOptions
from mooer.audio.wave import Source
from mooer.decoding.hotwords import Hotword
from mooer.engines.device import AUTO, CUDA, place
from mooer.engines.llm import LLM, usable_cores
from mooer.engines.whisper import Whisper
from mooer.errors import ConfigError, ModelError
from mooer.infer.ctc_recognizer import CtcRecognizer, load_ctc
from mooer.infer.drafted import DraftedRecognizer
from mooer.infer.fusion import Fusion
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.listening import holds_ctc, listen_by, listen_by_ctc
from mooer.infer.paraformer import load_paraformer
from mooer.infer.paraformer import options_from as paraformer_options
from mooer.infer.recognizer import Recognizer
from mooer.infer.rich import RichEnricher, load_rich
from mooer.infer.run import Listener, Run
from mooer.infer.sense_voice import load_sense_voice
from mooer.infer.sense_voice import options_from as sense_voice_options
from mooer.infer.speech_llm import (
    CTC_DRAFT,
    drafts_by,
    holds_speech_llm,
    is_draft_alone,
    load_speech_llm,
)
from mooer.infer.stream import Session
from mooer.infer.translator import CONTEXT_SEGMENTS, OnText, Translator, check_pair
from mooer.infer.utterance import LiveOptions
from mooer.models.paraformer_folder import holds_paraformer
from mooer.models.sense_voice_folder import holds_sense_voice
from mooer.store import catalog, default_model, fetch
from mooer.text import find_language
from mooer.transcript import Segment, Transcript

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)

DEFAULT_LLM = "qwen2.5-0.5b"
_GPU_WORKERS = 2  # one computes while texts of the other are read
_NO_RECOGNISER = (
    "{name} is no recogniser (it holds no Whisper, no CTC head, no SenseVoice, no Paraformer, no "
    "mooer.yaml and no released speech LLM): `mooer models list` shows which models are"
)
RICH = "rich-mini"  # tells emotions, events and voices of what any recogniser has written


class Options(TypedDict, total=False):
    """Fields of `RecognizeOptions`, all optional, as keyword arguments."""

    language: str | None
    task: str
    beam_size: int | None
    temperatures: tuple[float, ...]
    prompt: str
    hotwords: str | tuple[Hotword, ...]
    fusion: Fusion | None
    script: str
    words: bool
    rich: bool
    gender: bool
    age: bool
    itn: bool
    punctuate: bool
    vad: VadOptions
    max_chunk_s: float
    batch_size: int


def load(
    name: str = "default",
    *,
    llm: str = DEFAULT_LLM,
    num_threads: int | None = None,
    offline: bool | None = None,
    context_segments: int = CONTEXT_SEGMENTS,
    task: str = "asr",
    check_md5: bool = True,
    parts: Mapping[str, str] | None = None,
) -> Model:
    """A model by its name in the catalog, or by the folder of its files; fetched if need be.

    A folder may be of a Whisper model, of rich-mini (its CTC head spells), of SenseVoice, of
    Paraformer, or of a speech LLM, trained here or released: where that holds a network for each
    task, `task` says which, without
    `check_md5` its files need not be the published ones, and `parts` says what of it lies
    elsewhere: llm, encoder. A speech LLM of the kind that needs no torch runs without it;
    `parts={"engine": "torch"}`, "native" or "llama" says which. Of SenseVoice and Paraformer
    `parts` are the fields of `SenseVoiceOptions` and `ParaformerOptions`: {"itn": "false"}. Of all
    `parts` may say the device: {"device": "cuda"}, "cpu", or "auto", the GPU where there is one.

    `llm` translates; it is loaded when a translation is asked for. It is shown `context_segments`
    segments before: none by default, since they mislead the small default LLM (docs/benchmarks.md).
    StoreError if weights cannot be had, ModelError if they are not what they should be.
    """
    folder = fetch(name := _chosen(name, task), offline=offline)
    threads = num_threads or usable_cores()
    is_whisper = (folder / "model.bin").is_file()
    given = dict(parts or {})
    device = given.pop("device", AUTO)
    if given and is_whisper:
        raise ConfigError(f"{name} is no speech LLM, whose parts may lie elsewhere: leave them out")
    vad = SpeechModel(next(fetch("silero-vad", offline=offline).glob("*.onnx")))
    recognizer: Listener
    if is_whisper:
        recognizer = _whisper(folder, vad, device, threads, name=name)
    elif one_pass := _one_pass(folder, vad, given, device, threads, offline):
        recognizer = one_pass
    elif holds_speech_llm(folder):
        recognizer = load_speech_llm(
            folder, vad, task=task, num_threads=threads, check_md5=check_md5, parts=parts
        )
        if draft := drafts_by(folder, given):
            first = _drafter(folder, draft, vad, device, threads, offline)
            recognizer = DraftedRecognizer(first, recognizer, draft_alone=is_draft_alone(folder))
    else:
        raise ModelError(_NO_RECOGNISER.format(name=name))
    return Model(
        recognizer,
        llm=llm,
        device=device,
        num_threads=threads,
        offline=offline,
        context_segments=context_segments,
    )


def _one_pass(
    folder: Path,
    vad: SpeechModel,
    parts: Mapping[str, str],
    device: str,
    num_threads: int,
    offline: bool | None,
) -> Listener | None:
    """A network that says a chunk in one pass; None for the folder of another."""
    if holds_ctc(folder):
        if parts:
            raise ConfigError(f"{folder.name} has no parts to choose: leave them out")
        return load_ctc(folder, vad, device=device, num_threads=num_threads, offline=offline)
    if holds_sense_voice(folder):
        asked = sense_voice_options(parts)
        return load_sense_voice(folder, vad, device=device, num_threads=num_threads, options=asked)
    if holds_paraformer(folder):
        wanted = paraformer_options(parts)
        return load_paraformer(folder, vad, device=device, num_threads=num_threads, options=wanted)
    return None


def listen(
    name: str = "default",
    *,
    live: LiveOptions | None = None,
    num_threads: int | None = None,
    offline: bool | None = None,
    parts: Mapping[str, str] | None = None,
    **options: Unpack[Options],
) -> Session:
    """A stream that is heard by a model: a name in the catalog, or a folder.

    It may be Whisper, the same with an LLM behind it that translates, SenseVoice, or the CTC head
    of rich-mini, whose words come soonest. ConfigError for a model that cannot hear a stream, or an
    option that makes no sense; StoreError and ModelError as `load` has them.
    """
    wanted = RecognizeOptions(**options)
    name = _chosen(name, wanted.task)
    folder = fetch(name, offline=offline)
    if holds_ctc(folder):
        device = (parts or {}).get("device", AUTO)
        return listen_by_ctc(
            folder, wanted, live, device=device, num_threads=num_threads, offline=offline
        )
    model = load(name, num_threads=num_threads, offline=offline, task=wanted.task, parts=parts)
    return model.listen(live, **options)


def _chosen(name: str, task: str) -> str:
    """The name itself, or of "default" the model that does this task best."""
    if name == "default":
        name = default_model(task)
        logger.info("model: %s", name)
    return name


def _whisper(
    folder: Path, vad: SpeechModel, device: str, num_threads: int, *, name: str
) -> Recognizer:
    name, versions = Path(name).name, {one: version(one) for one in ("mooer", "ctranslate2")}
    if place(device).device == CUDA:  # which is one, however long the recording is
        engine = Whisper(folder, device=CUDA, num_threads=num_threads, workers=_GPU_WORKERS)
        return Recognizer(engine, vad, name=name, versions=versions)
    return Recognizer(
        Whisper(folder, num_threads=num_threads),
        vad,
        name=name,
        versions=versions,
        make_crew=lambda: Whisper(folder, num_threads=1, workers=num_threads),
    )


def _drafter(
    folder: Path, draft: str, vad: SpeechModel, device: str, num_threads: int, offline: bool | None
) -> Recognizer | CtcRecognizer:
    """Who writes what the speech LLM of a folder is shown."""
    if draft == CTC_DRAFT:
        return load_ctc(folder, vad, device=device, num_threads=num_threads, offline=offline)
    return _whisper(fetch(draft, offline=offline), vad, device, num_threads, name=draft)


class Model:
    """A recogniser, and a translator that is loaded at its first use."""

    def __init__(
        self,
        recognizer: Listener,
        *,
        llm: str = DEFAULT_LLM,
        device: str = AUTO,
        num_threads: int | None = None,
        offline: bool | None = None,
        context_segments: int = CONTEXT_SEGMENTS,
    ) -> None:
        self.recognizer = recognizer
        if RICH in catalog():
            recognizer.make_enricher = lambda: RichEnricher(
                load_rich(f"store:{RICH}", device=device)
            )
        self._context_segments = context_segments
        self._llm_name = llm
        self._num_threads = num_threads
        self._offline = offline
        self._translator: Translator | None = None

    @property
    def translator(self) -> Translator:
        """The LLM as translator; fetched and loaded at the first call."""
        if self._translator is None:
            path = fetch(self._llm_name, offline=self._offline)
            self._translator = Translator(
                LLM(path, num_threads=self._num_threads),
                name=self._llm_name,
                context_segments=self._context_segments,
            )
        return self._translator

    @property
    def translates(self) -> bool:
        """Whether the recogniser itself translates as it hears, both ways."""
        return isinstance(self.recognizer, DraftedRecognizer)

    def transcribe(
        self, source: Source, *, rate_hz: int | None = None, **options: Unpack[Options]
    ) -> Transcript:
        """What is said in a file, in bytes, or in samples [T] or [T, C] of `rate_hz`.

        AudioError if it cannot be read, ConfigError for an option that makes no sense.
        """
        return self.recognizer.transcribe(source, RecognizeOptions(**options), rate_hz=rate_hz)

    def stream(
        self, source: Source, *, rate_hz: int | None = None, **options: Unpack[Options]
    ) -> Run:
        """The same by segments: iterate it; at the end ask its `transcript(segments)`."""
        return self.recognizer.run(source, RecognizeOptions(**options), rate_hz=rate_hz)

    def listen(self, live: LiveOptions | None = None, **options: Unpack[Options]) -> Session:
        """A stream that is heard while it is spoken: push samples to it, and words come.

        ConfigError if this recogniser cannot do that.
        """
        return listen_by(self.recognizer, RecognizeOptions(**options), live)

    def translate(
        self,
        source: Source | Transcript,
        to: str = "en",
        *,
        glossary: Mapping[str, str] | None = None,
        rate_hz: int | None = None,
        **options: Unpack[Options],
    ) -> Transcript:
        """A transcript whose segments carry a translation into the language `to`.

        A speech LLM translates what it hears; for a glossary, and for any other recogniser, the
        LLM does.
        """
        if isinstance(source, Transcript):
            transcript = source
        elif self.translates and not glossary:
            wanted = replace(RecognizeOptions(**options), task="ast", to=find_language(to))
            return self.recognizer.transcribe(source, wanted, rate_hz=rate_hz)
        else:
            self._check_pair(options, to)
            transcript = self.transcribe(source, rate_hz=rate_hz, **options)
        return self.translator.translate(transcript, to=to, glossary=glossary)

    def stream_translation(
        self,
        source: Source,
        to: str = "en",
        *,
        glossary: Mapping[str, str] | None = None,
        on_text: OnText | None = None,
        **options: Unpack[Options],
    ) -> Iterator[Segment]:
        """Segments with their translation, each as soon as it is done."""
        self._check_pair(options, to)
        run = self.stream(source, **options)
        return self.translator.stream(run, to=to, glossary=glossary, on_text=on_text)

    def _check_pair(self, options: Options, to: str) -> None:
        """Refuse an impossible pair before minutes are spent on recognition."""
        language = options.get("language")
        if language:
            check_pair(language, to)
        else:
            find_language(to)
