"""Write tests/golden/smart_turn.npz: features and probabilities by the code of pipecat-ai's wheel.

    pip download --no-deps pipecat-ai==1.14.0
    python tools/golden_smart_turn.py pipecat_ai-1.14.0-py3-none-any.whl

The one module that makes the features needs nothing but numpy and is read out of the wheel; the
probabilities are those of the network beside it.
"""

from __future__ import annotations

import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime

from mooer.audio.wave import read_wave

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "pipecat/audio/turn/smart_turn/"
SECONDS = {"short": (0.0, 1.5), "cut": (0.0, 2.4), "whole": (0.0, 60.0)}  # of examples/en.flac
KEPT = slice(None, None, 23)  # frames of the features that are kept


def main(wheel: str) -> None:
    """Read the wheel, compute, write."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read(f"{FOLDER}_whisper_features.py").decode()
        network = archive.read(f"{FOLDER}data/smart-turn-v3.2-cpu.onnx")
    module = types.ModuleType("reference")
    exec(compile(source, "_whisper_features.py", "exec"), module.__dict__)
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    samples = read_wave(str(ROOT / "examples/en.flac"))
    found = {}
    for name, (start_s, end_s) in SECONDS.items():
        piece = samples[round(start_s * 16_000) : round(end_s * 16_000)][-128_000:]
        padded = np.pad(piece, (128_000 - len(piece), 0))
        features = module.compute_whisper_log_mel_features(padded, do_normalize=True)
        found[f"{name}_features"] = features[:, KEPT]
        found[f"{name}_probability"] = session.run(None, {"input_features": features[None]})[0]
    np.savez_compressed(ROOT / "tests/golden/smart_turn.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1])
