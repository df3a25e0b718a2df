"""Small networks for tests: a byte tokenizer, a causal LM, an encoder; random, quick, on CPU.

Only tests of the torch floors import this: it needs `mooer[train]`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from mooer.models.encoders.base import Encoder

SPECIAL = ("<pad>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_start|>")
FIRST_SPECIAL = 256
VOCABULARY = 264


class ByteTokenizer:
    """UTF-8 bytes as ids, and the special tokens of ChatML after them."""

    pad_token_id = FIRST_SPECIAL
    eos_token_id = FIRST_SPECIAL + 3
    vocab_size = VOCABULARY

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        ids: list[int] = []
        while text:
            for i, special in enumerate(SPECIAL):
                if text.startswith(special):
                    ids.append(FIRST_SPECIAL + i)
                    text = text[len(special) :]
                    break
            else:
                ids += text[0].encode()
                text = text[1:]
        return ids

    def decode(self, ids, *, skip_special_tokens: bool = False) -> str:
        data, text = b"", ""
        for i in map(int, ids):
            if i < FIRST_SPECIAL:
                data += bytes([i])
            elif not skip_special_tokens and i - FIRST_SPECIAL < len(SPECIAL):
                text += data.decode(errors="replace") + SPECIAL[i - FIRST_SPECIAL]
                data = b""
        return text + data.decode(errors="replace")

    def convert_tokens_to_ids(self, token: str) -> int:
        return FIRST_SPECIAL + SPECIAL.index(token)


def tiny_llm(*, seed: int = 0, width: int = 32, num_layers: int = 2) -> Qwen2ForCausalLM:
    """A random Qwen2 of a few ten thousand parameters over `ByteTokenizer`."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=ByteTokenizer.pad_token_id,
        eos_token_id=ByteTokenizer.eos_token_id,
        bos_token_id=ByteTokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config).float().eval()


class TinyFrontend:
    """Mean absolute value and three more of every 10 ms."""

    num_mels = 4

    def num_features(self, num_samples: int) -> int:
        return num_samples // 160

    def __call__(self, samples):
        frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
        parts = frames.reshape(len(frames), 4, 40)
        return np.log(np.abs(parts).mean(axis=2) + 1e-3).astype(np.float32)


class TinyEncoder(Encoder):
    """Every second frame through a linear layer."""

    def __init__(self, *, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.frontend = TinyFrontend()
        self.width = width
        self.frame_ms = 20.0
        self.linear = nn.Linear(2 * self.frontend.num_mels, width)

    def num_frames(self, num_features: int) -> int:
        return num_features // 2

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        batch, num_features, width = features.shape
        pairs = features[:, : num_features // 2 * 2].reshape(batch, num_features // 2, 2 * width)
        return torch.tanh(self.linear(pairs)), lengths // 2
