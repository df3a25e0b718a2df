"""Small heads and their units, for tests."""

import dataclasses

import torch
import transformers
from tests.models.test_encoder_whisper import THEIRS, random_model, write_ct2

from mooer.models.encoders.whisper import WhisperEncoder, whisper_config
from mooer.models.rich import RichModel
from mooer.tasks.rich import LabellerConfig, RichConfig, SpellerConfig
from mooer.text.units import Units

UNITS = Units(
    ("你", "好", "号", "▁a", "b", "c"),
    (-1.0, -1.0, None, -1.0, -2.0, -2.0),
    ("ni3", "hao3", "hao4", "", "", ""),
)
SPELLER = SpellerConfig(width=12, num_blocks=2, kernel=3, ffn_width=20, embedding_width=8)
LABELLER = LabellerConfig(
    {"language": ("zh", "en"), "emotion": ("happy", "sad", "angry")},
    ("cry", "rain"),
    width=6,
    hidden_width=5,
)


def whisper_folder(folder):
    """A released Whisper of two layers, width 16, 8 mels, 2 s."""
    config = transformers.WhisperConfig(**{**THEIRS.to_dict(), "max_source_positions": 100})
    folder.mkdir(parents=True, exist_ok=True)
    write_ct2(random_model(config=config), folder / "model.bin")
    return folder


def rich_model(encoder_folder, layers=2, **parts):
    """Heads with weights large enough that every one is heard."""
    config = RichConfig(str(encoder_folder), layers, **parts)
    sizes = whisper_config(encoder_folder)
    sizes = dataclasses.replace(sizes, num_layers=layers, stored_layers=layers)
    torch.manual_seed(1)
    model = RichModel(config, WhisperEncoder(sizes), UNITS).eval()
    for name, parameter in model.named_parameters():
        if not name.startswith("encoder."):
            torch.nn.init.normal_(parameter, std=0.4)
    return model
