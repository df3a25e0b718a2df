"""SenseVoice on onnxruntime, without torch: features in, log-probabilities out.

The file is ours (`export.sense_voice`) or one that the FunASR project exports, whose logits
are normalised here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError

Floats = NDArray[np.float32]

_INPUTS = ["speech", "speech_lengths", "language", "textnorm"]
_OUTPUTS = (["log_probs", "encoder_out_lens"], ["ctc_logits", "encoder_out_lens"])


class SenseVoiceOnnx:
    """A network in one session; one batch at a time. ModelError for another network's file."""

    def __init__(self, path: Path, *, num_threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no base class of its own
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{path} is not a usable ONNX file ({reason}): fetch it again"
            ) from None
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        if inputs != _INPUTS or outputs not in _OUTPUTS:
            raise ModelError(
                f"{path} is no SenseVoice: it reads {', '.join(inputs)} and gives "
                f"{', '.join(outputs)}"
            )
        self._is_normal = outputs[0] == "log_probs"
        last = self._session.get_outputs()[0].shape[-1]
        self.num_classes = last if isinstance(last, int) else None  # None: the file does not say

    def log_probs(self, features: Sequence[Floats], language: int, style: int) -> list[Floats]:
        """Log-probabilities [4 + F, V] of each of some utterances [F, M], in one batch.

        `language` and `style` are rows of the network's table of query frames.
        """
        lengths = np.array([len(one) for one in features], np.int32)
        padded = np.zeros((len(features), lengths.max(), features[0].shape[1]), np.float32)
        for row, one in zip(padded, features, strict=True):
            row[: len(one)] = one
        asked = (np.full_like(lengths, row) for row in (language, style))
        given = dict(zip(_INPUTS, (padded, lengths, *asked), strict=True))
        out, out_lengths = self._session.run(None, given)
        rows = [row[:length] for row, length in zip(out, out_lengths, strict=True)]
        return rows if self._is_normal else [_log_softmax(row) for row in rows]


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normal: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normal
