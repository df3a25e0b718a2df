"""Open an ONNX file on the processor, or say in one sentence why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mooer.errors import ModelError


def open_session(path: Path, *, num_threads: int = 1, content: bytes | None = None) -> Any:
    """An `onnxruntime.InferenceSession`. ModelError if the file is none that can be run.

    `content` is what is opened if it was made in memory; `path` then only names where it is from.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            str(path) if content is None else content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has no base class of its own
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is not a usable ONNX file ({reason}): fetch it again") from None
