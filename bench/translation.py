"""How fast the translator writes, and how well: Markdown tables on standard output.

    python bench/translation.py --speed --python ../venv-torch/bin/python
    python bench/translation.py --quality --shared ../shared
    python bench/translation.py --context --shared ../shared

Speed compares llama.cpp and onnxruntime, as `mooer` runs them (the latter for mini), with
transformers (fp32 and bf16) that reads the same GGUF: same prompts, greedy, same number of new
tokens, runs interleaved, medians. It needs torch in an environment of its own, whose interpreter
`--python` names:

    python -m venv venv-torch
    venv-torch/bin/pip install torch==2.13.0 transformers gguf accelerate

Quality translates the true transcripts of the shared development sets, so it holds no errors of
recognition: BLEU and chrF of sacrebleu (pip install 'mooer[evaluate]').
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from mooer.engines.embedding_llm import EmbeddingLLM
from mooer.engines.llm import LLM
from mooer.engines.qwen_onnx import packed
from mooer.engines.token_search import GenerateOptions
from mooer.infer.translator import Translator
from mooer.store import fetch
from mooer.tasks.prompts import translation_messages
from mooer.transcript import Segment

NUM_NEW_TOKENS = 32
SPEED_TEXTS = (
    ("zh", "en", "据该公司负责人介绍新工厂预计明年三月投产届时将提供两千个工作岗位"),
    ("zh", "en", "专家认为这项政策短期内难以见效，但从长远来看会带来很大的好处。"),
    ("en", "zh", "The weather was so bad that most of the trains were late or did not run at all."),
)

# Runs under another interpreter, so it is text: transformers' side of the comparison. It says
# "ready", then answers every line of JSON (messages) with one of seconds and tokens.
TRANSFORMERS = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import torch
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
path, dtype, threads, num_new = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
tokenizer = AutoTokenizer.from_pretrained(**where)
model = AutoModelForCausalLM.from_pretrained(**where, dtype=getattr(torch, dtype)).eval()
print("ready", flush=True)
for line in sys.stdin:
    text = tokenizer.apply_chat_template(
        json.loads(line), tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        start = time.perf_counter()
        out = model(ids, use_cache=True, logits_to_keep=1)
        prompt_s = time.perf_counter() - start
        start, cache = time.perf_counter(), out.past_key_values
        for _ in range(num_new):
            out = model(out.logits[:, -1:].argmax(-1), past_key_values=cache, use_cache=True)
        generation_s = time.perf_counter() - start
    answer = {"prompt_tokens": ids.shape[1], "prompt_s": prompt_s,
              "generated_tokens": num_new, "generation_s": generation_s}
    print(json.dumps(answer), flush=True)
"""


