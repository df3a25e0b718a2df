"""CTC models that spell, by name or by folder: texts are aligned by them, and speech is heard."""

from __future__ import annotations

from pathlib import Path

from mooer.decoding.ctc import CtcModel
from mooer.engines.device import AUTO
from mooer.engines.llm_ctc import LlmCtc
from mooer.engines.rich import CONFIG, Rich
from mooer.engines.speech_folder import CTC
from mooer.errors import ModelError
from mooer.store import fetch

DEFAULT_ALIGNER = "rich-mini"
ENCODER = "whisper-base"  # whose frames the heads of rich-mini read


def load_aligner(
    name: str = "default",
    *,
    device: str = AUTO,
    num_threads: int | None = None,
    offline: bool | None = None,
) -> CtcModel:
    """A CTC model by its name in the catalog, or by the folder of its files.

    StoreError if weights cannot be had, ModelError if they are not of a CTC model.
    """
    name = DEFAULT_ALIGNER if name == "default" else name
    folder = fetch(name, offline=offline)
    if holds(folder, CONFIG) or holds(folder, CTC):
        return load_speller(folder, device=device, num_threads=num_threads, offline=offline)
    raise ModelError(
        f"{name} cannot be aligned to: {folder} holds no {CONFIG} and no {CTC}; take "
        f"{DEFAULT_ALIGNER}"
    )


def load_speller(
    folder: Path,
    *,
    device: str = AUTO,
    num_threads: int | None = None,
    offline: bool | None = None,
) -> Rich | LlmCtc:
    """The CTC head of a folder: of a rich model, or of a speech LLM. ModelError if it has none."""
    if holds(folder, CONFIG):
        encoder = fetch(ENCODER, offline=offline)
        return Rich(folder, encoder, device=device, num_threads=num_threads or 0)
    return LlmCtc(folder, device=device, num_threads=num_threads or 0)


def holds(folder: Path, file: str) -> bool:
    """Whether a file is in a folder, or in one of those in it."""
    return (folder / file).is_file() or any(folder.glob(f"*/{file}"))
