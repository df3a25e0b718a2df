"""Whisper's decoder in numpy, a token at a time: for searches that CTranslate2 does not have.

    decoder = WhisperDecoder(fetch("whisper-base"))
    state = decoder.start(np.asarray(encoded.output)[0])     # frames [F, D] of one chunk
    logits = decoder.step(state, [prompt], [0])              # [1, V] after the prompt
    logits = decoder.step(state, [[7], [9]], [0, 0])         # two rows go on from it

CTranslate2 searches by itself and tells no probabilities on the way; a language model that has a
say in each step needs them (`mooer.decoding.fusion`). Given no frames the decoder is its own
language model: the context of its cross-attention is zero (Meng et al. 2021, arXiv:2011.01991, as
for attention decoders). Weights are those of CTranslate2's model.bin, computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import DecodeError, ModelError
from mooer.store.ct2 import Array, read_ct2

Floats = NDArray[np.float32]

_EPS = 1e-5  # of the norms
_GELU = 3  # CTranslate2's number of it


@dataclass(frozen=True)
class _Linear:
    weight: Floats  # [in, out]
    bias: Floats

    def __call__(self, x: Floats) -> Floats:
        y: Floats = x @ self.weight + self.bias
        return y


@dataclass(frozen=True)
class _Norm:
    gamma: Floats
    beta: Floats

    def __call__(self, x: Floats) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        y: Floats = centred / np.sqrt(variance + np.float32(_EPS)) * self.gamma + self.beta
        return y


@dataclass(frozen=True)
class _Layer:
    self_norm: _Norm
    self_in: _Linear  # to q, k and v
    self_out: _Linear
    cross_norm: _Norm
    cross_query: _Linear
    cross_frames: _Linear  # to k and v
    cross_out: _Linear
    fed_norm: _Norm
    fed_in: _Linear
    fed_out: _Linear


class DecoderState:
    """Keys and values of the rows so far, and of the frames; held by whoever searches."""

    def __init__(self, frames: list[tuple[Floats, Floats]] | None, num_layers: int) -> None:
        self.frames = frames  # keys [H, F, D/H] and values of each layer; None: nothing is heard
        self.rows: list[tuple[Floats, Floats] | None] = [None] * num_layers  # [R, H, L, D/H]
        self.num_tokens = 0


class WhisperDecoder:
    """The decoder of a released Whisper. ModelError if the folder does not hold one."""

    def __init__(self, folder: Path) -> None:
        path = Path(folder) / "model.bin"
        model = read_ct2(path)
        if model.specification != "WhisperSpec":
            raise ModelError(f"{folder} is a {model.specification}, not a Whisper model")
        arrays = {
            name.removeprefix("decoder/"): array
            for name, array in model.arrays.items()
            if name.startswith("decoder/")
        }
        self._num_heads = int(arrays["num_heads"])
        activation = int(arrays["activation"])
        if activation != _GELU or not int(arrays["pre_norm"]):
            raise ModelError(f"{path} is of another kind than OpenAI's Whisper: no search in it")
        self._embeddings = _floats(arrays, "embeddings")
        self._positions = _floats(arrays, "position_encodings", "encodings")
        tied = np.array_equal(arrays["projection/weight"], arrays["embeddings/weight"])
        weight = self._embeddings if tied else _floats(arrays, "projection")
        self._projection = weight.T  # a view: BLAS reads it either way
        self._norm = _norm(arrays, "layer_norm")
        num_layers = 0
        while f"layer_{num_layers}/ffn/linear_0/weight" in arrays:
            num_layers += 1
        self._layers = [_layer(arrays, f"layer_{i}") for i in range(num_layers)]
        self.num_tokens = len(self._embeddings)
        self.max_tokens = len(self._positions)

    def start(self, frames: Floats | None) -> DecoderState:
        """A state that has read nothing, for frames [F, D] of the encoder, or for none."""
        if frames is None:
            return DecoderState(None, len(self._layers))
        heard = []
        for layer in self._layers:
            keys, values = np.split(layer.cross_frames(np.asarray(frames, np.float32)), 2, axis=-1)
            heard.append((self._heads(keys[None])[0], self._heads(values[None])[0]))
        return DecoderState(heard, len(self._layers))

    def step(
        self, state: DecoderState, tokens: Sequence[Sequence[int]], parents: Sequence[int]
    ) -> Floats:
        """Logits [R, V] of what follows `tokens` [R, L], said after the rows `parents` [R].

        The rows take the place of those before them; the first are said after row 0. DecodeError
        beyond the positions that the model knows.
        """
        ids = np.asarray(tokens)
        end = state.num_tokens + ids.shape[1]
        if end > self.max_tokens:
            raise DecodeError(f"the decoder knows {self.max_tokens} tokens: cut the sound shorter")
        x = self._embeddings[ids] + self._positions[state.num_tokens : end]
        for index, layer in enumerate(self._layers):
            x = x + self._attend_self(layer, layer.self_norm(x), state, index, parents)
            if state.frames is not None:
                query = self._heads(layer.cross_query(layer.cross_norm(x)))
                keys, values = state.frames[index]
                x = x + layer.cross_out(self._joined(_attention(query, keys, values)))
            else:
                x = x + layer.cross_out.bias
            x = x + layer.fed_out(_gelu(layer.fed_in(layer.fed_norm(x))))
        state.num_tokens = end
        logits: Floats = self._norm(x[:, -1]) @ self._projection
        return logits

    def _attend_self(
        self, layer: _Layer, x: Floats, state: DecoderState, index: int, parents: Sequence[int]
    ) -> Floats:
        query, key, value = (self._heads(part) for part in np.split(layer.self_in(x), 3, axis=-1))
        before = state.rows[index]
        if before is not None:
            key = np.concatenate([before[0][list(parents)], key], axis=2)
            value = np.concatenate([before[1][list(parents)], value], axis=2)
        state.rows[index] = key, value
        return layer.self_out(self._joined(_attention(query, key, value, is_causal=True)))

    def _heads(self, x: Floats) -> Floats:
        """[R, L, D] to [R, H, L, D/H]."""
        rows, length, width = x.shape
        shape = (rows, length, self._num_heads, width // self._num_heads)
        parts: Floats = x.reshape(shape).transpose(0, 2, 1, 3)
        return parts

    def _joined(self, x: Floats) -> Floats:
        """[R, H, L, D/H] to [R, L, D]."""
        rows, heads, length, width = x.shape
        whole: Floats = x.transpose(0, 2, 1, 3).reshape(rows, length, heads * width)
        return whole


def _attention(query: Floats, keys: Floats, values: Floats, *, is_causal: bool = False) -> Floats:
    scores = query @ keys.swapaxes(-1, -2) / np.float32(math.sqrt(query.shape[-1]))
    num, most = scores.shape[-2:]
    if is_causal and num > 1:
        later = np.arange(most)[None] > np.arange(most - num, most)[:, None]
        scores = np.where(later, np.float32(-np.inf), scores)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    attended: Floats = (scores / scores.sum(-1, keepdims=True)) @ values
    return attended


def _gelu(x: Floats) -> Floats:
    """Hendrycks, Gimpel 2016; erf to 1.5e-7 (Abramowitz, Stegun 1964, 7.1.26)."""
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    tail = series * np.exp(-z * z) / 2  # of the distribution beyond |x|
    result: Floats = x * np.where(x >= 0, 1 - tail, tail)
    return result


def _floats(arrays: dict[str, Array], place: str, name: str = "weight") -> Floats:
    array: Floats = np.asarray(arrays[f"{place}/{name}"], np.float32)
    return array


def _transposed(array: Array) -> Floats:
    return np.ascontiguousarray(np.asarray(array, np.float32).T)


def _linear(arrays: dict[str, Array], place: str) -> _Linear:
    return _Linear(_transposed(arrays[f"{place}/weight"]), _floats(arrays, place, "bias"))


def _norm(arrays: dict[str, Array], place: str) -> _Norm:
    return _Norm(_floats(arrays, place, "gamma"), _floats(arrays, place, "beta"))


def _layer(arrays: dict[str, Array], place: str) -> _Layer:
    own, cross, fed = (f"{place}/{part}" for part in ("self_attention", "attention", "ffn"))
    return _Layer(
        self_norm=_norm(arrays, f"{own}/layer_norm"),
        self_in=_linear(arrays, f"{own}/linear_0"),
        self_out=_linear(arrays, f"{own}/linear_1"),
        cross_norm=_norm(arrays, f"{cross}/layer_norm"),
        cross_query=_linear(arrays, f"{cross}/linear_0"),
        cross_frames=_linear(arrays, f"{cross}/linear_1"),
        cross_out=_linear(arrays, f"{cross}/linear_2"),
        fed_norm=_norm(arrays, f"{fed}/layer_norm"),
        fed_in=_linear(arrays, f"{fed}/linear_0"),
        fed_out=_linear(arrays, f"{fed}/linear_1"),
    )
