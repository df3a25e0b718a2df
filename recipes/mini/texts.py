"""What mooer-mini's training speech says: one JSON-lines file for `mooer data synth`.

    python recipes/mini/texts.py --pairs tatoeba_train.jsonl --english ljspeech_sentences.txt \
        --spoken synth/train.jsonl --held-out data/ljspeech.jsonl --out runs/mini/texts.jsonl

Mandarin of sentence pairs; English of some of them and of single sentences; and phrases that
bring every common character (GB 2312, level 1) as often as pypinyin's dictionary of phrases can,
for pairs of everyday sentences hold few of the characters that news are made of. What is spoken
already (`--spoken`), and sentences that a test set holds (`--held-out`), are left out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pypinyin.phrases_dict import phrases_dict

NUM_ENGLISH_PAIRS = 6000
NUM_ENGLISH = 5000
LEAST_COUNT = 16  # how often each character is to come, if there are phrases enough
PHRASES_A_LINE = (2, 5)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--english", type=Path, required=True)
    parser.add_argument("--spoken", type=Path, help="a manifest")
    parser.add_argument("--held-out", type=Path, nargs="*", default=[], help="manifests")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    draw = random.Random(0)
    spoken = {row["id"] for row in read(args.spoken)} if args.spoken else set()
    held_out = {bare(row["text"]) for path in args.held_out for row in read(path)}
    pairs = read(args.pairs)
    lines = [*mandarin(pairs, spoken), *english(pairs, args.english, spoken, held_out, draw)]
    lines += phrases(draw)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    args.out.write_text("".join(rows), encoding="utf-8")
    print(f"{args.out}: {dict(Counter(line['id'].split('-')[0] for line in lines))}")


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def bare(text: str) -> str:
    """Letters alone."""
    return re.sub("[^a-z]", "", text.lower())


def mandarin(pairs: list[dict[str, Any]], spoken: set[str]) -> Iterator[dict[str, Any]]:
    """The Mandarin of each pair, with its translations."""
    for pair in pairs:
        if f"{pair['id']}-zh" not in spoken:
            yield line(f"zh-{pair['id']}", pair["zh"], "zh", pair, pair["en"])


def english(
    pairs: list[dict[str, Any]],
    sentences: Path,
    spoken: set[str],
    held_out: set[str],
    draw: random.Random,
) -> Iterator[dict[str, Any]]:
    """English of some pairs, with its translation, and single sentences."""
    fresh = [pair for pair in pairs if f"{pair['id']}-en" not in spoken]
    for pair in draw.sample(fresh, min(NUM_ENGLISH_PAIRS, len(fresh))):
        yield line(f"en-{pair['id']}", draw.choice(pair["en"]), "en", pair, [pair["zh"]])
    texts = [text for text in sentences.read_text("utf-8").splitlines() if text.strip()]
    numbered = [(i, text) for i, text in enumerate(texts) if bare(text) not in held_out]
    for i, text in draw.sample(numbered, min(NUM_ENGLISH, len(numbered))):
        yield {"id": f"lj-{i:05d}", "text": text.strip(), "language": "en"}


def line(
    name: str, text: str, language: str, pair: dict[str, Any], translation: list[str]
) -> dict[str, Any]:
    """One side of a pair."""
    other = {"zh": "en", "en": "zh"}[language]
    return {
        "id": name,
        "text": text,
        "language": language,
        "translation": translation,
        "translation_language": other,
        "attribution": pair["attribution"],
        "licence": "CC BY 2.0 FR",
    }


def phrases(draw: random.Random) -> Iterator[dict[str, Any]]:
    """Lines of a few phrases each, the rarest characters served first."""
    chosen = cover()
    draw.shuffle(chosen)
    number = 0
    while chosen:
        taken = [chosen.pop() for _ in range(min(len(chosen), draw.randint(*PHRASES_A_LINE)))]
        text = draw.choice(["，", ""]).join(taken)
        yield {"id": f"phrases-{number:05d}", "text": text + "。", "language": "zh"}
        number += 1


def cover() -> list[str]:
    """Phrases, each at most once, until every common character has come often enough."""
    common = {bytes([row, cell]).decode("gb2312") for row, cell in level_1()}
    known = [p for p in sorted(phrases_dict) if len(p) <= 4 and set(p) <= common]
    holders: dict[str, list[str]] = {}
    for phrase in known:
        for character in set(phrase):
            holders.setdefault(character, []).append(phrase)
    counts: Counter[str] = Counter()
    chosen: dict[str, None] = {}
    for character in sorted(holders, key=lambda c: (len(holders[c]), c)):
        for phrase in sorted(holders[character], key=lambda p: (sum(counts[c] for c in p), p)):
            if counts[character] >= LEAST_COUNT:
                break
            if phrase not in chosen:
                chosen[phrase] = None
                counts.update(phrase)
    return list(chosen)


def level_1() -> Iterator[tuple[int, int]]:
    """Codes of the 3,755 characters."""
    for row in range(0xB0, 0xD8):
        for cell in range(0xA1, 0xFA if row == 0xD7 else 0xFF):
            yield row, cell


if __name__ == "__main__":
    main()
