"""Paraformer as an ONNX file: the graph that `Paraformer.forward` computes, operator by operator.

Inputs and outputs are named as in the FunASR project's own export; beside them are the weights
that tokens are timed by.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from mooer.export.sanm_graph import FLOAT, INT, Precision, SanmGraph, array
from mooer.models.cif import Cif, TimedCif
from mooer.models.funasr_folder import CMVN, CONFIG, ONNX, QUANTISED, read_frontend
from mooer.models.paraformer import Decoder, Hearing, Paraformer, load
from mooer.models.paraformer_folder import VOCABULARY, read_settings, read_tokens

_FILES: Mapping[Precision, str] = {"float32": ONNX, "int8": QUANTISED}
_DOUBLE, _SHORT = 11, 6  # ONNX's numbers of the types
_GATES = (0, 3, 1, 2)  # torch's order of an LSTM's gates in that of ONNX


def export_onnx(
    folder: Path, out: Path, precisions: Sequence[Precision] = ("float32",)
) -> list[Path]:
    """Write a released folder as one that `engines.paraformer` runs; returns its networks.

    ModelError if it is not whole.
    """
    network = load(folder)
    read_frontend(folder, read_settings(folder).front)
    read_tokens(folder).require(network.num_tokens)
    out.mkdir(parents=True, exist_ok=True)
    for precision in precisions:
        write_onnx(network, out / _FILES[precision], precision)
    for name in (CONFIG, CMVN, VOCABULARY):
        shutil.copyfile(folder / name, out / name)
    return [out / _FILES[precision] for precision in precisions]


def write_onnx(network: Paraformer, path: Path, precision: Precision = "float32") -> None:
    """Write the network as one file. OutputError if it cannot be written."""
    graph = _Paraformer(precision)
    width = network.encoder.frontend.num_mels
    speech = graph.input("speech", np.float32, ["batch", "frames", width])
    lengths = graph.input("speech_lengths", np.int32, ["batch"])
    hidden = graph.encoder(network.encoder, speech, lengths)
    inside, bias = graph.inside(graph.places(hidden), lengths)
    hidden = graph.op("Where", inside, hidden, graph.floats(0.0))
    sounds, counts, weights = graph.cif(network.predictor, hidden, inside, lengths)
    logits = graph.decoder(network.decoder, sounds, counts, hidden, bias)
    if isinstance(network.predictor, TimedCif):
        weights = graph.timed(network.predictor, hidden, inside, lengths, counts)
    said = graph.op("LogSoftmax", logits, axis=-1)
    graph.output(said, "logits", np.float32, ["batch", "tokens", network.num_tokens])
    graph.output(counts, "token_num", np.int32, ["batch"])
    graph.output(weights, "us_alphas", np.float32, ["batch", "parts"])
    graph.write(path)


class _Paraformer(SanmGraph):
    """CIF and the decoder; a value is [B, N, D] or [B, F, D] unless a comment says more."""

    def cif(self, cif: Cif, hidden: str, inside: str, lengths: str) -> tuple[str, str, str]:
        """Sounds of tokens, how many they are [B], and the weights of the frames [B, F + 1]."""
        config = cif.config
        seen = self.op("Transpose", self.op("Relu", self._around(cif, hidden)), perm=[0, 2, 1])
        raw = self._weights(cif.cif_output, seen, config.factor, config.noise)
        raw = self.op("Mul", raw, self.op("Cast", inside, to=FLOAT))
        raw = self.op("Squeeze", self._after(raw), self.ints(2))  # [B, F + 1]
        hidden = self._after(hidden)
        rows = self.op("Cast", self.op("Unsqueeze", lengths, self.ints(1)), to=FLOAT)
        last = self.op("Cast", self.op("Equal", self.places(hidden), rows), to=FLOAT)
        weights = self.op("Add", raw, self.op("Mul", last, self.floats(config.tail)))
        axis = self.constant(np.array(1, np.int64))
        total = self.op("CumSum", self.op("Cast", weights, to=_DOUBLE), axis)
        whole = self.op("ReduceMax", self.op("Cast", total, to=FLOAT), axes=[1], keepdims=0)
        counts = self.op("Cast", self.op("Floor", whole), to=_SHORT)
        return self._gather(hidden, total, counts), counts, weights

    def _gather(self, hidden: str, total: str, counts: str) -> str:
        """As `models.cif.gather`, of one token at least."""
        before = self.op("Slice", total, self.ints(0), self.ints(-1), self.ints(1))
        none = self.op("Mul", self.op("Slice", total, self.ints(0), self.ints(1), self.ints(1)),
                       self.doubles(0.0))  # fmt: skip
        before = self.op("Concat", none, before, axis=1)
        most = self.op("ReduceMax", counts, keepdims=0)
        most = self.op("Max", self.op("Cast", most, to=INT), self.constant(np.array(1, np.int64)))
        zero, one = self.constant(np.array(0, np.int64)), self.constant(np.array(1, np.int64))
        tokens = self.op("Cast", self.op("Range", zero, most, one), to=_DOUBLE)
        tokens = self.op("Unsqueeze", tokens, self.ints(0, 2))  # [1, N, 1]
        ends, begins = (self.op("Unsqueeze", part, self.ints(1)) for part in (total, before))
        ends = self.op("Min", ends, self.op("Add", tokens, self.doubles(1.0)))
        begins = self.op("Max", begins, tokens)
        shares = self.op("Max", self.op("Sub", ends, begins), self.doubles(0.0))
        return self.op("MatMul", self.op("Cast", shares, to=FLOAT), hidden)

    def decoder(self, decoder: Decoder, x: str, counts: str, sound: str, bias: str) -> str:
        """Logits [B, N, V]; `bias` is what is added to scores of the frames."""
        inside, _ = self.inside(self.places(x), counts)
        mask = self.op("Cast", inside, to=FLOAT)
        for block in decoder.blocks:
            forward = block.feed_forward
            first = self.op("Relu", self.linear(forward.w_1, self.norm(block.norm1, x)))
            y = self.linear(forward.w_2, self.norm(forward.norm, first))
            if block.self_attn is not None:
                module = block.self_attn.fsmn_block
                y = self.op("Add", x, self.memory(module, self.norm(block.norm2, y), mask))
            if block.src_attn is not None:
                heard = self._hear(block.src_attn, self.norm(block.norm3, y), sound, bias)
                y = self.op("Add", y, heard)
            x = y
        return self.linear(decoder.output_layer, self.norm(decoder.after_norm, x))

    def timed(self, cif: TimedCif, hidden: str, inside: str, lengths: str, counts: str) -> str:
        """Weights of the parts of frames [B, F'], which come to the number of tokens."""
        times = cif.times
        frames = self.op("Transpose", hidden, perm=[0, 2, 1])
        seen = self.op("Relu", self._around(cif, hidden)) if times.after_conv else frames
        module = cif.upsample_cnn
        weight, bias = (self.constant(array(value)) for value in module.parameters())
        parts = self.op("ConvTranspose", seen, weight, bias, strides=[times.parts])
        num_parts = self.op("Mul", lengths, self.short_ints(times.parts))
        read = self._lstm(cif.blstm, self.op("Transpose", parts, perm=[2, 0, 1]), num_parts)
        raw = self._weights(cif.cif_output2, read, times.factor, times.noise)
        places = self.places(read)
        rows = self.op("Cast", self.op("Unsqueeze", num_parts, self.ints(1)), to=FLOAT)
        within = self.op("Cast", self.op("Less", places, rows), to=FLOAT)
        weights = self.op("Mul", self.op("Squeeze", raw, self.ints(2)), within)
        total = self.op("ReduceSum", weights, self.ints(1), keepdims=1)
        total = self.op("Max", total, self.floats(1e-9))
        wanted = self.op("Cast", self.op("Unsqueeze", counts, self.ints(1)), to=FLOAT)
        return self.op("Mul", weights, self.op("Div", wanted, total))

    def doubles(self, *numbers: float) -> str:
        """Numbers beside sums that must be exact."""
        return self.op("Cast", self.floats(*numbers), to=_DOUBLE)

    def _around(self, cif: Cif, hidden: str) -> str:
        """What the convolution makes of each frame and its neighbours: [B, D, F]."""
        module, config = cif.cif_conv1d, cif.config
        weight, bias = (self.constant(array(value)) for value in module.parameters())
        frames = self.op("Transpose", hidden, perm=[0, 2, 1])
        return self.op("Conv", frames, weight, bias, pads=[config.before, config.after])

    def _weights(self, module: nn.Linear, x: str, factor: float, noise: float) -> str:
        """relu(factor * sigmoid - noise): [B, F, 1]."""
        product = self.op("MatMul", x, self.constant(np.ascontiguousarray(array(module.weight).T)))
        raw = self.op("Sigmoid", self.op("Add", product, self.constant(array(module.bias))))
        scaled = self.op("Mul", raw, self.floats(factor))
        return self.op("Relu", self.op("Sub", scaled, self.floats(noise)))

    def _after(self, x: str) -> str:
        """With one more frame of zeros."""
        return self.op("Pad", x, self.ints(0, 0, 0, 0, 1, 0))

    def _hear(self, module: Hearing, x: str, sound: str, bias: str) -> str:
        k, v = self.ops("Split", 2, self.linear(module.linear_k_v, sound), axis=-1)
        width = module.linear_out.in_features
        found = self.attend(module.num_heads, self.linear(module.linear_q, x), k, v, bias, width)
        return self.linear(module.linear_out, found)

    def _lstm(self, module: nn.LSTM, x: str, lengths: str) -> str:
        """Both directions over [T, B, D]: [B, T, 2 D]."""
        ends = ("", "_reverse")
        own = {name: array(value) for name, value in module.named_parameters()}

        def gates(name: str, end: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            return np.concatenate([np.split(own[f"{name}_l0{end}"], 4)[gate] for gate in _GATES])

        weights, recurrent = (
            np.stack([gates(f"weight_{n}", e) for e in ends]) for n in ("ih", "hh")
        )
        biases = np.stack(
            [np.concatenate([gates("bias_ih", end), gates("bias_hh", end)]) for end in ends]
        )
        constants = [self.constant(part) for part in (weights, recurrent, biases)]
        found = self.ops(
            "LSTM", 1, x, *constants, lengths,
            hidden_size=module.hidden_size, direction="bidirectional",
        )[0]  # fmt: skip
        stacked = self.op("Transpose", found, perm=[2, 0, 1, 3])  # [B, T, 2, D]
        return self.op("Reshape", stacked, self.ints(0, 0, -1))
