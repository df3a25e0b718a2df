"""Golden models and numbers of KenLM, for tests/golden/lm.

    pip download --no-deps --no-binary :all: kenlm==0.3.0     # its source: build bin/ with CMake
    pip install kenlm-ex
    python tests/decoding/lm/make_golden.py BIN

BIN is the folder of `lmplz` and `build_binary`. The text is made up here; its last word is new, so
that `lmplz` counts the last n-grams of each order as it does the others (it takes their counts, and
not their adjusted counts, for the counts of counts; where these are 1 both are the same).
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).parents[2] / "golden" / "lm"
WORDS = ["the", "a", "of", "we", "you", "go", "see", "don't", "house", "river"]
WORDS += ["你", "好", "我", "们", "去", "看", "河", "naïve", "été", "29"]
LAST = "finally"
RUNS = {
    "plain": ("-o", "4"),
    "pruned": ("-o", "4", "--prune", "0", "0", "1", "2"),
    "two": ("-o", "2"),
}


def main() -> None:
    binaries = Path(sys.argv[1])
    GOLDEN.mkdir(exist_ok=True)
    text = GOLDEN / "text.txt"
    text.write_text(made_up(400), "utf-8")
    for name, options in RUNS.items():
        arpa = GOLDEN / f"{name}.arpa"
        command = [binaries / "lmplz", *options, "-S", "100M", "--discount_fallback"]
        subprocess.run([*command, "--text", text, "--arpa", arpa], check=True)
    kinds = {"probing": ["probing"], "trie": ["trie"], "quantised": ["-q", "8", "-b", "8", "trie"]}
    for name, kind in kinds.items():
        command = [binaries / "build_binary", *kind, GOLDEN / "pruned.arpa"]
        subprocess.run([*command, GOLDEN / f"pruned.{name}"], check=True)
    scores = scored(GOLDEN / "pruned.arpa", [*made_up(30).split("\n"), "", "zzz the zzz", "you"])
    (GOLDEN / "scores.json").write_text(json.dumps(scores, ensure_ascii=False), "utf-8")
    for name in RUNS:
        arpa = GOLDEN / f"{name}.arpa"
        (GOLDEN / f"{name}.arpa.gz").write_bytes(gzip.compress(arpa.read_bytes(), mtime=0))
        arpa.unlink()


def made_up(num_lines: int) -> str:
    """Lines of words that depend a little on the words before."""
    rng = random.Random(num_lines)
    lines = []
    for _ in range(num_lines):
        words = [rng.choice(WORDS)]
        while rng.random() < 0.85:
            near = (WORDS.index(words[-1]) * 3 + 1) % len(WORDS)
            words.append(WORDS[near] if rng.random() < 0.5 else WORDS[int(rng.random() ** 2 * 20)])
        lines.append(" ".join(words))
    return "\n".join([*lines, LAST]) + "\n"


def scored(arpa: Path, lines: list[str]) -> list[dict]:
    """log10 of each word's probability and of the end, by KenLM's module."""
    import kenlm

    model = kenlm.Model(str(arpa))
    return [
        {"text": line, "log10": [log10 for log10, _, _ in model.full_scores(line)]}
        for line in lines
    ]


if __name__ == "__main__":
    main()
