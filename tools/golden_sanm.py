"""Make tests/golden/sanm.npz: what the `funasr` package says of a small SAN-M encoder.

    pip install funasr torch && python tools/golden_sanm.py

- The encoders of Paraformer (SANMEncoder) and of SenseVoice (SenseVoiceEncoderSmall), small, with
  weights that `weights` draws from a seed, over one padded batch of several lengths.
- The front end (WavFrontend: filter bank, LFR, CMVN; dither 0) on the sounds of golden_features;
  its filter bank is kaldi-native-fbank's, the others of golden_features are independent.

Weights, inputs and sounds are made by formula, so that only outputs are stored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from golden_features import sounds
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TARGET = Path(__file__).parents[1] / "tests" / "golden" / "sanm.npz"

SIZES = {"width": 32, "num_heads": 4, "ffn_width": 48, "num_blocks": 3, "kernel": 11}
NUM_TP_BLOCKS = 2
LENGTHS = (23, 1, 9, 16)


def weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 5) -> dict[str, Floats]:
    """A tensor for every name, in the order of the names: norms about 1, the rest small."""
    random = np.random.default_rng(seed)
    drawn = {}
    for name in sorted(shapes):
        noise = random.standard_normal(shapes[name]) * 0.2
        drawn[name] = (noise + ("norm" in name and name.endswith("weight"))).astype(np.float32)
    return drawn


def features() -> Floats:
    """A batch of random features [B, F, 560]; what is beyond each length is zero."""
    batch = np.random.default_rng(6).standard_normal((len(LENGTHS), max(LENGTHS), 560))
    for row, length in zip(batch, LENGTHS, strict=True):
        row[length:] = 0
    return batch.astype(np.float32)


def cmvn_text() -> str:
    """An am.mvn of random shifts and scales."""
    random = np.random.default_rng(8)
    shifts, scales = random.uniform(-12, -8, 560), random.uniform(0.1, 0.3, 560)
    rows = [" ".join(f"{x:.6f}" for x in row) for row in (shifts, scales)]
    return (
        f"<Nnet>\n<Splice> 560 560\n[ 0 ]\n<AddShift> 560 560\n<LearnRateCoef> 0 [ {rows[0]} ]\n"
        f"<Rescale> 560 560\n<LearnRateCoef> 0 [ {rows[1]} ]\n</Nnet>\n"
    )


def main() -> None:
    """Write the golden file."""
    import torch
    from funasr.frontends.wav_frontend import WavFrontend
    from funasr.models.sanm.encoder import SANMEncoder
    from funasr.models.sense_voice.model import SenseVoiceEncoderSmall

    sizes = {
        "input_size": 560,
        "output_size": SIZES["width"],
        "attention_heads": SIZES["num_heads"],
        "linear_units": SIZES["ffn_width"],
        "num_blocks": SIZES["num_blocks"],
        "kernel_size": SIZES["kernel"],
        "input_layer": "pe",
    }
    encoders = {
        "paraformer": SANMEncoder(**sizes),
        "sensevoice": SenseVoiceEncoderSmall(**sizes, tp_blocks=NUM_TP_BLOCKS),
    }
    golden: dict[str, Floats] = {}
    for name, encoder in encoders.items():
        shapes = {key: tuple(t.shape) for key, t in encoder.state_dict().items()}
        drawn = {key: torch.from_numpy(array) for key, array in weights(shapes).items()}
        encoder.load_state_dict(drawn, strict=True)
        with torch.no_grad():
            out = encoder.eval()(torch.from_numpy(features()), torch.tensor(LENGTHS))
        golden[name] = out[0].numpy()
        golden[f"{name}_keys"] = np.array(sorted(shapes))
        golden[f"{name}_norm_eps"] = np.array(encoder.after_norm.eps)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "am.mvn").write_text(cmvn_text())
        frontend = WavFrontend(cmvn_file=f"{folder}/am.mvn", lfr_m=7, lfr_n=6, dither=0.0)
        for name, samples in sounds().items():
            made, _ = frontend(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
            golden[f"features_{name}"] = made[0].numpy()[:, ::7]
    np.savez_compressed(TARGET, allow_pickle=False, **golden)
    print(f"{TARGET.name}: {len(golden)} arrays, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
