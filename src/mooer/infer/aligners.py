"""CTC models that texts are aligned by, by name or by folder."""

from __future__ import annotations

from pathlib import Path

from mooer.decoding.ctc import CtcModel
from mooer.engines.device import AUTO
from mooer.errors import ModelError
from mooer.registry import Table
from mooer.store import fetch

DEFAULT_ALIGNER = "rich-mini"
ENCODER = "whisper-base"  # whose frames the heads read
# Given the folders of the heads and of their encoder, device, and num_threads (0: all), each is
# a `CtcModel`. A kind is known by a file of its folder, or of one in it.
ALIGNERS = Table("aligner", {"rich.yaml": "mooer.engines.rich:Rich"})


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
    for file in ALIGNERS:
        if holds(folder, file):
            kind = ALIGNERS.load(file)
            encoder = fetch(ENCODER, offline=offline)
            model: CtcModel = kind(folder, encoder, device=device, num_threads=num_threads or 0)
            return model
    raise ModelError(
        f"{name} cannot be aligned to: {folder} holds no {' or '.join(ALIGNERS)}; take "
        f"{DEFAULT_ALIGNER}"
    )


def holds(folder: Path, file: str) -> bool:
    """Whether a file is in a folder, or in one of those in it."""
    return (folder / file).is_file() or any(folder.glob(f"*/{file}"))
