"""Small random models in the folders and files that transformers and llama.cpp use."""

from __future__ import annotations

from pathlib import Path

import gguf
import torch
from tests.tiny import SPECIAL, tiny_llm
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """264 ids: 256 bytes as byte-level BPE writes them, then the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<pad>"
    )


def save_llm(folder: Path, *, width: int = 32, seed: int = 0) -> Qwen2ForCausalLM:
    """Write a tiny Qwen2 and its tokenizer; returns the model."""
    model = tiny_llm(seed=seed, width=width)
    model.save_pretrained(folder)
    byte_level_tokenizer().save_pretrained(folder)
    return model


def save_gguf(path: Path, model: Qwen2ForCausalLM) -> None:
    """Write a Qwen2 as llama.cpp's converter lays it out, in float32."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    tokenizer = byte_level_tokenizer()
    tokens = [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))]
    tokens += [f"[unused{i}]" for i in range(config.vocab_size - len(tokens) - 1)] + ["ab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(["a b"])  # without any, transformers takes it for another kind
    writer.add_token_types([1] * 256 + [3] * (len(tokens) - 257) + [1])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        stem, _, kind = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{kind}", tensor.to(torch.float32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def save_cmvn(path: Path, width: int) -> None:
    """Write am.mvn as Kaldi does."""
    shift = " ".join(["-0.5"] * width)
    scale = " ".join(["0.1"] * width)
    path.write_text(
        f"<Nnet> \n<Splice> {width} {width} \n[ 0 ]\n"
        f"<AddShift> {width} {width} \n<LearnRateCoef> 0 [ {shift} ]\n"
        f"<Rescale> {width} {width} \n<LearnRateCoef> 0 [ {scale} ]\n</Nnet> \n"
    )
