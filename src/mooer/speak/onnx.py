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
from mooer.speak.quick_graph import quicker

logger = logging.getLogger(__name__)

_SHORT = 48  # tokens; the memory of so short a clause is kept: it comes often, and is waited for
_GRAPH, _OUTPUT, _NAME = 7, 12, 1  # fields of ModelProto, GraphProto, ValueInfoProto


class SpeakingNetwork:
    """An ONNX file whose first output is sound; `durations` names the tensor of frames.

    It is computed by quicker operators (`quick_graph`) unless `as_released`.
    """

    def __init__(
        self, path: Path, *, num_threads: int, durations: str, as_released: bool = False
    ) -> None:
        self._num_threads = num_threads
        self._frugally = _frugal()
        try:
            self._session, self._with_durations = self._opened(path, durations, as_released)
        except Exception as error:  # onnxruntime has no base class of its own
            raise ModelError(f"{path} is not a usable network: {first_line(error)}") from error

    def _opened(self, path: Path, durations: str, as_released: bool) -> tuple[Any, bool]:
        """The session, and whether it tells durations."""
        data = path.read_bytes()
        if not as_released:
            try:
                quick, num_rewritten = quicker(data, keep=durations)
                if num_rewritten:
                    return self._session_of(quick + _as_output(durations)), True
            except Exception as error:  # as above
                logger.warning("%s is used as it is, which is slow: %s", path, first_line(error))
        try:
            return self._session_of(data + _as_output(durations)), True
        except Exception as error:  # as above
            logger.warning(
                "%s tells no lengths of its sounds (%s): times of words are estimates",
                path,
                first_line(error),
            )
        return self._session_of(data), False

    def _session_of(self, data: bytes) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_mem_reuse = False  # planning it takes seconds, and nothing is gained
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(self, feed: dict[str, Any]) -> tuple[Samples, np.ndarray[Any, Any] | None]:
        """Samples [T], and frames [N] of each token or None. DecodeError if it fails."""
        try:
            tokens = max(array.size for array in feed.values() if array.dtype == np.int64)
            options = self._frugally if tokens > _SHORT else None
            found = self._session.run(None, feed, options)
        except Exception as error:  # as above
            raise DecodeError(f"the network could not speak: {first_line(error)}") from error
        samples = np.asarray(found[0], np.float32).ravel()
        if not np.isfinite(samples).all():
            raise DecodeError("the network gave samples that are no numbers")
        return samples, np.asarray(found[1]).ravel() if self._with_durations else None


def _frugal() -> Any:
    """What a long run took is given back: else memory for the longest sound is kept for good."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _as_output(name: str) -> bytes:
    return _field(_GRAPH, _field(_OUTPUT, _field(_NAME, name.encode())))


def _field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data
