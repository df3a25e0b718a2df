"""SenseVoice on onnxruntime, without torch: features in, logits out.

The file is ours (`export.sense_voice`), in float32 or int8, or one that the FunASR project or
sherpa-onnx exports: all have the same four inputs in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.engines.onnx import open_session
from mooer.errors import ModelError

Floats = NDArray[np.float32]

_INPUTS = (
    ["speech", "speech_lengths", "language", "textnorm"],
    ["x", "x_length", "language", "text_norm"],
)
_OUTPUTS = ("ctc_logits", "logits", "log_probs")


class SenseVoiceOnnx:
    """A network in one session; one batch at a time. ModelError for another network's file."""

    def __init__(self, path: Path, *, num_threads: int = 1) -> None:
        self._session = open_session(path, num_threads=num_threads)
        self._inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        if self._inputs not in _INPUTS or outputs[0] not in _OUTPUTS:
            raise ModelError(
                f"{path} is no SenseVoice: it reads {', '.join(self._inputs)} and gives "
                f"{', '.join(outputs)}"
            )
        self._output = outputs[0]
        last = self._session.get_outputs()[0].shape[-1]
        self.num_classes = last if isinstance(last, int) else None  # None: the file does not say

    def logits(self, features: Sequence[Floats], language: int, style: int) -> list[Floats]:
        """Logits [4 + F, V] of each of some utterances [F, M], in one batch.

        `language` and `style` are rows of the network's table of query frames.
        """
        lengths = np.array([len(one) for one in features], np.int32)
        padded = np.zeros((len(features), lengths.max(), features[0].shape[1]), np.float32)
        for row, one in zip(padded, features, strict=True):
            row[: len(one)] = one
        asked = (np.full_like(lengths, row) for row in (language, style))
        given = dict(zip(self._inputs, (padded, lengths, *asked), strict=True))
        [out] = self._session.run([self._output], given)
        num_queries = out.shape[1] - padded.shape[1]
        return [row[: num_queries + length] for row, length in zip(out, lengths, strict=True)]
