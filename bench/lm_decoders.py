"""CTC decoders with an n-gram model, ours and others, for `lm.py search`."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_material import Args, Clip, Material, halves
from tables import table

from mooer.audio.wave import read_wave
from mooer.decoding.fusion import FusionOptions, Length, TextScorer
from mooer.decoding.lm.load import write_ngram
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.prefixes import CtcOptions, prefix_search
from mooer.decoding.tuning import tokens_of
from mooer.infer import load
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.domain import compose
from mooer.text import is_cjk
from mooer.text.edit import distance

BEAMS = (10, 50, 100)


def search(args: Args) -> None:
    """Decoders on the same log-probabilities, beam, thresholds and 4-gram; medians of turns."""
    if args.rivals:
        sys.path[:0] = [str(args.rivals), *(str(p) for p in args.rivals.iterdir() if p.is_dir())]
    with tempfile.TemporaryDirectory() as folder:
        texts = halves("aishell", args)[0]
        recognizer = load("rich-mini", num_threads=args.threads).recognizer
        assert isinstance(recognizer, CtcRecognizer)
        clips = texts.test
        heard = [recognizer.model.log_probs(read_wave(clip.path)) for clip in clips]
        arpa = Path(folder) / "lm.arpa"
        write_ngram(trained_tables(texts.lm), arpa)
        sound_s = sum(map(len, heard)) * recognizer.model.frame_s
        print(f"{len(heard)} clips of aishell, {sound_s:.0f} s; λ 0.5, β 0.5, one thread\n")
        header = ("beam", "decoder", "RTF", "times as long as ours", "errors %")
        table(header, rows_of_search(recognizer, texts, clips, heard, (arpa, sound_s)))


def rows_of_search(
    recognizer: CtcRecognizer,
    texts: Material,
    clips: Sequence[Clip],
    heard: Sequence[Any],
    where: tuple[Path, float],
) -> Iterable[Sequence[Any]]:
    arpa, sound_s = where
    for beam in BEAMS:
        decoders = {
            "mooer": ours(recognizer, texts, beam, change_cost=0.0),
            "mooer, as it decodes": ours(recognizer, texts, beam, recognizer.model.change_cost),
            **rivals(recognizer, arpa, beam),
        }
        if beam == BEAMS[0]:
            decoders["mooer wfst"] = by_graph(recognizer, texts)
        seconds: dict[str, list[float]] = {name: [] for name in decoders}
        said: dict[str, list[str]] = {}
        for _ in range(3):  # turn by turn, so that what else the machine does hits all alike
            for name, decode in decoders.items():
                began = time.process_time()
                said[name] = [decode(rows) for rows in heard]
                seconds[name].append(time.process_time() - began)
        first = float(np.median(seconds["mooer"]))
        for name, taken in seconds.items():
            median = float(np.median(taken))
            pairs = zip(clips, said[name], strict=True)
            errors = sum(distance(c.reference, tokens_of(t, c.language)) for c, t in pairs)
            rate = 100 * errors / sum(len(clip.reference) for clip in clips)
            yield (beam, name, f"{median / sound_s:.4f}", f"{median / first:.2f}", f"{rate:.1f}")


def trained_tables(lm: NGramText) -> Any:
    return lm.model.tables()


Decode = Callable[[Any], str]


def ours(recognizer: CtcRecognizer, texts: Material, beam: int, change_cost: float) -> Decode:
    spelling = recognizer.spelling
    scorer = TextScorer([(texts.lm, 0.5), (Length(), 0.5)], spelling.pieces)
    options = CtcOptions(beam, 10_000, -5.0, 10.0, 1.0, change_cost)
    return lambda rows: spelling.text(prefix_search(rows, 0, options, [scorer])[0].units)


def by_graph(recognizer: CtcRecognizer, texts: Material) -> Decode:
    options = FusionOptions(lm_weight=0.5, length_bonus=0.5)
    graph, _ = compose(texts.lm_file, recognizer, options)
    return lambda rows: "".join(walk.text for walk in graph.decode(rows))


def rivals(recognizer: CtcRecognizer, arpa: Path, beam: int) -> dict[str, Decode]:
    """Decoders that are installed; of the others it is said that they are not."""
    found: dict[str, Decode] = {}
    # To them a Chinese character is a word where it begins like one.
    names = ["▁" + n if is_cjk(n[0]) else n for n in recognizer.units.names]
    try:
        from pyctcdecode import build_ctcdecoder

        decoder = build_ctcdecoder(["", *names], str(arpa), alpha=0.5, beta=0.5)
        limits = {"beam_width": beam, "beam_prune_logp": -10, "token_min_logp": -5}
        found["pyctcdecode"] = lambda rows: decoder.decode(rows, **limits)
    except ImportError as error:
        print(f"without pyctcdecode: {error}", file=sys.stderr)
    try:
        found["flashlight-text"] = flashlight(names, arpa, beam)
    except ImportError as error:
        print(f"without flashlight-text: {error}", file=sys.stderr)
    return found


def flashlight(names: Sequence[str], arpa: Path, beam: int) -> Decode:
    """Its decoder without a lexicon: the LM is asked of each unit, as words of one unit are."""
    from flashlight.lib.text import decoder as fl
    from flashlight.lib.text.dictionary import Dictionary

    # Entries are classes; a piece within a word is no word of the LM, and so unknown to it.
    entries = ["<blank>"]
    for name in names:
        word = name.removeprefix("▁") if name.startswith("▁") else f"+{name}"
        entries.append(word if word not in entries else f"{word}#{len(entries)}")
    lm = fl.KenLM(str(arpa), Dictionary(entries))
    options = fl.LexiconFreeDecoderOptions(beam, 50, 10.0, 0.5, 0.0, True, fl.CriterionType.CTC)
    decoder = fl.LexiconFreeDecoder(options, lm, len(names) + 1, 0, [])

    def decode(rows: Any) -> str:
        padded = np.full((len(rows), rows.shape[1] + 1), -1e4, np.float32)  # with its silence
        padded[:, :-1] = rows
        best = decoder.decode(padded.ctypes.data, *padded.shape)[0]
        units = [token for token, _ in itertools.groupby(best.tokens)]
        return "".join(names[u - 1].replace("▁", " ") for u in units if 0 < u <= len(names))

    return decode
