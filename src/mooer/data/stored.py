"""Hidden frames of a frozen encoder, computed once and kept: a training then reads no sound.

    OUT/manifest.jsonl    "audio" is such a file, "stored" the first frame, frames and samples
    OUT/00000.npy …       float16 [F, D], the frames of many recordings one after another

A file is mapped into memory, so that only the frames asked for are read.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.data.supervision import Utterance
from mooer.errors import ManifestError

STORED = "stored"  # the key in a row

Frames = NDArray[np.float32]


def read_stored(utterance: Utterance) -> tuple[Frames, int]:
    """Frames [F, D] and the samples that they were made of. ManifestError if they are not there."""
    place: Any = utterance.extra[STORED]
    try:
        first, num_frames, num_samples = map(int, place)
        found = _mapped(utterance.audio)[first : first + num_frames]
    except (TypeError, ValueError, OSError) as error:
        raise ManifestError(
            f"the stored features {place!r} of {utterance.audio} cannot be read ({error}): "
            "run `mooer data encode` again"
        ) from error
    if len(found) != num_frames or found.ndim != 2:
        raise ManifestError(
            f"{utterance.audio} ends before the features of {utterance.id}: encode it again"
        )
    return found.astype(np.float32), num_samples


@lru_cache(maxsize=64)
def _mapped(path: str) -> NDArray[np.float16]:
    found: NDArray[np.float16] = np.load(Path(path), mmap_mode="r", allow_pickle=False)
    return found
