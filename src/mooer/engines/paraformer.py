"""Paraformer on onnxruntime, without torch: features in, tokens with their weights out.

The file is ours (`export.paraformer`), in float32 or int8, or one that the FunASR project exports;
of those that give no weights, tokens have no times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.engines.onnx import open_session
from mooer.errors import ModelError

Floats = NDArray[np.float32]

_INPUTS = ["speech", "speech_lengths"]
_OUTPUTS = ["logits", "token_num"]
_WEIGHTS = "us_alphas"


@dataclass(frozen=True)
class Said:
    """What is said in one utterance."""

    log_probs: Floats  # [N, V], natural log
    weights: Floats  # of frames, or of their parts: [F'], empty if they are not known
    parts: int  # of a frame that have a weight of their own


class ParaformerOnnx:
    """A network in one session; one batch at a time. ModelError for another network's file."""

    def __init__(self, path: Path, *, num_threads: int = 1) -> None:
        self._session = open_session(path, num_threads=num_threads)
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        if inputs != _INPUTS or outputs[:2] != _OUTPUTS:
            raise ModelError(
                f"{path} is no Paraformer: it reads {', '.join(inputs)} and gives "
                f"{', '.join(outputs)}"
            )
        self._outputs = [*_OUTPUTS, *(name for name in outputs if name == _WEIGHTS)]
        last = self._session.get_outputs()[0].shape[-1]
        self.num_tokens = last if isinstance(last, int) else None  # None: the file does not say

    def say(self, features: Sequence[Floats]) -> list[Said]:
        """What is said in each of some utterances [F, M], in one batch."""
        lengths = np.array([len(one) for one in features], np.int32)
        padded = np.zeros((len(features), lengths.max(), features[0].shape[1]), np.float32)
        for row, one in zip(padded, features, strict=True):
            row[: len(one)] = one
        given = dict(zip(_INPUTS, (padded, lengths), strict=True))
        log_probs, counts, *weights = self._session.run(self._outputs, given)
        found = weights[0] if weights else np.zeros((len(features), 0), np.float32)
        parts = found.shape[1] // padded.shape[1]
        extra = 1 if parts == 1 else 0  # the place after the end
        return [
            Said(log_probs[i, :count], found[i, : length * parts + extra], max(1, parts))
            for i, (length, count) in enumerate(zip(lengths, counts, strict=True))
        ]
