"""Golden numbers of speakers from the reference implementations, into tests/golden/speakers.npz.

    python tools/golden_speakers.py

Needs, in an environment of its own, Resemblyzer 0.1.4 (voices and mel power) and
asteroid-filterbanks with torch (the band passes of pyannote's network; the layers above them are
torch's own), and `mooer models fetch speaker-encoder speaker-segmentation`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "speakers.npz"
RATE_HZ = 16_000


def cuts(whole: np.ndarray) -> dict[str, np.ndarray]:
    """What is heard: as it is, quiet, short, and just a part long."""
    return {
        "whole": whole,
        "quiet": whole[RATE_HZ : 4 * RATE_HZ] * np.float32(0.01),
        "short": whole[RATE_HZ : RATE_HZ + 8_000],
        "part": whole[RATE_HZ : RATE_HZ + 25_600],
    }


def window(whole: np.ndarray, num_samples: int) -> np.ndarray:
    """The beginning of a sound, over and over if it is too short."""
    return np.resize(whole, num_samples)


def voices(name: str, whole: np.ndarray) -> dict[str, np.ndarray]:
    """What Resemblyzer makes of a sound."""
    from resemblyzer import VoiceEncoder
    from resemblyzer.audio import normalize_volume, wav_to_mel_spectrogram

    encoder = VoiceEncoder("cpu", verbose=False)
    found = {f"mel_{name}": wav_to_mel_spectrogram(whole[: 4 * RATE_HZ]).T[:, ::5]}
    for key, samples in cuts(whole).items():
        raised = normalize_volume(samples, -30, increase_only=True).astype(np.float32)
        found[f"voice_{name}_{key}"] = encoder.embed_utterance(raised)
    return found


def activity(name: str, whole: np.ndarray, weights: Path) -> dict[str, np.ndarray]:
    """What pyannote's network hears in it."""
    import torch
    from asteroid_filterbanks import Encoder, ParamSincFB
    from torch import nn
    from torch.nn import functional

    class Filters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
            bank = ParamSincFB(80, 251, stride=10, sample_rate=RATE_HZ)
            self.conv1d = nn.ModuleList([Encoder(bank), nn.Conv1d(80, 60, 5), nn.Conv1d(60, 60, 5)])
            self.norm1d = nn.ModuleList([nn.InstanceNorm1d(n, affine=True) for n in (80, 60, 60)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.wav_norm1d(x)
            for i, (convolution, norm) in enumerate(zip(self.conv1d, self.norm1d, strict=True)):
                x = convolution(x)
                x = functional.max_pool1d(x.abs() if i == 0 else x, 3)
                x = functional.leaky_relu(norm(x))
            return x

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sincnet = Filters()
            self.lstm = nn.LSTM(60, 128, 4, bidirectional=True, batch_first=True)
            self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
            self.classifier = nn.Linear(128, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x, _ = self.lstm(self.sincnet(x).transpose(1, 2))
            for linear in self.linear:
                x = functional.leaky_relu(linear(x))
            return torch.sigmoid(self.classifier(x))

    from mooer.store.pickled import read_pickled

    passed_over = ("omegaconf", "pyannote", "typing", "collections", "torch", "__builtin__")
    arrays = read_pickled(weights, "state_dict", passed_over=passed_over)
    network = Network().eval()
    network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in arrays.items()})
    found = {}
    with torch.no_grad():
        for key, size in (("window", 80_000), ("short", 12_345)):
            heard = network(torch.from_numpy(window(whole, size))[None, None])
            found[f"activity_{name}_{key}"] = heard[0].numpy()
    return found


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="folder of the catalog's models")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))
    from mooer.audio.wave import read_wave
    from mooer.store import fetch

    folder = args.weights or fetch("speaker-segmentation")
    found: dict[str, np.ndarray] = {}
    for name in ("zh", "en"):
        whole = read_wave(str(ROOT / "examples" / f"{name}.flac"))
        found |= voices(name, whole) | activity(name, whole, folder / "pytorch_model.bin")
    np.savez_compressed(OUT, **{key: value.astype(np.float32) for key, value in found.items()})
    print(f"{OUT}: {len(found)} arrays, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
