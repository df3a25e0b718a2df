"""How fast a speech LLM's text is decoded beside transformers' `generate`: a Markdown table.

    python bench/generate.py                       # Qwen2.5-0.5B, weights of the store, float32
    python bench/generate.py --model small         # a random Qwen2 of 30 million parameters
    python bench/generate.py --batch 8 --beams 4   # one line of the table

Both sides continue the same embeddings with the same network, the same options and the same
threads, in turn. A prompt is as long as 3 to 10 s of speech at 120 ms for each embedding: the
embeddings of Chinese sentences where speech would stand, then a request to translate them. Time
is of the whole call, the reading of the prompt included, as a median; tokens are those of the best
hypotheses. `same` counts the utterances whose text is the same on both sides.
Needs `mooer[train]`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from mooer.decoding.generation import SearchOptions
from mooer.decoding.search import decode
from mooer.models.step_model import step_model
from mooer.store import fetch

EMBEDDING_MS = 120
SPEECH_S = (10, 8, 5, 9, 6, 3, 4, 7)  # of the utterances of a batch
SENTENCES = (
    "今天上午市政府召开新闻发布会介绍了地铁三号线的建设进展，",
    "预计明年六月全线通车，届时从机场到市中心只需要二十五分钟。",
    "专家认为这项工程会带动沿线的商业发展，也会减少路面上的汽车。",
    "不过附近的居民担心施工的噪音，希望晚上十点以后不要开工。",
)
REQUEST = (
    "<|im_end|>\n<|im_start|>user\nTranslate the text above to English.<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def load(name: str) -> tuple[torch.nn.Module, Callable[[str], list[int]], list[int]]:
    """Network, text to ids, and the ids that end an answer."""
    if name == "small":
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=32_000,
            hidden_size=512,
            intermediate_size=1536,
            num_hidden_layers=6,
            num_attention_heads=8,
            num_key_value_heads=2,
            initializer_range=0.08,
            tie_word_embeddings=False,
        )
        return (
            Qwen2ForCausalLM(config).eval(),
            lambda text: [ord(letter) % 32_000 for letter in text],
            [7],
        )
    path = next(fetch(name).glob("*.gguf"))
    where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    llm = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    return llm, tokenizer.encode, [tokenizer.convert_tokens_to_ids("<|im_end|>")]


def prompts(llm, encode: Callable[[str], list[int]], batch: int) -> tuple[Tensor, Tensor]:
    """Embeddings [B, L, W] and mask [B, L] of prompts padded to the left."""
    request = encode(REQUEST)
    rows = []
    for i in range(batch):
        length = round(SPEECH_S[i] * 1000 / EMBEDDING_MS)
        speech = encode("".join(SENTENCES[i % 4 :] + SENTENCES[: i % 4]) * 4)[:length]
        rows.append(speech + request)
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[False] * (longest - len(row)) + [True] * len(row) for row in rows])
    with torch.no_grad():
        return llm.get_input_embeddings()(ids), mask


def theirs(llm, embeds: Tensor, mask: Tensor, options: SearchOptions, ends: list[int]):
    with torch.inference_mode():
        said = llm.generate(
            inputs_embeds=embeds,
            attention_mask=mask.long(),
            do_sample=False,
            num_beams=options.num_beams,
            max_new_tokens=options.max_new_tokens,
            length_penalty=options.length_penalty,
            sequence_bias={(end,): options.eos_bias for end in ends},
            repetition_penalty=1.0,
            eos_token_id=ends,
            pad_token_id=ends[0],
        )
    texts = []
    for ids in said.tolist():
        end = next((i for i, token in enumerate(ids) if token in ends), len(ids))
        texts.append(tuple(ids[:end]))
    return texts


def ours(llm, embeds: Tensor, mask: Tensor, options: SearchOptions, ends: list[int]):
    found = decode(step_model(llm), embeds, mask, options, eos_ids=ends)
    return [best.tokens for [best] in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-0.5b")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--new-tokens", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="of one thread, instead of time on the wall: for a machine that others use too",
    )
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    clock = time.process_time if given.processor_time else time.perf_counter
    torch.set_num_threads(1 if given.processor_time else given.threads)
    llm, encode, ends = load(given.model)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    kind = "processor time, " if given.processor_time else ""
    print(
        f"{given.model}, {kind}{torch.get_num_threads()} threads, {given.runs} runs, {versions}\n"
    )
    print("| batch | beams | generate | mooer | times faster | tokens/s | same |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for batch in given.batch:
        embeds, mask = prompts(llm, encode, batch)
        for beams in given.beams:
            options = SearchOptions(num_beams=beams, max_new_tokens=given.new_tokens)
            seconds: dict[object, list[float]] = {theirs: [], ours: []}
            texts = {}
            for _ in range(given.runs):
                for side in (theirs, ours):
                    start = clock()
                    texts[side] = side(llm, embeds, mask, options, ends)
                    seconds[side].append(clock() - start)
            before, now = (statistics.median(seconds[side]) for side in (theirs, ours))
            same = sum(a == b for a, b in zip(texts[theirs], texts[ours], strict=True))
            tokens = sum(len(ids) + (len(ids) < given.new_tokens) for ids in texts[ours])
            print(
                f"| {batch} | {beams} | {before:.2f} s | {now:.2f} s | {before / now:.2f} "
                f"| {tokens / now:.1f} | {same} of {batch} |"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
