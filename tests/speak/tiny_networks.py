"""Networks without weights that hum: each phoneme lasts as many frames as its id says."""

from __future__ import annotations

import json

import numpy as np

from mooer.engines.onnx_file import Graph

KOKORO_FRAMES = "/encoder/Gather_output_0"
PIPER_FRAMES = "/Ceil_output_0"
LETTERS = ' ;:,.!?—…"()“”abcdefghijklmnopqrstuvwxyzɑæɔəɛɜɡɪŋɹʃʊʌʒʤʧθðɕʨʦʰɤɥɚˈˌː→↗↓↘TAIOWYᵊᵻɾʔɐ'


def write_kokoro(folder, *, named=True):
    """A Kokoro of two voices; a pad lasts 1 frame of 600 samples, a phoneme 2."""
    graph = Graph()
    tokens = graph.input("tokens", np.int64, [1, "N"])
    style = graph.input("style", np.float32, [1, 256])
    speed = graph.input("speed", np.float32, [1])
    zero, one, two = (graph.constant(np.array(n, np.int64)) for n in (0, 1, 2))
    is_pad = graph.op("Equal", tokens, zero)
    _hum(graph, graph.op("Where", is_pad, one, two), KOKORO_FRAMES if named else "x", 600)
    del style, speed
    folder.mkdir(exist_ok=True)
    graph.write(folder / "model.onnx")
    vocabulary = {letter: i + 1 for i, letter in enumerate(LETTERS)}
    (folder / "vocab.json").write_text(json.dumps({"vocab": vocabulary}), "utf-8")
    styles = np.zeros((510, 1, 256), np.float32)
    np.savez(folder / "voices.npz", one=styles, two=styles + 1)
    return folder


def write_piper(folder):
    """A Piper voice; every id lasts 2 frames of 256 samples."""
    graph = Graph()
    ids = graph.input("input", np.int64, ["B", "N"])
    graph.input("input_lengths", np.int64, ["B"])
    graph.input("scales", np.float32, [3])
    zero, two = (graph.constant(np.array(n, np.int64)) for n in (0, 2))
    _hum(graph, graph.op("Add", graph.op("Mul", ids, zero), two), PIPER_FRAMES, 256)
    folder.mkdir(exist_ok=True)
    graph.write(folder / "voice.onnx")
    settings = {
        "audio": {"sample_rate": 22_050},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.6, "length_scale": 1.0, "noise_w": 0.8},
        "language": {"family": "en"},
        "dataset": "hum",
        "num_speakers": 1,
        "phoneme_id_map": {letter: [i] for i, letter in enumerate("_^$" + LETTERS)},
    }
    (folder / "voice.onnx.json").write_text(json.dumps(settings), "utf-8")
    return folder


def _hum(graph, frames, name, frame_samples):
    """Sound [T] of frames [1, N], which get the name that the released file has for them."""
    size = graph.constant(np.array([frame_samples], np.int64))
    flat = graph.op("Reshape", graph.named(frames, name), graph.constant(np.array([-1], np.int64)))
    total = graph.op("Mul", graph.op("ReduceSum", flat, keepdims=1), size)
    sound = graph.op("Expand", graph.constant(np.array([0.3], np.float32)), total)
    graph.output(sound, "audio", np.float32, ["T"])
