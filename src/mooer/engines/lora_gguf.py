"""LoRA as peft writes it, as the GGUF file that llama.cpp reads: in numpy alone.

    with as_gguf(folder) as path:
        llm = EmbeddingLLM(base, lora=path)

A file is written once, MOOER_HOME/lora/<hash of LoRA and its options>.gguf, and found again.

Layout of GGUF v3, little-endian: magic, version u32, number of tensors u64 and of values u64; the
values, each its key, type u32 and content; of each tensor its name, rank u32, dimensions u64 (the
last of numpy's first), type u32 and offset u64 from the end of all this; the tensors. Strings have
their length in front, u64; tensors begin at multiples of 32 bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_library import F16, F32
from mooer.errors import ModelError, OutputError, listed
from mooer.files import write_whole
from mooer.store.lora import CONFIG, WEIGHTS, layer, read_options, sizes
from mooer.store.safetensors import read_safetensors
from mooer.store.settings import read_settings

Array = NDArray[Any]

ARCHITECTURES = ("qwen2",)  # whose names are known, and whose rows are as in transformers
_LAYERS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_IN_BLOCK = re.compile(r"model\.layers\.(\d+)\.(.+)")
_ALIGNMENT = 32
_FLOAT32, _STRING = 6, 8  # types of values
_HEAD_BYTES = 1 << 20

_logger = logging.getLogger(__name__)


def gguf_name(name: str) -> str | None:
    """The name in GGUF of a tensor of Qwen2 in transformers; None if it has no such tensor.

    >>> gguf_name("model.layers.3.self_attn.q_proj.weight")
    'blk.3.attn_q.weight'
    """
    stem, _, kind = name.rpartition(".")
    if match := _IN_BLOCK.fullmatch(stem):
        ours = _LAYERS.get(match[2])
        return ours and f"blk.{match[1]}.{ours}.{kind}"
    ours = _OUTSIDE.get(stem)
    return ours and f"{ours}.{kind}"


def read_architecture(path: Path) -> str:
    """`general.architecture` of a GGUF file; ModelError if it does not say."""
    key = _string("general.architecture") + struct.pack("<I", _STRING)
    with path.open("rb") as file:
        rest = file.read(_HEAD_BYTES).partition(key)[2]
    size = int.from_bytes(rest[:8], "little")
    if not 0 < size <= len(rest) - 8:
        raise ModelError(f"{path} does not say its architecture: fetch it again")
    return rest[8 : 8 + size].decode(errors="replace")


@contextlib.contextmanager
def as_gguf(folder: Path) -> Iterator[Path]:
    """LoRA of a folder as a file of llama.cpp, which need not be there afterwards.

    ModelError if it is damaged, no plain LoRA, or not of an LLM in `ARCHITECTURES`.
    """
    path = read_settings().home / "lora" / f"{digest_of(folder).hexdigest()[:16]}.gguf"
    with contextlib.ExitStack() as stack:
        if not path.is_file():
            content = converted(folder)
            try:
                write_whole(path, content)
            except OutputError as error:
                _logger.info("LoRA is not kept: %s", error)
                path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / path.name
                write_whole(path, content)
        yield path


def digest_of(folder: Path) -> hashlib._Hash:
    """SHA-256 of LoRA and its options; ModelError if a file cannot be read."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS[0]):
        digest.update(_content(folder / name))
    return digest


def converted(folder: Path) -> bytes:
    """The file of llama.cpp with LoRA of a folder, in the types it has there."""
    return lora_file(ARCHITECTURES[0], *lora_tensors(folder))


def lora_tensors(folder: Path) -> tuple[float, dict[str, Array]]:
    """Alpha, and the tensors of a folder as `lora_file` takes them; errors as `as_gguf`."""
    source = folder / WEIGHTS[0]
    arrays = read_safetensors(source)
    options = read_options(folder)
    alpha = sizes(options, {name: array.shape for name, array in arrays.items()}, source).alpha
    tensors: dict[str, Array] = {}
    strange, damaged = [], []
    for name, array in arrays.items():
        stem, side = layer(name)
        ours = gguf_name(f"{stem}.weight")
        if ours is None:
            strange.append(stem)
        if not np.isfinite(array).all():
            damaged.append(name)
        kind = np.float16 if array.dtype == np.float16 else np.float32
        tensors[f"{ours}.lora_{side.lower()}"] = array.astype(kind, copy=False)
    if strange:
        raise ModelError(
            f"{source} is for layers that no {ARCHITECTURES[0]} has: {listed(strange)}"
        )
    if damaged:
        raise ModelError(f"{source} holds numbers that are not finite: {listed(damaged)}")
    return alpha, tensors


def lora_file(architecture: str, alpha: float, tensors: Mapping[str, Array]) -> bytes:
    """The file of llama.cpp with LoRA for a base of that architecture.

    `tensors` are float32 or float16: `blk.0.attn_q.weight.lora_a` [R, in], `….lora_b` [out, R].
    """
    values = {
        "general.architecture": architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
    }
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(values) + 1)]
    for key, text in values.items():
        parts += [_string(key), struct.pack("<I", _STRING), _string(text)]
    parts += [_string("adapter.lora.alpha"), struct.pack("<If", _FLOAT32, alpha)]
    offset = 0
    contents = []
    for name, array in sorted(tensors.items()):
        kind = F16 if array.dtype == np.float16 else F32
        shape = struct.pack(f"<I{array.ndim}Q", array.ndim, *reversed(array.shape))
        parts += [_string(name), shape, struct.pack("<IQ", kind, offset)]
        contents.append(_padded(array.astype("<f2" if kind == F16 else "<f4").tobytes()))
        offset += len(contents[-1])
    return b"".join([_padded(b"".join(parts)), *contents])


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): fetch it again") from None


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
