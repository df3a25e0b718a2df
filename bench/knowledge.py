"""Retrieval: what is found of the project's own documents, and what an index costs, as Markdown.

    python bench/knowledge.py recall
    python bench/knowledge.py index --passages 100000
    python bench/knowledge.py index --passages 2000 --embed 50      # a quick try

`recall` asks the questions of knowledge_questions.jsonl (30 English, 30 Chinese; the documents are
English but for one README) and tells in how many a right section is among the first 1, 3 and 5, by
words, by meaning, and by both. `index` makes passages of the documents' own sentences, drawn anew
for each passage, embeds `--embed` of them (all, if it is left out), and fills the rest with vectors
of noise, which cost a search as much; the time of a build is then told for the embedded ones alone,
beside what it would be for all. Times are medians; run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

from mooer.agent.events import Source
from mooer.agent.knowledge.build import Embeds, build
from mooer.agent.knowledge.documents import content_of, find_documents, read_document
from mooer.agent.knowledge.folder import Folder, SearchOptions, open_embedder
from mooer.agent.knowledge.index import Index, Known
from mooer.agent.knowledge.passages import CutOptions, Passage, cut

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = Path(__file__).with_name("knowledge_questions.jsonl")
RANKS = (1, 3, 5)
DOCUMENTS = ("README.md", "README_CN.md", "docs")
PER_FILE = 500  # passages of an index of noise, in a file
SEARCHES = 30


def questions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]


def linked(folder: Path) -> Path:
    """The documents in a folder of their own."""
    for name in DOCUMENTS:
        source = ROOT / name
        found = sorted(source.glob("*.md")) if source.is_dir() else [source]
        for path in found:
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return folder


def sections(folder: Path) -> set[str]:
    """All that a question may name: file#heading."""
    found = set()
    for one in find_documents(folder):
        for section in read_document(one.path, content_of(one)):
            found.add(f"{one.name}#{section.heading.rpartition(' > ')[2]}")
    return found


def section(source: Source) -> str:
    name, _, heading = source.name.partition(" (")
    return f"{name}#{heading.removesuffix(')').rpartition(' > ')[2]}"


def rank(found: Sequence[Source], right: Sequence[str]) -> int:
    """Where the first right one stands, from 1; a large number if nowhere."""
    places = [i for i, one in enumerate(found, start=1) if section(one) in right]
    return min(places, default=99)


