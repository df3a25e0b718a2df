"""Small Paraformers as they are released: folders with golden weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from tests.models.sense_voice_folder import SETTINGS as SENSE_VOICE
from tests.tool import load_tool

from mooer.models.cif import CifConfig, TimesConfig
from mooer.models.encoders.sanm import SanmConfig
from mooer.models.paraformer import DecoderConfig, Paraformer, ParaformerConfig
from mooer.models.tensors import shapes_of

TOOL = load_tool("golden_paraformer")
SANM = load_tool("golden_sanm")
NAMES = TOOL.NAMES


def read_golden() -> dict[str, np.ndarray]:
    """The numbers of the funasr package."""
    path = Path(__file__).parents[1] / "golden" / "paraformer.npz"
    with np.load(path) as file:
        return dict(file)


def golden_network(name: str) -> Paraformer:
    """The network whose numbers are stored."""
    decoder = TOOL.DECODER
    config = ParaformerConfig(
        SanmConfig(**SANM.SIZES),
        DecoderConfig(
            num_blocks=decoder["num_blocks"],
            num_hearing=decoder["att_layer_num"],
            num_heads=decoder["attention_heads"],
            ffn_width=decoder["linear_units"],
            kernel=decoder["kernel_size"],
        ),
        CifConfig(width=SANM.SIZES["width"]),
        None if name == "Paraformer" else TimesConfig(),
        len(TOOL.TOKENS),
    )
    network = Paraformer(config).eval()
    drawn = SANM.weights(shapes_of(network.state_dict()), TOOL.SEED)
    network.load_state_dict({key: torch.from_numpy(array) for key, array in drawn.items()})
    return network


def settings(name: str) -> dict[str, object]:
    """What stands in config.yaml."""
    encoder = {k: v for k, v in SENSE_VOICE["encoder_conf"].items() if k != "tp_blocks"}
    return {
        "model": name,
        "encoder": "SANMEncoder",
        "encoder_conf": {**encoder, "selfattention_layer_type": "sanm"},
        "decoder": "ParaformerSANMDecoder",
        "decoder_conf": TOOL.DECODER,
        "predictor": "CifPredictorV2" if name == "Paraformer" else "CifPredictorV3",
        "predictor_conf": TOOL.predictor_conf(name),
        "frontend": "WavFrontend",
        "frontend_conf": SENSE_VOICE["frontend_conf"],
    }


def save(folder: Path, name: str) -> Path:
    """Write all files of the release but seg_dict."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(golden_network(name).state_dict(), folder / "model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(settings(name)))
    (folder / "am.mvn").write_text(SANM.cmvn_text())
    (folder / "tokens.json").write_text(json.dumps(TOOL.TOKENS, ensure_ascii=False))
    return folder
