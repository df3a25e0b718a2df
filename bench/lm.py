"""Language models in decoding: domain adaptation, rare words and the speed of searches.

    python bench/lm.py adapt --shared ../shared                # every method, set and model
    python bench/lm.py rare --shared ../shared                 # hotwords: recall, false alarms
    python bench/lm.py limits --shared ../shared               # why a CTC model is helped no more
    python bench/lm.py search --shared ../shared --rivals DIR  # pyctcdecode, flashlight-text

Every set is cut into halves by its sentences. What is said in one is text of the domain for the
other; a sentence that is heard is in no text of its LM, whatever its marks and case. The LM mixes
that text with general text (tatoeba_train; ljspeech_sentences; `--more-zh` files, a sentence a
line), of which alone the source LM is made. Weights for one half are tuned on the other, where they
are 0 unless they surely help. LMs, n-best lists and rows are kept in `--cache`, so that a run that
was broken off goes on; for other text, take another folder. `adapt` with wfst needs mooer[wfst];
`--rivals` is a folder to which `pip install --target DIR --no-deps pyctcdecode pygtrie kenlm-ex
flashlight-text` has installed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from lm_decoders import search
from lm_material import SETS, Args, Clip, Material, halves
from pypinyin.phrases_dict import phrases_dict
from tables import table

from mooer.audio.wave import read_wave
from mooer.decoding.alignment import align_words
from mooer.decoding.emissions import keep
from mooer.decoding.fusion import FusionOptions
from mooer.decoding.hotwords import Hotword
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.units import units_of
from mooer.decoding.nbest import NBest, read_nbest, write_nbest
from mooer.decoding.tuning import MAX_P, tokens_of, tune
from mooer.evaluate.bootstrap import compare_systems
from mooer.infer import RecognizeOptions, load
from mooer.infer.candidates import candidates, fusions_for_tuning, graphs_for_tuning, grid_for
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.domain import compose
from mooer.infer.fusion import Fusion, estimate_prior
from mooer.infer.run import Listener
from mooer.text import is_cjk
from mooer.text.edit import distance

MODELS = ("rich-mini", "whisper-base", "mini")
CTC_METHODS = ("shallow", "rescore", "density", "lodr", "ilme", "wfst")
WHISPER_METHODS = ("shallow", "rescore", "density", "lodr", "ilme")
METHODS_OF = {"rich-mini": CTC_METHODS, "mini": ("rescore",)}
MIN_HOTWORD, MAX_TIMES = 2, 2  # letters of a rare word, and how often it comes in the tests


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
    parser.add_argument("--cache", type=Path, default=Path("runs/lm"))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    args.results = args.cache / "adapt.jsonl"
    PARTS[args.part](args)


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
            parts = [Part(one, ear, f"{model}-{name}-{i}", args) for i, one in enumerate(texts)]
        found: list[Tested] = []
        weights = []
        for part, other in ((parts[0], parts[1]), (parts[1], parts[0])):
            fusion = None if method == "none" else part.fusion(method, other)
            found.append(tested(ear, part.texts.test, fusion, ()))
            weights.append("" if fusion is None else shown(fusion))
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


def shown(fusion: Fusion) -> str:
    return ", ".join(f"{part} {weight:+g}" for part, weight in fusion.options.weights.items())


class Part:
    """Half of a set before one recogniser: its n-best lists, and what they tune."""

    def __init__(self, texts: Material, ear: Listener, name: str, args: Args) -> None:
        self.texts = texts
        self._ear = ear
        self._file = args.cache / f"{name}-nbest.jsonl"
        self._graph_file = args.cache / f"{name}-wfst-nbest.jsonl"
        self.prior = None
        if isinstance(ear, CtcRecognizer):
            sounds = (read_wave(clip.path) for clip in texts.test)
            self.prior = estimate_prior(ear.model, sounds)

    @cached_property
    def lists(self) -> list[NBest]:
        """Of all clips, with the LM that does not know their sentences; kept for the next run."""
        return self._listed(self._file, lambda: fusions_for_tuning(self._ear, self.texts.lm))

    @cached_property
    def graph_lists(self) -> list[NBest]:
        """The same of what graphs find."""
        ear, prior = self._ear, self.prior
        assert isinstance(ear, CtcRecognizer)
        assert prior is not None
        return self._listed(
            self._graph_file, lambda: graphs_for_tuning(ear, self.texts.lm_file, prior)
        )

    def _listed(self, file: Path, searches: Callable[[], tuple[Fusion, ...]]) -> list[NBest]:
        clips = {clip.path: clip for clip in self.texts.test}
        known = {one.id: one for one in read_nbest(file)} if file.is_file() else {}
        fusions = () if known.keys() >= clips.keys() else searches()
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
                write_nbest(file, known.values())
        return [known[path] for path in clips]

    def fusion(self, method: str, other: Part) -> Fusion | None:
        """The method with weights of the other half; None where none of them helps there."""
        grid = grid_for(self._ear, method)
        best = tune(other.scored(method), method, grid, max_p=MAX_P).options
        if not best.weights:
            return None
        if method == "wfst":
            assert isinstance(self._ear, CtcRecognizer)
            graph, _ = compose(self.texts.lm_file, self._ear, best)
            return Fusion(best, prior=other.prior, graph=graph)
        return replace(self._known(method), options=best, prior=other.prior)

    def scored(self, method: str) -> list[NBest]:
        """Its lists with every score that the method takes."""
        if method == "wfst":  # whose LM is in the graph: lists are scored as for shallow
            return [self._known("shallow").scored(one, None) for one in self.graph_lists]
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
    """Words that come rarely in the tests; as many of the LM's, of Chinese of the dictionary's."""
    counts: dict[str, int] = {}
    for text in texts:
        for word in phrases(text):
            counts[word] = counts.get(word, 0) + 1
    known = [word for word in lm.model.vocabulary if word.isalpha() and len(word) >= 5]
    if any(map(is_cjk, "".join(texts))):
        known = [word for word in phrases_dict if len(word) == MIN_HOTWORD]
    seldom = [w for w, n in sorted(counts.items()) if n <= MAX_TIMES and len(w) >= MIN_HOTWORD]
    chosen = random.Random(2).sample(seldom, min(40, len(seldom)))
    others = sorted(w for w in known if w not in counts)
    decoys = random.Random(3).sample(others, min(len(chosen), len(others)))
    return sorted({*chosen, *decoys})


def phrases(text: str) -> list[str]:
    units = units_of(text)
    if any(map(is_cjk, text)):
        pairs = (a + b for a, b in itertools.pairwise(units))
        return [pair for pair in pairs if pair in phrases_dict]
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


# --- limits -----------------------------------------------------------------------------------


def limits(args: Args) -> None:
    """What no language model mends: units that a CTC model thinks nothing of where they are said.

    At the best frame of each unit of the reference, aligned to the sound.
    """
    print("Units of the reference at their best frame, aligned; lists with and without the LM.\n")
    header = (
        "set",
        "above -1 nat %",
        "below -5 nats %",
        "of the 8 likeliest %",
        "greedy %",
        "best of the lists %",
    )
    table(header, rows_of_limits(args))


def rows_of_limits(args: Args) -> Iterable[Sequence[Any]]:
    ear = load("rich-mini", num_threads=args.threads).recognizer
    assert isinstance(ear, CtcRecognizer)
    for name in args.sets:
        part = Part(halves(name, args)[0], ear, f"rich-mini-{name}-0", args)
        logs, ranks, first, best, tokens = [], [], 0, 0, 0
        for one in part.lists:
            rows = ear.model.log_probs(read_wave(one.id))
            units = [u for w in units_of(one.reference or "") for u in ear.model.spell(w)]
            [word] = align_words(keep(rows, 0, ear.model.frame_s), [units])
            for unit, place in zip(units, word.units, strict=True):
                column = rows[place.start : place.end, unit]
                peak = rows[place.start + int(column.argmax())]
                logs.append(float(peak[unit]))
                ranks.append(int((peak[1:] > peak[unit]).sum()))
            reference = tokens_of(one.reference or "", one.language)
            heard = "".join(w.text for w in ear.hear([read_wave(one.id)])[0].words)
            first += distance(reference, tokens_of(heard, one.language))
            best += min(
                distance(reference, tokens_of(c.text, one.language)) for c in one.candidates
            )
            tokens += len(reference)
        found = np.array(logs)
        shares = (found > -1).mean(), (found < -5).mean(), (np.array(ranks) < 8).mean()
        yield (
            name,
            *(f"{100 * x:.0f}" for x in shares),
            *(f"{100 * x / tokens:.1f}" for x in (first, best)),
        )


PARTS = {"adapt": adapt, "rare": rare, "limits": limits, "search": search}

if __name__ == "__main__":
    main()
