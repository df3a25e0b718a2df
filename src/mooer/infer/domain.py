"""A domain: a folder with what is known of how people talk there, made ready for decoding.

text.txt       sentences of the domain, one a line: the only file that has to be there
hotwords.txt   words to expect (`decoding.hotwords`)
source.bin     an LM of what the recogniser was trained on, for density and lodr (or .arpa)
lm.bin         built: the LM of text.txt
prior.npy      built, of a CTC model, with a dev set: for ilme and wfst
nbest.jsonl    built, with a dev set: what the weights were tuned on (wfst: nbest-wfst.jsonl)
tuning.png     built, with a dev set: the error rate by weights
lexicon.txt    built, of a CTC model: the words of the LM and their units
unspelled.txt  built: the words that cannot be spelled with these units
graph/         built, with kaldifst: T ∘ L ∘ G
domain.yaml    built: the model, the method and the weights
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mooer.config import read_yaml, to_yaml
from mooer.decoding.fusion import FusionOptions
from mooer.decoding.graphs import GraphOptions, Lexicon, spell_words
from mooer.decoding.hotwords import Hotword, read_hotwords
from mooer.decoding.lm.load import tables_of, write_ngram
from mooer.decoding.lm.training import TrainOptions, read_lines, train_ngram
from mooer.decoding.lm.units import unit_kind
from mooer.decoding.wfst import Graph
from mooer.errors import ConfigError
from mooer.files import write_whole
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.fusion import Fusion, load_fusion
from mooer.infer.spoken import spell_word
from mooer.text import is_cjk

logger = logging.getLogger(__name__)

SETTINGS, TEXT, LM_FILE, HOTWORDS = "domain.yaml", "text.txt", "lm.bin", "hotwords.txt"
PRIOR, NBEST, HEAT_MAP, GRAPH = "prior.npy", "nbest.jsonl", "tuning.png", "graph"
GRAPH_NBEST = "nbest-wfst.jsonl"
LEXICON, UNSPELLED = "lexicon.txt", "unspelled.txt"
_SOURCES = ("source.bin", "source.arpa", "source.arpa.gz")


@dataclass(frozen=True)
class DomainSettings:
    """domain.yaml."""

    model: str = "rich-mini"  # the recogniser that the weights, the prior and the graph are for
    order: int = 4
    units: str = "auto"  # of the LM
    fusion: FusionOptions = field(default_factory=FusionOptions)

    def __post_init__(self) -> None:
        unit_kind(self.units)


@dataclass(frozen=True)
class Domain:
    """A folder that is ready."""

    folder: Path
    settings: DomainSettings
    hotwords: tuple[Hotword, ...]

    def fusion(self, options: FusionOptions | None = None) -> Fusion:
        """The method of the domain with its models; `options` stand in for those of the folder."""
        return fusion_of(self.folder, options or self.settings.fusion)


def read_domain(folder: Path) -> Domain:
    """A folder that `mooer domain build` has made. ConfigError for one that it has not."""
    if not (folder / SETTINGS).is_file():
        raise ConfigError(f"{folder} holds no {SETTINGS}: run `mooer domain build {folder}` first")
    settings = read_yaml(DomainSettings, folder / SETTINGS)
    words = folder / HOTWORDS
    return Domain(folder, settings, read_hotwords(words) if words.is_file() else ())


def write_settings(folder: Path, settings: DomainSettings) -> None:
    """domain.yaml. OutputError if it cannot be written."""
    write_whole(folder / SETTINGS, to_yaml(settings))


def fusion_of(folder: Path, options: FusionOptions) -> Fusion:
    """A method with what lies in a folder. ConfigError for what it needs and that is not there."""
    source = next((folder / name for name in _SOURCES if (folder / name).is_file()), None)
    prior, graph = folder / PRIOR, folder / GRAPH
    found = load_fusion(
        options,
        lm=folder / LM_FILE,
        source=source,
        prior=prior if prior.is_file() else None,
        graph=graph if options.method == "wfst" and graph.is_dir() else None,
    )
    if found.graph is None:
        return found
    built = found.graph.settings.options
    known = replace(options, lm_weight=built.lm_weight, length_bonus=built.length_bonus)
    if known != options:
        logger.warning(
            "the graph in %s was built with lm_weight %g and length_bonus %g, which count: build "
            "it again for others",
            folder,
            built.lm_weight,
            built.length_bonus,
        )
    return replace(found, options=known)


def build_lm(folder: Path, settings: DomainSettings) -> tuple[int, ...]:
    """lm.bin of text.txt, and its settings; gives the number of n-grams of each order.

    ConfigError if there is no text.
    """
    text = folder / TEXT
    if not text.is_file():
        raise ConfigError(f"{folder} holds no {TEXT}: write sentences of the domain, one a line")
    options = TrainOptions(settings.order, kind=unit_kind(settings.units))
    found = train_ngram(read_lines([text]), options)
    write_ngram(found.tables, folder / LM_FILE)
    if (folder / HOTWORDS).is_file():
        read_hotwords(folder / HOTWORDS)  # a mistake in them is told now
    write_settings(folder, settings)
    return found.tables.counts


def compose(lm: Path, recognizer: CtcRecognizer, options: FusionOptions) -> tuple[Graph, Lexicon]:
    """T ∘ L ∘ G of an LM's file for a CTC model, and the lexicon.

    ConfigError if no word can be spelled, MissingExtra without kaldifst.
    """
    tables = tables_of(lm)
    spelling = recognizer.spelling
    lexicon = spell_words(tables.units, lambda word: _spelled(word, recognizer.model))
    wanted = GraphOptions(
        lm_weight=options.lm_weight,
        length_bonus=options.length_bonus,
        change_cost=spelling.change_cost,
    )
    graph = Graph.build(tables, lexicon, len(spelling.pieces), spelling.blank, wanted)
    return graph, lexicon


def build_graph(
    folder: Path, recognizer: CtcRecognizer, options: FusionOptions
) -> tuple[Graph, Lexicon]:
    """graph/, lexicon.txt and unspelled.txt of the LM in a folder; errors as of `compose`."""
    graph, lexicon = compose(folder / LM_FILE, recognizer, options)
    pieces = recognizer.spelling.pieces
    lines = (
        f"{word}\t{' '.join(pieces[unit].strip() for unit in units)}\n"
        for word, units in lexicon.spellings
    )
    write_whole(folder / LEXICON, "".join(lines))
    write_whole(folder / UNSPELLED, "".join(f"{word}\n" for word in lexicon.unspelled))
    graph.save(folder / GRAPH)
    return graph, lexicon


def as_method(options: FusionOptions, method: str) -> FusionOptions:
    """The same weights by another method; those that it does not take are left out."""
    kept = FusionOptions(method, lm_weight=options.lm_weight, length_bonus=options.length_bonus)
    if method in ("density", "lodr") and options.source_weight:
        return replace(kept, source_weight=options.source_weight)
    if method == options.method:  # the λ_I of units is not that of frames
        return replace(kept, ilm_weight=options.ilm_weight)
    return kept


def untuned(method: str) -> FusionOptions:
    """Weights where nothing has been tuned; a graph, which lets words in only whole, bears more."""
    return (
        FusionOptions("wfst", 1.0, length_bonus=3.0) if method == "wfst" else FusionOptions(method)
    )


def nbest_file(method: str) -> str:
    """What a method is tuned on: graphs have lists of their own."""
    return GRAPH_NBEST if method == "wfst" else NBEST


def _spelled(word: str, model: Any) -> tuple[int, ...]:
    """Units of a word of the LM; one of several Chinese characters is spelled by each of them."""
    if len(word) == 1 or not any(map(is_cjk, word)):
        return spell_word(word, model)
    parts = [spell_word(character, model) for character in word]
    return tuple(unit for part in parts for unit in part) if all(parts) else ()