class ByWords:
    """The list of words alone."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def search(self, text: str, num: int) -> list[Source]:
        """As a `Knowledge`."""
        ids = self._index.by_words(text, num)
        held = self._index.passages(ids)
        return [Source(f"{held[i].name} ({held[i].heading})", held[i].text) for i in ids]


def recall(args: argparse.Namespace) -> None:
    embedder = open_embedder(args.threads)
    asked = questions()
    with tempfile.TemporaryDirectory() as place:
        folder = linked(Path(place) / "documents")
        known = sections(folder)
        wrong = [s for one in asked for s in one["sources"] if s not in known]
        if wrong:
            sys.exit(f"sections that are not there: {', '.join(wrong)}")
        with Index(Path(place) / "i.db", model=embedder.name, width=embedder.width) as index:
            cuts = None if args.words is None else CutOptions(args.words, args.words // 5)
            built = build(folder, index, embedder, options=cuts)
            ways = {
                "words": ByWords(index),
                "meaning": Folder(index, embedder, SearchOptions(by_words=False)),
                "both": Folder(index, embedder),
                "both, not across": Folder(index, embedder, SearchOptions(across=False)),
            }
            lines = []
            for way, knowledge in ways.items():
                places = [rank(knowledge.search(q["question"], 5), q["sources"]) for q in asked]
                for language in ("en", "zh"):
                    of = [
                        p for p, q in zip(places, asked, strict=True) if q["language"] == language
                    ]
                    parts = [f"{100 * np.mean([p <= r for p in of]):.0f}" for r in RANKS]
                    lines.append([way, language, len(of), *parts])
                if args.show and way == "both":
                    for p, q in zip(places, asked, strict=True):
                        if p > RANKS[-1]:
                            print(f"not found: {q['question']}", file=sys.stderr)
    print(f"{built.num_files} documents, {built.num_passages} passages\n")
    table(["by", "questions", "num", *(f"recall@{r} %" for r in RANKS)], lines)


def index(args: argparse.Namespace) -> None:
    embedder = open_embedder(args.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = linked(Path(place) / "documents")
        texts = _drawn(folder, args.passages)
        num_embedded = args.passages if args.embed is None else min(args.embed, args.passages)
        path = Path(place) / "index.db"
        with Index(path, model=embedder.name, width=embedder.width) as opened:
            embed_s, store_s = _filled(opened, embedder, texts, num_embedded)
        size = path.stat().st_size
        before = _resident_bytes()
        with Index(path, model=embedder.name, width=embedder.width) as opened:
            knowledge = Folder(opened, embedder)
            began = time.perf_counter()
            knowledge.search("warm", 5)
            load_s = time.perf_counter() - began
            held = _resident_bytes() - before
            both, near, embed = _search_times(knowledge, opened, embedder)
    each_ms = 1000 * embed_s / num_embedded
    whole_s = embed_s / num_embedded * args.passages + store_s
    note = "measured" if num_embedded == args.passages else f"from {num_embedded} passages"
    lines = [
        ["passages", args.passages],
        ["to embed one, ms", f"{each_ms:.1f}"],
        [f"to build, min ({note})", f"{whole_s / 60:.1f}"],
        ["of that to store, s", f"{store_s:.1f}"],
        ["file, MB", f"{size / 1e6:.0f}"],
        ["to open, s", f"{load_s:.2f}"],
        ["memory of it, MB", f"{held / 1e6:.0f}"],
        ["a search, ms", f"{both:.1f}"],
        ["of that to embed the question, ms", f"{embed:.1f}"],
        ["of that by meaning, ms", f"{near:.1f}"],
    ]
    table(["", f"{embedder.name}, {args.threads or 'all'} threads"], lines)


def _drawn(folder: Path, num: int) -> list[str]:
    """Passages of the length of real ones, of sentences in another order each."""
    real = [
        passage.text
        for one in find_documents(folder)
        for passage in cut(read_document(one.path, content_of(one)))
    ]
    sentences = [part for text in real for part in text.split(". ") if part]
    generator = random.Random(0)
    lengths = [len(text.split(". ")) for text in real]
    return [
        ". ".join(generator.choices(sentences, k=generator.choice(lengths))) for _ in range(num)
    ]


def _filled(
    opened: Index, embedder: Embeds, texts: Sequence[str], num_embedded: int
) -> tuple[float, float]:
    """Seconds to embed, and to store."""
    noise = np.random.default_rng(0)
    embed_s = store_s = 0.0
    for start in range(0, len(texts), PER_FILE):
        some = texts[start : start + PER_FILE]
        vectors = noise.normal(0, 1, (len(some), embedder.width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        real = some[: max(0, num_embedded - start)]
        began = time.perf_counter()
        for at in range(0, len(real), 64):
            vectors[at : at + len(real[at : at + 64])] = embedder.passages(real[at : at + 64])
        embed_s += time.perf_counter() - began
        began = time.perf_counter()
        file = Known(f"{start}.txt", 1, 1, "")
        opened.put(file, [Passage("", text) for text in some], vectors)
        store_s += time.perf_counter() - began
        print(f"{start + len(some)} of {len(texts)}", end="\r", file=sys.stderr)
    return embed_s, store_s


def _search_times(knowledge: Folder, opened: Index, embedder: Embeds) -> tuple[float, float, float]:
    """Medians in ms: a search, without words, and the embedding of a question alone."""
    alone = Folder(opened, embedder, SearchOptions(by_words=False))
    alone.search("warm", 5)
    asked = [one["question"] for one in questions()][:: max(1, 60 // SEARCHES)]

    def median(work: Any) -> float:
        times = []
        for text in asked:
            began = time.perf_counter()
            work(text)
            times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times)

    return (
        median(lambda text: knowledge.search(text, 5)),
        median(lambda text: alone.search(text, 5)),
        median(lambda text: embedder.queries([text])),
    )


def _resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGESIZE")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["recall", "index"])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--embed", type=int, help="so many are embedded, the rest is noise")
    parser.add_argument("--words", type=int, help="of a passage, in recall; default: 160")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--show", action="store_true", help="the questions that find nothing right")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    recall(args) if args.what == "recall" else index(args)


if __name__ == "__main__":
    main()
