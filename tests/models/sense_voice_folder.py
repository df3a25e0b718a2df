"""A small SenseVoice as it is released: a folder with golden weights and vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml
from tests.tool import load_tool

from mooer.models.encoders.sanm import SanmConfig
from mooer.models.sense_voice import SenseVoice, SenseVoiceConfig
from mooer.models.sense_voice_folder import VOCABULARY
from mooer.models.tensors import shapes_of

TOOL = load_tool("golden_sense_voice")
SETTINGS = {
    "model": "SenseVoiceSmall",
    "encoder": "SenseVoiceEncoderSmall",
    "encoder_conf": {
        "output_size": TOOL.SIZES["width"],
        "attention_heads": TOOL.SIZES["num_heads"],
        "linear_units": TOOL.SIZES["ffn_width"],
        "num_blocks": TOOL.SIZES["num_blocks"],
        "tp_blocks": TOOL.NUM_TP_BLOCKS,
        "kernel_size": TOOL.SIZES["kernel"],
        "sanm_shfit": 0,
        "input_layer": "pe",
    },
    "frontend": "WavFrontend",
    "frontend_conf": {
        "fs": 16000,
        "window": "hamming",
        "n_mels": 80,
        "lfr_m": 7,
        "lfr_n": 6,
        "cmvn_file": None,
    },
}


def read_golden() -> dict[str, np.ndarray]:
    """The numbers of the funasr package."""
    path = Path(__file__).parents[1] / "golden" / "sense_voice.npz"
    with np.load(path) as file:
        return dict(file)


def golden_network() -> SenseVoice:
    """The network whose numbers are stored."""
    pieces = read_golden()["pieces"].tolist()
    sanm = SanmConfig(**TOOL.SIZES, num_tp_blocks=TOOL.NUM_TP_BLOCKS, norm_eps=1e-5)
    network = SenseVoice(SenseVoiceConfig(sanm, len(pieces))).eval()
    drawn = TOOL.parameters(shapes_of(network.state_dict()), pieces)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in drawn.items()})
    return network


def save(folder: Path) -> Path:
    """Write all files of the release but tokens.json."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(golden_network().state_dict(), folder / "model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    (folder / "am.mvn").write_text(load_tool("golden_sanm").cmvn_text())
    (folder / VOCABULARY).write_bytes(read_golden()["bpe_model"].tobytes())
    return folder
