"""units.txt of rich-mini: characters of GB 2312 level 1 and of the texts, and pieces of English.

    python recipes/rich/units.py --spoken runs/mini/frames/manifest.jsonl \
        --english ../shared/text/ljspeech_sentences.txt --out recipes/rich/units.txt

Pieces of English are those of a unigram model (Kudo 2018) of what is spoken and of more sentences;
every letter is one, so that every word can be spelled. Characters that nothing spoken holds are
marked by "-": the speller knows them by their reading alone.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import Counter
from pathlib import Path

from pypinyin import Style, lazy_pinyin
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from mooer.data.supervision import read_manifest
from mooer.files import write_whole
from mooer.text import is_cjk, to_simplified
from mooer.text.units import START, Units, units_text, words_of

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
WORD = re.compile(r"[a-z']+")
PIECE = re.compile(rf"{START}?[a-z']+")


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spoken", type=Path, nargs="+", required=True, help="manifests")
    parser.add_argument("--english", type=Path, nargs="*", default=[], help="sentences, one a line")
    parser.add_argument("--pieces", type=int, default=700)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    texts = [one.text or "" for path in args.spoken for one in read_manifest(path)]
    words = Counter(word for text in texts for word in words_of(to_simplified(text)))
    english = [word for word in words.elements() if WORD.fullmatch(word)]
    for path in args.english:
        lines = path.read_text("utf-8").splitlines()
        english += [word for line in lines for word in words_of(line) if WORD.fullmatch(word)]
    pieces = sorted(pieces_of(english, args.pieces).items(), key=lambda row: (-row[1], row[0]))
    seen = {word: count for word, count in words.items() if is_cjk(word)}
    total = sum(seen.values())
    characters = sorted({*seen, *first_level()})
    readings = [lazy_pinyin(c, Style.TONE3, neutral_tone_with_five=True)[0] for c in characters]
    scores = [math.log(seen[c] / total) if c in seen else None for c in characters]
    units = Units(
        (*characters, *(piece for piece, _ in pieces)),
        (*scores, *(score for _, score in pieces)),
        (*(r if r[-1:].isdigit() else "" for r in readings), *("" for _ in pieces)),
    )
    write_whole(args.out, units_text(units))
    print(f"{len(characters)} characters, {len(seen)} of them spoken; {len(pieces)} pieces")


def first_level() -> list[str]:
    """The 3,755 characters of GB 2312 level 1."""
    rows = (bytes([row, cell]) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    found = [pair.decode("gb2312", "ignore") for pair in rows]
    return [character for character in found if character]


def pieces_of(words: list[str], size: int) -> dict[str, float]:
    """Pieces and their log-probabilities, every letter among them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(START)
    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        max_piece_length=8,
        show_progress=False,
        unk_token="<unk>",  # noqa: S106
    )
    lines = (" ".join(words[i : i + 20]) for i in range(0, len(words), 20))
    tokenizer.train_from_iterator(lines, trainer)
    rows = json.loads(tokenizer.to_str())["model"]["vocab"]
    found = {str(name): float(score) for name, score in rows if PIECE.fullmatch(name)}
    least = min(found.values()) - 1
    for letter in LETTERS:
        found.setdefault(letter, least)
        found.setdefault(START + letter, least)
    return found


if __name__ == "__main__":
    main()
