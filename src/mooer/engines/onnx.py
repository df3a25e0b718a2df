"""Open an ONNX file on the processor, or say in one sentence why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mooer.errors import ModelError


def open_session(
    path: Path,
    *,
    num_threads: int = 1,
    content: bytes | None = None,
    has_full_bytes: bool = False,
) -> Any:
    """An `onnxruntime.InferenceSession`. ModelError if the file is none that can be run.

    `content` is what is opened if it was made in memory; `path` then only names where it is from.
    `has_full_bytes`: its weights use all 8 bits of a byte, so that x86 without VNNI, which adds
    pairs of products in 16 bits, has to multiply them in a slower way or clip.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", str(int(has_full_bytes)))
    try:
        return onnxruntime.InferenceSession(
            str(path) if content is None else content, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has no base class of its own
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is not a usable ONNX file ({reason}): fetch it again") from None
