"""An n-gram model of a million n-grams: how soon it is there, what it takes, how fast it answers.

    pip install kenlm-ex          # KenLM's own module beside ours; left out where it is not there
    python bench/lm_speed.py [--num-ngrams 1000000] [--build-binary PATH] [--repeat 5]

The model is trained on text that is made up (words by Zipf's law).
`--build-binary` is KenLM's program; without it its binary files are left out. Every row is measured
in a process of its own; queries are those of whole sentences, one after another.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tables import table

NUM_WORDS = 30_000
SENTENCE_WORDS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-ngrams", type=int, default=1_000_000)
    parser.add_argument("--build-binary", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--queries", type=int, default=20_000, help="sentences asked for")
    parser.add_argument("--row", nargs=3, metavar=("ENGINE", "MODEL", "TEXT"), help="used inside")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measured(*options.row)))
        return
    with tempfile.TemporaryDirectory() as folder:
        table(
            (
                "model",
                "file MB",
                "load s",
                "memory MB",
                "queries a second",
                "beside KenLM's module",
            ),
            rows(Path(folder), options),
        )


def rows(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    from mooer.decoding.lm.load import write_ngram
    from mooer.decoding.lm.training import TrainOptions, train_ngram

    began = time.perf_counter()
    lines = made_up(options.num_ngrams)
    tables = train_ngram(lines, TrainOptions(order=4)).tables
    print(
        f"{sum(tables.counts)} n-grams {tables.counts} of {len(lines)} sentences, made and trained "
        f"in {time.perf_counter() - began:.1f} s\n"
    )
    text = folder / "text.txt"
    text.write_text("\n".join(lines[: options.queries]), "utf-8")
    for name in ("lm.arpa", "lm.bin"):
        write_ngram(tables, folder / name)
    cases = [("mooer", "lm.arpa"), ("mooer", "lm.bin")]
    for kind in ("probing", "trie") if options.build_binary else ():
        command = [options.build_binary, kind, folder / "lm.arpa", folder / f"lm.{kind}"]
        subprocess.run(command, check=True, capture_output=True)
        cases.append(("mooer", f"lm.{kind}"))
    if importlib.util.find_spec("kenlm"):
        cases += [("kenlm", name) for engine, name in cases if name != "lm.bin"]
    found: dict[tuple[str, str], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(options.repeat):  # in turns, so that what disturbs one disturbs all
        for case in cases:
            command = [sys.executable, __file__, "--row", case[0], folder / case[1], text]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[case].append(json.loads(output.splitlines()[-1]))
    rival = next((case for case in cases if case[0] == "kenlm"), None)
    for case, numbers in found.items():
        middle = {key: statistics.median(one[key] for one in numbers) for key in numbers[0]}
        ratio = "-"
        if rival and case[0] == "mooer":
            pairs = zip(numbers, found[rival], strict=True)
            ratio = f"{statistics.median(a['rate'] / b['rate'] for a, b in pairs):.2f}"
        size = (folder / case[1]).stat().st_size / 1e6
        yield (
            f"{case[0]}, {case[1]}",
            f"{size:.1f}",
            f"{middle['load_s']:.3f}",
            f"{middle['memory_mb']:.0f}",
            f"{middle['rate']:.0f}",
            ratio,
        )


def made_up(num_ngrams: int) -> list[str]:
    """Sentences that together have about so many different n-grams of the orders 1 to 4."""
    rng = np.random.default_rng(0)
    num_sentences = max(1, num_ngrams // (2 * SENTENCE_WORDS + 8))
    shape = (num_sentences, SENTENCE_WORDS)
    drawn = rng.zipf(1.3, shape) % NUM_WORDS
    follows = rng.random(shape) < 0.4  # a word that depends on the one before
    for place in range(1, SENTENCE_WORDS):
        after = (drawn[:, place - 1] * 7 + 3) % NUM_WORDS
        drawn[:, place] = np.where(follows[:, place], after, drawn[:, place])
    return [" ".join(f"w{word}" for word in row) for row in drawn.tolist()]


def measured(engine: str, model: str, text: str) -> dict[str, float]:
    lines = [line.split() for line in Path(text).read_text("utf-8").splitlines()]
    num_queries = sum(len(line) + 1 for line in lines)
    if engine == "kenlm":
        import kenlm as package
    else:
        from mooer.decoding.lm import load as package
    before_mb = resident_mb()
    began = time.perf_counter()
    lm = package.Model(model) if engine == "kenlm" else package.read_ngram(Path(model))
    load_s = time.perf_counter() - began
    began = time.perf_counter()
    if engine == "kenlm":
        start, state, after = package.State(), package.State(), package.State()
        lm.BeginSentenceWrite(start)
        for line in lines:
            state = start.__copy__()
            for word in (*line, "</s>"):
                lm.BaseScore(state, word, after)
                state, after = after, state
    else:
        for line in lines:
            state = lm.start()
            for word in line:
                _, state = lm.score(state, lm.unit(word))
            lm.finish(state)
    rate = num_queries / (time.perf_counter() - began)
    return {"load_s": load_s, "memory_mb": resident_mb() - before_mb, "rate": rate}


def resident_mb() -> float:
    """What the process has in memory now, files that it mapped among it."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmRSS:")[1].split()[0]) / 1e3


if __name__ == "__main__":
    main()
