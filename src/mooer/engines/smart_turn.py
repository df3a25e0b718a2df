"""Smart Turn 3: whether a speaker has finished, by how he sounds (pipecat-ai/smart-turn).

A small Whisper encoder and a classifier behind it hear the last 8 s of a turn: intonation,
hesitation and words alike, in 23 languages.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.audio.features import SAMPLE_RATE_HZ, log_mel
from mooer.engines.onnx import open_session
from mooer.errors import AudioError

WINDOW_S = 8.0
_EPSILON = 1e-7  # of the variance, as Whisper's feature extractor has it

Floats = NDArray[np.float32]


class SmartTurn:
    """The network; ModelError if `folder` does not hold it."""

    def __init__(self, folder: Path, *, num_threads: int = 1) -> None:
        path = next(iter(sorted(folder.glob("*.onnx"))), folder / "smart-turn.onnx")
        self._session = open_session(path, num_threads=num_threads, has_full_bytes=True)

    def complete(self, samples: Floats) -> float:
        """Probability that the turn in samples [T] at 16 kHz is over, of which the end counts.

        AudioError if they are no mono sound.
        """
        features = turn_features(samples)[None]
        (probability,) = self._session.run(None, {"input_features": features})
        return float(probability.reshape(-1)[0])


def turn_features(samples: Floats) -> Floats:
    """Log-mel [80, 800] of the last 8 s, silence before them if they are fewer.

    The samples, that silence with them, are brought to a mean of 0 and a variance of 1 first.
    """
    if samples.ndim != 1:
        raise AudioError(f"a turn is mono samples [T], got an array of shape {samples.shape}")
    size = round(WINDOW_S * SAMPLE_RATE_HZ)
    window = np.zeros(size, np.float32)
    if len(samples):
        window[-min(size, len(samples)) :] = samples[-size:]
    window -= window.mean()
    window /= np.sqrt(window.var() + _EPSILON)
    return log_mel(window)
