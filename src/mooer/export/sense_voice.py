"""SenseVoice as an ONNX file: the graph that `SenseVoice.forward` computes, operator by operator.

Inputs and outputs are named as in the FunASR project's own export, and metadata say what
sherpa-onnx asks of a file: the same file, in float32 or int8, runs in any of the three.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mooer.audio.features import Cmvn, load_cmvn
from mooer.export.sanm_graph import Precision, SanmGraph, array
from mooer.files import write_whole
from mooer.models.funasr_folder import CMVN, CONFIG, ONNX, QUANTISED, FrontSettings, read_frontend
from mooer.models.sense_voice import SenseVoice, load
from mooer.models.sense_voice_folder import read_settings, vocabulary_file
from mooer.models.sense_voice_labels import (
    EMOTION_QUERY,
    EVENT_QUERY,
    LANGUAGE_QUERIES,
    NUM_QUERIES,
    STYLE_QUERIES,
    read_vocabulary,
)

TOKENS = "tokens.txt"  # for sherpa-onnx: a piece and its number on each line
_FILES: Mapping[Precision, str] = {"float32": ONNX, "int8": QUANTISED}


def export_onnx(
    folder: Path, out: Path, precisions: Sequence[Precision] = ("float32",)
) -> list[Path]:
    """Write a released folder as one that `engines.sense_voice` runs; returns its networks.

    ModelError if it is not whole.
    """
    network = load(folder)
    front = read_settings(folder).front
    read_frontend(folder, front)
    path = vocabulary_file(folder)
    vocabulary = read_vocabulary(path)
    vocabulary.require(network.num_classes)
    notes = notes_of(front, load_cmvn(folder / CMVN), len(vocabulary))
    out.mkdir(parents=True, exist_ok=True)
    for precision in precisions:
        write_onnx(network, out / _FILES[precision], precision, notes)
    for source in (folder / CONFIG, folder / CMVN, path):
        shutil.copyfile(source, out / source.name)
    lines = (f"{piece.text} {i}\n" for i, piece in enumerate(vocabulary.spelling.pieces))
    write_whole(out / TOKENS, "".join(lines))
    return [out / _FILES[precision] for precision in precisions]


def write_onnx(
    network: SenseVoice,
    path: Path,
    precision: Precision = "float32",
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write the network as one file. OutputError if it cannot be written."""
    graph = SanmGraph(precision)
    width = network.encoder.frontend.num_mels
    speech = graph.input("speech", np.float32, ["batch", "frames", width])
    lengths = graph.input("speech_lengths", np.int32, ["batch"])
    language = graph.input("language", np.int32, ["batch"])
    style = graph.input("textnorm", np.int32, ["batch"])
    frames = _with_queries(graph, speech, language, style, array(network.embed.weight))
    lengths = graph.op("Add", lengths, graph.short_ints(NUM_QUERIES))
    hidden = graph.encoder(network.encoder, frames, lengths)
    said = graph.linear(cast("nn.Linear", network.ctc["ctc_lo"]), hidden)
    shape: list[int | str] = ["batch", "frames and 4", network.config.num_classes]
    graph.output(said, "ctc_logits", np.float32, shape)
    graph.output(lengths, "encoder_out_lens", np.int32, ["batch"])
    graph.write(path, notes)


def notes_of(front: FrontSettings, cmvn: Cmvn, num_classes: int) -> dict[str, str]:
    """What sherpa-onnx reads from a file's metadata: front end, classes and query frames."""
    languages = {f"lang_{name}": str(row) for name, row in LANGUAGE_QUERIES.items()}
    return {
        "model_type": "sense_voice_ctc",
        "comment": "written by mooer",
        "vocab_size": str(num_classes),
        "lfr_window_size": str(front.num_stack),
        "lfr_window_shift": str(front.stride),
        "normalize_samples": "0",  # they are as loud as 16-bit numbers
        "neg_mean": ",".join(map(str, cmvn.shift.tolist())),
        "inv_stddev": ",".join(map(str, cmvn.scale.tolist())),
        "with_itn": str(STYLE_QUERIES["withitn"]),
        "without_itn": str(STYLE_QUERIES["woitn"]),
        **languages,
    }


def _with_queries(
    graph: SanmGraph, speech: str, language: str, style: str, table: NDArray[np.float32]
) -> str:
    """The four query frames in front of the speech."""
    column = graph.ints(1)
    rows = graph.op("Unsqueeze", language, column)
    none = graph.op("Mul", rows, graph.short_ints(0))
    asked = graph.op("Add", none, graph.short_ints(EVENT_QUERY, EMOTION_QUERY))
    rows = graph.op("Concat", rows, asked, graph.op("Unsqueeze", style, column), axis=1)
    return graph.op("Concat", graph.op("Gather", graph.constant(table), rows), speech, axis=1)
