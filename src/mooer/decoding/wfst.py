"""A graph T ∘ L ∘ G as a decoder of CTC: the best path through all that the graph can say.

    graph = Graph.build(tables, lexicon, num_classes, blank, GraphOptions(lm_weight=0.6))
    graph.save(Path("domain/graph"))
    best = graph.decode(log_probs)[0]

`graphs` builds it and `kaldifst` composes; `kaldi-decoder` walks it (token passing with a beam).
Both come with the extra mooer[wfst].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mooer.config import read_yaml, to_yaml
from mooer.decoding.graphs import GraphOptions, Lexicon, compose_graph
from mooer.decoding.lattices import arcs_of, best_texts
from mooer.decoding.lm.tables import Tables
from mooer.errors import ConfigError, DecodeError, MissingExtra, ModelError
from mooer.files import write_whole
from mooer.text import join_text

Floats = NDArray[np.float32]
Spelled: TypeAlias = tuple[str, tuple[int, ...]]  # a word and its classes

_FST, _WORDS, _SETTINGS = "TLG.fst", "words.txt", "graph.yaml"


@dataclass(frozen=True)
class WfstOptions:
    """How wide the graph is searched; costs are natural logs."""

    beam: float = 16.0
    max_active: int = 7000  # states at a frame
    lattice_beam: float = 8.0  # of n-best
    num_best: int = 1
    blank_skip: float = 0.98  # of frames in a row where the blank is as likely, one is walked

    def __post_init__(self) -> None:
        if not self.beam > 0 or not self.lattice_beam > 0:
            raise ConfigError(f"beams must be above 0, got {self}")
        if self.max_active < 2 or self.num_best < 1:
            raise ConfigError(f"max_active and num_best must be at least 2 and 1, got {self}")
        if not 0 < self.blank_skip <= 1:
            raise ConfigError(f"blank_skip must be above 0 and at most 1, got {self.blank_skip}")


@dataclass(frozen=True)
class Settings:
    """graph.yaml: what a saved graph was made for."""

    num_classes: int
    blank: int
    options: GraphOptions


@dataclass(frozen=True, slots=True)
class Walk:
    """A path that was found."""

    words: tuple[str, ...]
    units: tuple[int, ...]  # of the acoustic model
    logprob: float  # natural log of the path by the acoustic model
    score: float  # with what the graph adds
    path: tuple[int, ...]  # the class of every frame; the blank of those that were not walked

    @property
    def text(self) -> str:
        """Words with spaces between them, Chinese without."""
        return join_text(self.words)


class Graph:
    """A composed graph, and by label the words on its arcs, with their spellings."""

    def __init__(self, fst: Any, words: Sequence[Spelled], settings: Settings) -> None:
        self._fst = fst
        self._words = tuple(words)
        self.settings = settings

    @classmethod
    def build(
        cls,
        tables: Tables,
        lexicon: Lexicon,
        num_classes: int,
        blank: int,
        options: GraphOptions | None = None,
    ) -> Graph:
        """Compose it. ConfigError where nothing can be said, MissingExtra without kaldifst."""
        options = options or GraphOptions()
        fst = compose_graph(tables, lexicon, num_classes, blank, options)
        spelled = dict(lexicon.spellings)
        words = [(word, spelled.get(word, ())) for word in tables.units]
        return cls(fst, words, Settings(num_classes, blank, options))

    @property
    def num_states(self) -> int:
        """Of the whole graph."""
        return int(self._fst.num_states)

    def decode(self, log_probs: Floats, options: WfstOptions = WfstOptions()) -> list[Walk]:
        """The best texts of log-probabilities [F, V], the best first; none if no path ends.

        DecodeError for NaN, ModelError for another number of classes.
        """
        decoder = _kaldi_decoder()
        settings = self.settings
        if log_probs.ndim != 2 or log_probs.shape[1] != settings.num_classes:
            raise ModelError(
                f"the graph is of {settings.num_classes} classes, but the model gives "
                f"{list(log_probs.shape)}: build the graph for this model"
            )
        if np.isnan(log_probs).any():
            raise DecodeError(
                "the model gives NaN instead of probabilities: its weights are damaged"
            )
        walked = _walked(log_probs[:, settings.blank], options.blank_skip)
        kept = log_probs[walked]
        if not len(kept):
            return []
        given = decoder.DecodableCtc(np.ascontiguousarray(np.maximum(kept, -1e4), np.float32))
        if options.num_best > 1:
            return self._several(given, walked, options)
        for beam in (options.beam, 2 * options.beam):  # a narrow one may lose all that can end here
            wanted = decoder.FasterDecoderOptions(beam=beam, max_active=options.max_active)
            walker = decoder.FasterDecoder(self._fst, wanted)
            walker.decode(given)
            if walker.reached_final():
                ok, lattice = walker.get_best_path()
                return [self._path(lattice, walked)] if ok else []
        return []

    def save(self, folder: Path) -> None:
        """Write the graph into a folder, which is made. OutputError if that fails."""
        settings = to_yaml(self.settings)
        write_whole(folder / _WORDS, "".join(map(_line, self._words)))
        write_whole(folder / _SETTINGS, settings)
        partial = folder / f".{_FST}.part"
        if not self._fst.write(str(partial)):
            raise ConfigError(f"the graph cannot be written to {folder}: check the place and retry")
        partial.replace(folder / _FST)

    @classmethod
    def load(cls, folder: Path) -> Graph:
        """The graph of a folder. ModelError for one that is not there, or is not whole."""
        try:
            import kaldifst
        except ImportError as error:
            raise MissingExtra("kaldifst", "wfst") from error
        for name in (_FST, _WORDS, _SETTINGS):
            if not (folder / name).is_file():
                raise ModelError(f"{folder} holds no {name}: build the graph again")
        settings = read_yaml(Settings, folder / _SETTINGS)
        fst = kaldifst.StdVectorFst.read(str(folder / _FST))
        if fst is None or fst.num_states == 0:
            raise ModelError(f"{folder / _FST} cannot be read: build the graph again")
        lines = (folder / _WORDS).read_text("utf-8").split("\n")[:-1]
        return cls(fst, [_spelled(line, folder / _WORDS) for line in lines], settings)

    def _several(self, given: Any, walked: NDArray[np.bool_], options: WfstOptions) -> list[Walk]:
        decoder = _kaldi_decoder()
        wanted = decoder.LatticeSimpleDecoderConfig(
            beam=options.beam, lattice_beam=options.lattice_beam
        )
        walker = decoder.LatticeSimpleDecoder(self._fst, wanted)
        if not walker.decode(given) or not math.isfinite(walker.final_relative_cost()):
            return []
        ok, lattice = walker.get_raw_lattice()
        if not ok:
            return []
        return [
            self._walk(one.labels, one.classes, one.costs, walked)
            for one in best_texts(arcs_of(lattice), options.num_best)
        ]

    def _path(self, lattice: Any, walked: NDArray[np.bool_]) -> Walk:
        import kaldifst

        _, classes, labels, weight = kaldifst.get_linear_symbol_sequence(lattice)
        return self._walk(labels, classes, (weight.value1, weight.value2), walked)

    def _walk(
        self,
        labels: Sequence[int],
        classes: Sequence[int],
        costs: tuple[float, float],
        walked: NDArray[np.bool_],
    ) -> Walk:
        path = np.full(len(walked), self.settings.blank)
        path[walked] = np.array(classes) - 1
        said = [self._words[label - 1] for label in labels]
        units = tuple(unit for _, spelling in said for unit in spelling)
        words = tuple(word for word, _ in said)
        return Walk(words, units, -costs[1], -sum(costs), tuple(path.tolist()))


def _line(word: Spelled) -> str:
    """A line of words.txt: the word, a tab, its classes."""
    return f"{word[0]}\t{' '.join(map(str, word[1]))}\n"


def _spelled(line: str, path: Path) -> Spelled:
    word, tab, units = line.partition("\t")
    try:
        spelling = tuple(map(int, units.split()))
    except ValueError:
        tab = ""
    if not tab:
        raise ModelError(f"{path} is damaged at {line[:40]!r}: build the graph again")
    return word, spelling


def _walked(silence: NDArray[np.floating[Any]], blank_skip: float) -> NDArray[np.bool_]:
    """Which frames [F] are walked: of sure blanks in a row the first."""
    if blank_skip >= 1:
        return np.ones(len(silence), bool)
    sure = silence > math.log(blank_skip)
    walked = ~sure
    walked[1:] |= sure[1:] & ~sure[:-1]
    walked[:1] = True
    return walked


def _kaldi_decoder() -> Any:
    try:
        import kaldi_decoder
    except ImportError as error:
        raise MissingExtra("kaldi-decoder", "wfst") from error
    return kaldi_decoder
