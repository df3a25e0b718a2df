"""The real models of a conversation, by their names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from mooer.agent.hearing import WhisperHear
from mooer.agent.mind import Knowledge, Mind
from mooer.agent.minds import MINDS
from mooer.agent.parts import Hear, Parts, Toolbox
from mooer.audio.vad import SpeechModel
from mooer.engines.device import AUTO
from mooer.engines.llm import usable_cores
from mooer.engines.smart_turn import SmartTurn
from mooer.engines.whisper import Whisper, is_small
from mooer.errors import ModelError
from mooer.speak.base import Voice
from mooer.speak.clauses import SOON
from mooer.speak.load import load_speaker
from mooer.speak.spoken import Voicing
from mooer.speak.voicing import voicing_of
from mooer.store import fetch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartsOptions:
    """Which models; each is a name of the catalog, or the folder of its files."""

    hear: str = "whisper-base"
    languages: tuple[str, ...] = ("zh", "en")  # that the user may speak; () is any
    mind: str = "embedded"  # a row of `MINDS`, or the address of a service, http…/v1#model
    key: str = ""  # of the service
    speaker: str = "kokoro-82m"  # a row of `SPEAKERS`, or the address of a server
    voice: str = ""
    vad: str = "silero-vad"
    turn: str | None = "smart-turn-v3.2"  # None: silence alone ends a turn
    num_threads: int | None = None  # of each model; None: the cores that there are
    offline: bool | None = None  # fetch nothing; None: as the environment says


def open_parts(
    options: PartsOptions | None = None,
    *,
    knowledge: Sequence[Knowledge] = (),
    toolbox: Toolbox | None = None,
) -> Parts:
    """Load all models of a conversation; they may be shared by sessions over the same jobs.

    StoreError, ModelError or ConfigError if one cannot be had.
    """
    options = options or PartsOptions()
    threads = options.num_threads or usable_cores()
    vad = SpeechModel(next(fetch(options.vad, offline=options.offline).glob("*.onnx")))
    # It is asked beside what hears: one thread is enough for it, and leaves the other cores alone.
    turn = SmartTurn(fetch(options.turn, offline=options.offline)) if options.turn else None
    return Parts(
        hear=open_hear(options, threads),
        mind=open_mind(options, threads),
        voicing=open_voicing(options, threads),
        vad=vad,
        turn=turn,
        knowledge=tuple(knowledge),
        toolbox=toolbox,
    )


def open_hear(options: PartsOptions, num_threads: int) -> Hear:
    """What hears. ModelError if it is no Whisper model."""
    folder = fetch(options.hear, offline=options.offline)
    if not (folder / "model.bin").is_file():
        raise ModelError(
            f"{options.hear} is no Whisper model, and no other hears turns of a conversation: "
            "take whisper-base"
        )
    engine = Whisper(folder, device=AUTO, num_threads=1 if is_small(folder) else num_threads)
    return WhisperHear(engine, languages=options.languages)


def open_mind(options: PartsOptions, num_threads: int) -> Mind:
    """What answers: "embedded" or "mini" in this process, or a service by its address."""
    name = options.mind
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        mind: Mind = MINDS.load("openai").open(model, url=url, key=options.key)
    else:
        mind = MINDS.load(name).open(num_threads=num_threads)
    logger.info("mind: %s", name)
    return mind


def open_voicing(options: PartsOptions, num_threads: int) -> Voicing:
    """What speaks."""
    speaker = load_speaker(options.speaker, num_threads=num_threads, key=options.key)
    voice = Voice.parse(options.voice) if options.voice else None
    return voicing_of(speaker, voice, clauses=SOON)
