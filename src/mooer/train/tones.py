"""A toy to learn from, made in seconds: keypad tones, each with its word, and a tiny random LLM.

Ten pairs of tones (DTMF, ITU-T Q.23) stand for the first ten words of the spelling alphabet. The
language model knows nothing yet; its tokenizer has the pieces of these words and of the prompts.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import wave
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from mooer.files import write_whole
from mooer.tasks.layout import Text
from mooer.tasks.templates import parts
from mooer.train.recipe import Tones

logger = logging.getLogger(__name__)

_RATE_HZ = 16_000
_LOW_HZ, _HIGH_HZ = (697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0)
WORDS = (
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"
)  # fmt: skip
_VOCABULARY = 400
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def make(tones: Tones, template: str) -> None:
    """Write train.jsonl, validation.jsonl, their recordings and llm/, unless they are there."""
    folder = Path(tones.folder)
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "tones.json"
    wanted = json.dumps({**asdict(tones), "template": template})
    with FileLock(folder / ".lock"):  # of several processes the first makes them
        if done.exists() and done.read_text(encoding="utf-8") == wanted:
            return
        logger.info("making %d recordings of tones in %s", tones.num_train, folder)
        done.unlink(missing_ok=True)
        rng = np.random.default_rng(tones.seed)
        for name, num in (("train", tones.num_train), ("validation", tones.num_validation)):
            _make_set(folder, name, num, tones, rng)
        _make_llm(folder / "llm", tones, template)
        write_whole(done, wanted)


def _make_set(folder: Path, name: str, num: int, tones: Tones, rng: np.random.Generator) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(num):
        keys = rng.integers(0, len(WORDS), rng.integers(tones.min_digits, tones.max_digits + 1))
        samples = sound(keys.tolist(), rng)
        path = folder / name / f"{i:05d}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_RATE_HZ)
            file.writeframes((samples * 32767).astype("<i2").tobytes())
        rows.append(
            {
                "id": f"{name}-{i:05d}",
                "audio": f"{name}/{i:05d}.wav",
                "duration": round(len(samples) / _RATE_HZ, 3),
                "text": " ".join(WORDS[key] for key in keys),
                "language": "en",
            }
        )
    write_whole(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def sound(keys: list[int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Samples [T] of keys pressed one after another: 120 to 200 ms each, in a little noise."""
    pieces = [np.zeros(round(0.05 * _RATE_HZ))]
    for key in keys:
        seconds = np.arange(round(rng.uniform(0.12, 0.2) * _RATE_HZ)) / _RATE_HZ
        low, high = _LOW_HZ[key // 3], _HIGH_HZ[key % 3]
        tone = np.sin(2 * np.pi * low * seconds) + np.sin(2 * np.pi * high * seconds)
        pieces += [
            rng.uniform(0.1, 0.3) * tone,
            np.zeros(round(rng.uniform(0.05, 0.1) * _RATE_HZ)),
        ]
    samples = np.concatenate(pieces)
    noisy: NDArray[np.float32] = (samples + rng.normal(0, 0.003, len(samples))).astype(np.float32)
    return np.clip(noisy, -1, 1)


def _make_llm(folder: Path, tones: Tones, template: str) -> None:
    """A random Qwen2 with a tokenizer of its own, as transformers writes them."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(template),
        eos_token=_SPECIAL[2],
        pad_token=_SPECIAL[0],
    )
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=tones.llm_width,
        intermediate_size=2 * tones.llm_width,
        num_hidden_layers=tones.llm_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=tones.llm_width**-0.5,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.pad_token_id,
    )
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(tones.seed)
        Qwen2ForCausalLM(config).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _tokenizer(template: str) -> object:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [part.text for part in parts(template, "asr", 1, answer="") if isinstance(part, Text)]
    lines = [*texts, *WORDS, *(f" {word}" for word in WORDS)]
    tokenizer.train_from_iterator(lines * 10, trainer)
    return tokenizer