class Transformers:
    """A process that runs the same GGUF in torch."""

    def __init__(self, python: str, path: Path, dtype: str, num_threads: int) -> None:
        command = [python, "-c", TRANSFORMERS, str(path), dtype, str(num_threads)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [*command, str(NUM_NEW_TOKENS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        if self._output.readline().strip() != "ready":
            self._process.wait()
            self._errors.seek(0)
            reason = self._errors.read().strip().rpartition("\n")[2]
            sys.exit(
                f"{python} cannot run the model by transformers ({reason}): "
                f"{python} -m pip install torch==2.13.0 transformers gguf accelerate"
            )

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def run(self, messages: list[dict[str, str]]) -> tuple[float, float]:
        """Tokens a second: prompt, generation."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(messages) + "\n")
        self._process.stdin.flush()
        got = json.loads(self._output.readline())
        return (
            got["prompt_tokens"] / got["prompt_s"],
            got["generated_tokens"] / got["generation_s"],
        )

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def run_llama(llm: LLM, messages: Sequence) -> tuple[float, float]:
    """Tokens a second: prompt, generation; nothing of the prompt comes from the cache."""
    list(llm.complete("~", max_tokens=1))  # replaces what the cache holds
    before = (llm.counters.prompt_tokens, llm.counters.prompt_s)
    generated = (llm.counters.generated_tokens, llm.counters.generation_s)
    list(llm.chat(messages, max_tokens=NUM_NEW_TOKENS))
    prompt = (llm.counters.prompt_tokens - before[0]) / (llm.counters.prompt_s - before[1])
    # the first token comes with the prompt and costs nothing more
    num_generated = llm.counters.generated_tokens - generated[0] - 1
    return prompt, num_generated / (llm.counters.generation_s - generated[1])


def run_packed(llm: EmbeddingLLM, messages: Sequence) -> tuple[float, float]:
    """The same of the LLM packed for onnxruntime, as mini runs it."""
    turns = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)
    ids = llm.encode(f"{turns}<|im_start|>assistant\n")
    for other in (0, 1):  # the two beginnings that it keeps
        llm.generate([[[other] * 20]], GenerateOptions(max_new_tokens=1))
    start = time.perf_counter()
    times = [
        time.perf_counter() - start
        for _ in llm.stream([ids], GenerateOptions(max_new_tokens=NUM_NEW_TOKENS))
    ]
    return len(ids) / times[0], (len(times) - 1) / (times[-1] - times[0])


def measure_speed(path: Path, python: str | None, num_threads: int, num_runs: int) -> None:
    """Print the table of tokens a second."""
    llm = LLM(path, num_threads=num_threads)
    quick = EmbeddingLLM(llm.path, onnx=packed(llm.path, None), num_threads=num_threads)
    others: dict[str, Transformers] = {}
    if python:
        others = {
            d: Transformers(python, llm.path, d, num_threads) for d in ("float32", "bfloat16")
        }
    speeds = collections.defaultdict(list)
    for n in range(num_runs):
        source, target, text = SPEED_TEXTS[n % len(SPEED_TEXTS)]
        messages = translation_messages(text, source=source, target=target)
        speeds["mooer (llama.cpp, Q4_K_M)"].append(run_llama(llm, messages))
        speeds["mooer (onnxruntime, 8 bits)"].append(run_packed(quick, messages))
        turns = [m._asdict() for m in messages]
        for name, other in others.items():
            speeds[f"transformers, {name}"].append(other.run(turns))
    for other in others.values():
        other.close()
    print(f"Tokens a second, {num_threads} threads, median of {num_runs} interleaved runs\n")
    print("| engine | prompt | generation |\n|---|---:|---:|")
    for name, runs in speeds.items():
        prompt, generation = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"| {name} | {prompt:.1f} | {generation:.1f} |")
    if not python:
        print("\nFor transformers beside it: --python with an interpreter that has torch.")


def read_pairs(path: Path, language: str) -> Iterator[tuple[str, list[str]]]:
    """(text, references) of the lines of a manifest that have a translation."""
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        row = json.loads(line)
        references = row.get("translation")
        if row["language"] == language and references:
            text = row["text"].replace("\ufeff", "")
            yield text, [references] if isinstance(references, str) else references


def measure_quality(path: Path, shared: Path, limit: int, num_threads: int) -> None:
    """Print the table of BLEU and chrF."""
    import sacrebleu

    real = [p for f in ("aishell", "zh_misc") for p in read_pairs(shared / f"data/{f}.jsonl", "zh")]
    dev = shared / "synth/dev.jsonl"
    sets = [("real clips", "zh", "en", real)]
    for source, target in (("zh", "en"), ("en", "zh")):
        pairs = list(read_pairs(dev, source))
        random.Random(0).shuffle(pairs)
        sets.append(("tatoeba dev", source, target, pairs[:limit]))
    print("\n| set | pair | sentences | BLEU | chrF | doubted | s a sentence |")
    print("|---|---|---:|---:|---:|---:|---:|")
    with LLM(path, num_threads=num_threads) as llm:
        for name, source, target, pairs in sets:
            start = time.perf_counter()
            got = [translate_alone(llm, text, source, target) for text, _ in pairs]
            seconds = (time.perf_counter() - start) / len(pairs)
            texts = [segment.translation or "" for segment in got]
            depth = max(len(references) for _, references in pairs)
            streams = [[r[i % len(r)] for _, r in pairs] for i in range(depth)]
            tokenizer = "zh" if target == "zh" else "13a"
            bleu = sacrebleu.corpus_bleu(texts, streams, tokenize=tokenizer).score
            chrf = sacrebleu.corpus_chrf(texts, streams).score
            doubted = sum(bool(segment.warnings) for segment in got)
            print(
                f"| {name} | {source}-{target} | {len(pairs)} | {bleu:.1f} | {chrf:.1f} | "
                f"{doubted} | {seconds:.2f} |",
                flush=True,
            )


def measure_context(path: Path, shared: Path, num_threads: int) -> None:
    """Print BLEU and chrF of news read in order, by how many segments before are shown."""
    import sacrebleu

    pairs = list(read_pairs(shared / "data/aishell.jsonl", "zh"))
    segments = [Segment(i, i + 1, text, "zh") for i, (text, _) in enumerate(pairs)]
    references = [[r[0] for _, r in pairs]]
    print("\n| segments before | BLEU | chrF | s a sentence |")
    print("|---:|---:|---:|---:|")
    with LLM(path, num_threads=num_threads) as llm:
        for num in (0, 1, 2, 4):
            start = time.perf_counter()
            got = list(Translator(llm, context_segments=num).stream(segments, to="en"))
            seconds = (time.perf_counter() - start) / len(pairs)
            texts = [segment.translation or "" for segment in got]
            bleu = sacrebleu.corpus_bleu(texts, references).score
            chrf = sacrebleu.corpus_chrf(texts, references).score
            print(f"| {num} | {bleu:.1f} | {chrf:.1f} | {seconds:.2f} |", flush=True)


def translate_alone(llm: LLM, text: str, source: str, target: str) -> Segment:
    """Translate without context: the sentences of these sets have nothing to do with each other."""
    (segment,) = Translator(llm).stream([Segment(0.0, 1.0, text, source)], to=target)
    return segment


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--context", action="store_true")
    parser.add_argument("--model", default="qwen2.5-0.5b", help="a name of the store, or a path")
    parser.add_argument("--python", help="interpreter that has torch, transformers and gguf")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--limit", type=int, default=150, help="sentences a direction")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    path = Path(args.model) if Path(args.model).exists() else fetch(args.model)
    every = not (args.speed or args.quality or args.context)
    if args.speed or every:
        measure_speed(path, args.python, args.threads, args.runs)
    if args.context or every:
        measure_context(path, args.shared, args.threads)
    if args.quality or every:
        measure_quality(path, args.shared, args.limit, args.threads)


if __name__ == "__main__":
    main()
