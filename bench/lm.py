"""Language models in decoding: domain adaptation, rare words and the speed of searches.

    python bench/lm.py adapt --shared ../shared                # every method, set and model
    python bench/lm.py rare --shared ../shared                 # hotwords: recall, false alarms
    python bench/lm.py search --shared ../shared --rivals DIR  # pyctcdecode, flashlight-text

Of every set a half of the sentences is heard (a third of it tunes the weights), and the other half
is text of the domain; a sentence that is heard is in no text, whatever its marks and case. To it
comes general text (tatoeba_train, ljspeech_sentences), of which also the source LM is made. `adapt`
with fusion wfst needs mooer[wfst]; `--rivals` is a folder to which `pip install --target DIR
pyctcdecode pygtrie kenlm-ex flashlight-text` was told to install.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

from mooer.audio.wave import read_wave
from mooer.decoding.fusion import FusionOptions, Length, TextScorer
from mooer.decoding.hotwords import Hotword
from mooer.decoding.lm.load import write_ngram
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.lm.trie import trie_of
from mooer.decoding.lm.units import units_of
from mooer.decoding.nbest import NBest
from mooer.decoding.prefixes import CtcOptions, prefix_search
from mooer.decoding.tuning import Grid, tokens_of, tune
from mooer.evaluate.bootstrap import compare_systems
from mooer.infer import RecognizeOptions, load
from mooer.infer.candidates import candidates
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.domain import compose
from mooer.infer.fusion import Fusion, estimate_prior
from mooer.text import is_cjk
from mooer.text.edit import distance

Args = argparse.Namespace
SETS = ("aishell", "magicdata_cs", "speechocean762", "timit_sample")
MODELS = ("rich-mini", "whisper-base", "mini")
CTC_METHODS = ("shallow", "rescore", "density", "lodr", "ilme", "wfst")
WHISPER_METHODS = ("shallow", "rescore", "density", "lodr", "ilme")
DOMAIN_COPIES = 3  # of the domain's sentences beside the general ones
MIN_HOTWORD, MAX_TIMES = 2, 2  # letters of a rare word, and how often it comes in the tests
BEAMS = (10, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--methods", nargs="+", help="all by default")
    parser.add_argument("--limit", type=int, help="clips a set")
    parser.add_argument("--order", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rivals", type=Path, help="where other decoders are installed")
    args = parser.parse_args()
    PARTS[args.part](args)


# --- material ---------------------------------------------------------------------------------


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
    """A set: what tunes, what is tested, and the LMs of texts that hold neither."""

    dev: list[Clip]
    test: list[Clip]
    lm: NGramText
    lm_file: Path
    source: NGramText  # general text alone
    bigram: NGramText  # the same, of order 2


def material(name: str, args: Args, folder: Path) -> Material:
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
    heard = set(sentences[: len(sentences) // 2])
    tested = [clip for clip in clips if " ".join(units_of(clip.text)) in heard]
    random.Random(1).shuffle(tested)
    tested = tested[: args.limit]
    num_dev = max(1, len(tested) // 3)
    own = sentences[len(sentences) // 2 :]
    other = [t for t in general_text(clips[0].language, args) if " ".join(units_of(t)) not in heard]
    lm = trained([*own * DOMAIN_COPIES, *other], args.order)
    path = folder / f"{name}.bin"
    write_ngram(lm, path)
    source, bigram = (trained(other, order) for order in (args.order, 2))
    models = [NGramText(trie_of(one)) for one in (lm, source, bigram)]
    return Material(tested[:num_dev], tested[num_dev:], models[0], path, *models[1:])


def general_text(language: str, args: Args) -> list[str]:
    rows = map(json.loads, (args.shared / "text" / "tatoeba_train.jsonl").open(encoding="utf-8"))
    if language == "zh":
        return [row["zh"] for row in rows]
    spoken = (args.shared / "text" / "ljspeech_sentences.txt").read_text("utf-8").splitlines()
    return [*(text for row in rows for text in row["en"]), *spoken]


def trained(texts: Iterable[str], order: int) -> Any:
    return train_ngram(texts, TrainOptions(order)).tables


# --- adaptation -------------------------------------------------------------------------------


def adapt(args: Args) -> None:
    """Errors, speed and memory of every method, weights tuned for each."""
    print(f"General and domain text, order {args.order}; weights tuned on the dev part.\n")
    header = ("model", "set", "method", "weights", "errors %", "less than none %", "p", "RTF", "MB")
    table(header, rows_of_adapt(args))


def rows_of_adapt(args: Args) -> Iterable[Sequence[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for name in args.sets:
            texts = material(name, args, Path(folder))
            for model in args.models:
                yield from adapted(model, name, texts, args)


def adapted(model: str, name: str, texts: Material, args: Args) -> Iterable[Sequence[Any]]:
    recognizer = load(model, num_threads=args.threads).recognizer
    is_ctc = isinstance(recognizer, CtcRecognizer)
    methods = [
        one
        for one in (CTC_METHODS if is_ctc else WHISPER_METHODS)
        if args.methods is None or one in args.methods
    ]
    prior = None
    if isinstance(recognizer, CtcRecognizer):
        prior = estimate_prior(recognizer.model, (read_wave(clip.path) for clip in texts.dev))
    lists = [dev_list(recognizer, clip, texts, prior, "ilme" in methods) for clip in texts.dev]
    plain = tested(recognizer, texts.test, None, ())
    yield (model, name, "none", "", *judged(plain, plain))
    for method in methods:
        source = texts.bigram if method == "lodr" else texts.source
        usual = FusionOptions("shallow" if method == "wfst" else method)
        known = Fusion(usual, texts.lm, source, prior)
        scored = [known.scored(one, None) for one in lists]
        options = tune(scored, usual.method, Grid()).options
        fusion = replace(known, options=options)
        if method == "wfst":
            assert isinstance(recognizer, CtcRecognizer)
            graph, _ = compose(texts.lm_file, recognizer, options)
            wfst = FusionOptions("wfst", options.lm_weight, length_bonus=options.length_bonus)
            fusion = Fusion(wfst, graph=graph)
        found = tested(recognizer, texts.test, fusion, ())
        weights = ", ".join(f"{part} {weight:+g}" for part, weight in options.weights.items())
        yield (model, name, method, weights, *judged(found, plain))


def dev_list(recognizer: Any, clip: Clip, texts: Material, prior: Any, ilm: bool) -> NBest:
    first = Fusion(FusionOptions(lm_weight=0.5, length_bonus=1.0), texts.lm)
    fusions = (first, replace(first, options=FusionOptions(lm_weight=1.0, length_bonus=2.5)))
    found = candidates(
        recognizer,
        read_wave(clip.path),
        language=clip.language,
        ilm=ilm,
        prior=prior,
        fusions=fusions,
    )
    return NBest(clip.path, tuple(found), clip.language, clip.text)


@dataclass(frozen=True)
class Tested:
    """Errors and tokens of each clip, and how long it took."""

    texts: list[str]
    errors: list[int]
    tokens: list[int]
    rtf: float
    peak_mb: float


def tested(recognizer: Any, clips: Sequence[Clip], fusion: Fusion | None, hotwords: Any) -> Tested:
    texts, errors, tokens, wall_s, sound_s = [], [], [], 0.0, 0.0
    for clip in clips:
        options = RecognizeOptions(language=clip.language, fusion=fusion, hotwords=hotwords)
        began = time.perf_counter()
        transcript = recognizer.transcribe(clip.path, options)
        wall_s += time.perf_counter() - began
        sound_s += transcript.duration_s
        texts.append(transcript.text)
        errors.append(distance(clip.reference, tokens_of(transcript.text, clip.language)))
        tokens.append(len(clip.reference))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Tested(texts, errors, tokens, wall_s / max(sound_s, 1e-9), peak_mb)


def judged(found: Tested, plain: Tested) -> tuple[str, ...]:
    rate = 100 * sum(found.errors) / max(1, sum(found.tokens))
    less = 100 * (1 - sum(found.errors) / max(1, sum(plain.errors)))
    sure = (
        compare_systems(plain.errors, found.errors, found.tokens) if len(found.errors) > 1 else None
    )
    p_value = f"{sure.p_value:.3f}" if sure and found is not plain else ""
    return (f"{rate:.1f}", f"{less:.1f}", p_value, f"{found.rtf:.3f}", f"{found.peak_mb:.0f}")


# --- rare words -------------------------------------------------------------------------------


def rare(args: Args) -> None:
    """Recall of words that come once or twice, and how often they are heard where nobody says them.

    The list holds the rare words of the tests and as many of the rest of the text, which are not
    said.
    """
    header = ("model", "set", "hotwords", "recall %", "false alarms", "errors %")
    table(header, rows_of_rare(args))


def rows_of_rare(args: Args) -> Iterable[Sequence[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for name in args.sets:
            texts = material(name, args, Path(folder))
            words = rare_words([clip.text for clip in texts.test], texts.lm)
            hotwords = tuple(Hotword(word) for word in words)
            for model in args.models:
                recognizer = load(model, num_threads=args.threads).recognizer
                lm = Fusion(FusionOptions("rescore", 0.4), texts.lm)
                if isinstance(recognizer, CtcRecognizer):
                    lm = Fusion(FusionOptions("shallow", 0.5, length_bonus=1.0), texts.lm)
                for label, fusion, expected in (
                    ("none", None, ()),
                    ("hotwords", None, hotwords),
                    ("LM", lm, ()),
                    ("LM and hotwords", lm, hotwords),
                ):
                    found = tested(recognizer, texts.test, fusion, expected)
                    yield (model, name, label, *spotted(found, texts.test, words))


def rare_words(texts: Sequence[str], lm: NGramText) -> list[str]:
    """Words of letters that come rarely in the tests; of Chinese, pairs of characters."""
    counts: dict[str, int] = {}
    for text in texts:
        for word in phrases(text):
            counts[word] = counts.get(word, 0) + 1
    known = [word for word in lm.model.vocabulary if word.isalpha() and len(word) >= 5]
    seldom = [w for w, n in sorted(counts.items()) if n <= MAX_TIMES and len(w) >= MIN_HOTWORD]
    chosen = random.Random(2).sample(seldom, min(40, len(seldom)))
    others = [w for w in known if w not in counts and not any(map(is_cjk, w))]
    if not others:  # pairs that nobody says
        others = [one[0] + two[1] for one, two in itertools.pairwise(chosen)]
        others = [w for w in others if w not in counts]
    decoys = random.Random(3).sample(others, min(len(chosen), len(others)))
    return sorted({*chosen, *decoys})


def phrases(text: str) -> list[str]:
    units = units_of(text)
    if any(map(is_cjk, text)):
        pairs = itertools.pairwise(units)
        return [a + b for a, b in pairs if is_cjk(a) and is_cjk(b)]
    return [unit for unit in units if len(unit) >= 6]


def spotted(found: Tested, clips: Sequence[Clip], words: Sequence[str]) -> tuple[str, ...]:
    said = right = wrong = 0
    for text, clip in zip(found.texts, clips, strict=True):
        heard, real = (" ".join(units_of(one)) for one in (text, clip.text))
        for word in words:
            spelled = " ".join(units_of(word))
            in_real = f" {spelled} " in f" {real} "
            in_heard = f" {spelled} " in f" {heard} "
            said += in_real
            right += in_real and in_heard
            wrong += in_heard and not in_real
    rate = 100 * sum(found.errors) / max(1, sum(found.tokens))
    return (f"{100 * right / max(1, said):.1f} of {said}", str(wrong), f"{rate:.1f}")


# --- speed ------------------------------------------------------------------------------------


def search(args: Args) -> None:
    """Decoders on the same log-probabilities, beam, thresholds and 4-gram; medians of turns."""
    if args.rivals:
        sys.path[:0] = [str(args.rivals), *(str(p) for p in args.rivals.iterdir() if p.is_dir())]
    with tempfile.TemporaryDirectory() as folder:
        texts = material("aishell", args, Path(folder))
        recognizer = load("rich-mini", num_threads=args.threads).recognizer
        assert isinstance(recognizer, CtcRecognizer)
        clips = [*texts.dev, *texts.test]
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


def trained_tables(lm: NGramText) -> Any:
    return lm.model.tables()


PARTS = {"adapt": adapt, "rare": rare, "search": search}

if __name__ == "__main__":
    main()
