"""Networks that speak, by onnxruntime on the processor, with how long each sound lasts.

The released files give samples alone. How many frames each phoneme takes is a tensor inside the
graph, which is made an output by one more field behind the file's: two messages of a protocol
buffer that follow one another are merged.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from mooer.errors import DecodeError, ModelError, first_line
from mooer.speak.base import Samples

logger = logging.getLogger(__name__)

_GRAPH, _OUTPUT, _NAME = 7, 12, 1  # fields of ModelProto, GraphProto, ValueInfoProto


class SpeakingNetwork:
    """An ONNX file whose first output is sound; `durations` names the tensor of frames."""

    def __init__(self, path: Path, *, num_threads: int, durations: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4

        def load(file: Any) -> Any:
            return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

        self._with_durations = True
        try:
            data = path.read_bytes()
            try:
                self._session = load(data + _as_output(durations))
            except Exception as error:  # onnxruntime has no base class of its own
                logger.warning(
                    "%s tells no lengths of its sounds (%s): times of words are estimates",
                    path,
                    first_line(error),
                )
                self._with_durations = False
                self._session = load(data)
        except Exception as error:
            raise ModelError(f"{path} is not a usable network: {first_line(error)}") from error

    def run(self, feed: dict[str, Any]) -> tuple[Samples, np.ndarray[Any, Any] | None]:
        """Samples [T], and frames [N] of each token or None. DecodeError if it fails."""
        try:
            found = self._session.run(None, feed)
        except Exception as error:  # as above
            raise DecodeError(f"the network could not speak: {first_line(error)}") from error
        samples = np.asarray(found[0], np.float32).ravel()
        if not np.isfinite(samples).all():
            raise DecodeError("the network gave samples that are no numbers")
        return samples, np.asarray(found[1]).ravel() if self._with_durations else None


def _as_output(name: str) -> bytes:
    return _field(_GRAPH, _field(_OUTPUT, _field(_NAME, name.encode())))


def _field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data
