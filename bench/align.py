"""Word times, wrong text, hours and hotwords of a CTC model, as Markdown tables.

    python bench/align.py times --model rich-mini --shared ../shared   # beside faster-whisper
    python bench/align.py attention              # on synthetic speech (recipes/rich/times.py)
    python bench/align.py tune                   # edges and costs, chosen on half of the speakers
    python bench/align.py scores                 # what tells a wrong text from the right one
    python bench/align.py hour                   # seconds and memory of an hour
    python bench/align.py hotwords               # greedy, beam, and beam with hotwords

`times` compares with the hand-made word times of timit_sample: mean absolute error of starts and of
ends in milliseconds. A recogniser's words count where it has heard the word that was said; "common"
are those that all recognisers heard, and on these the rows compare. faster-whisper is no
dependency: where it is missing (pip install faster-whisper) its row is left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

import mooer
from mooer.audio.wave import open_wave, read_wave
from mooer.decoding.alignment import AlignOptions, align_words, mean_score
from mooer.decoding.ctc import CtcModel, steady
from mooer.decoding.edges import EdgeOptions, Loudness
from mooer.decoding.emissions import Emissions, hear
from mooer.decoding.hotwords import Hotword
from mooer.decoding.prefixes import CtcOptions, prefix_search
from mooer.engines.llm import usable_cores
from mooer.evaluate.metrics import Counts, compare
from mooer.infer import boosted
from mooer.infer.aligned import Passing, align, with_words
from mooer.infer.aligners import load_aligner
from mooer.infer.attended import attended, load_reader
from mooer.infer.placed import AlignerOptions, place, share_heard
from mooer.infer.spelled import spell_line
from mooer.infer.spoken import spell_word, spoken_words
from mooer.store import fetch
from mooer.text import character_tokens, edit, split_words

Args = argparse.Namespace
Row = dict[str, Any]
Times = list[tuple[float, float] | None]  # of each word that was said; None: it was not heard

WRONG_SETS = ("timit_sample", "aishell", "magicdata_cs", "ljspeech")
NUM_DISTRACTORS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=[*PARTS, *HIDDEN, "all"])
    parser.add_argument("--model", default="rich-mini", help="a name of the catalog, or a folder")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--limit", type=int, help="clips a set")
    parser.add_argument("--times", type=Path, default=Path("runs/rich/times.jsonl"))
    parser.add_argument("--minutes", type=int, default=10, help="of `measure`")
    args = parser.parse_args()
    for name in PARTS if "all" in args.parts else args.parts:
        (PARTS | HIDDEN)[name](args)


def rows_of(args: Args, name: str) -> list[Row]:
    manifest = args.shared / "data" / f"{name}.jsonl"
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["audio"] = str(manifest.parent / row["audio"])
    return rows[: args.limit]


# --- times of words -----------------------------------------------------------------------------


def times(args: Args) -> None:
    rows = rows_of(args, "timit_sample")
    systems = dict(timers(args))
    found = {name: [timer(row) for row in rows] for name, timer in systems.items()}
    heard = [
        [all(found[name][i][j] is not None for name in systems) for j in range(len(row["words"]))]
        for i, row in enumerate(rows)
    ]
    lines = []
    for name, clips in found.items():
        every = errors(rows, clips, None)
        common = errors(rows, clips, heard)
        starts, ends = np.abs(common).mean(0)
        over = 100 * (np.abs(common) > 100).mean(0)
        all_starts, all_ends = np.abs(every).mean(0)
        lines.append(
            [
                name,
                f"{starts:.1f}",
                f"{ends:.1f}",
                f"{np.median(common[:, 0]):+.0f} / {np.median(common[:, 1]):+.0f}",
                f"{over[0]:.0f} / {over[1]:.0f}",
                len(every),
                f"{all_starts:.1f} / {all_ends:.1f}",
            ]
        )
    num = sum(map(sum, heard))
    total = sum(len(row["words"]) for row in rows)
    print(f"### Word times: {len(rows)} clips, {total} words, {num} common\n")
    header = ["system", "starts, ms", "ends, ms", "median bias", "over 100 ms, %"]
    table([*header, "words it heard", "on those"], lines)


def timers(args: Args) -> Iterator[tuple[str, Callable[[Row], Times]]]:
    ctc = load_aligner(args.model, num_threads=args.threads)
    model = mooer.load(num_threads=args.threads)

    reader = load_reader(num_threads=args.threads)

    def by_ctc(row: Row) -> Times:
        """The text is given as it was said."""
        text = " ".join(word for word, _, _ in row["words"])
        found = align(read_wave(row["audio"]), text, ctc)
        return [(w.start_s, w.end_s) for s in found.segments for w in s.words or ()]

    def known(row: Row) -> Times:
        samples = read_wave(row["audio"])
        found = align(samples, " ".join(word for word, _, _ in row["words"]), ctc)
        timed = attended(Passing(samples), found.segments, reader)
        return [(w.start_s, w.end_s) for s in timed for w in s.words or ()]

    def whisper(row: Row) -> Times:
        said = model.transcribe(row["audio"], language="en", words=True)
        words = [(w.text, w.start_s, w.end_s) for s in said.segments for w in s.words or ()]
        return matched(row, words)

    def rewritten(row: Row) -> Times:
        said = model.transcribe(row["audio"], language="en", words=True)
        samples = read_wave(row["audio"])
        found = attended(Passing(samples), with_words(samples, said.segments, ctc), reader)
        words = [(w.text, w.start_s, w.end_s) for s in found for w in s.words or ()]
        return matched(row, words)

    yield "mooer align, text known", known
    yield "the same by CTC alone", by_ctc
    yield "mooer transcribe --align", rewritten
    yield "mooer transcribe --words", whisper
    if find_spec("faster_whisper"):
        from faster_whisper import WhisperModel

        theirs = WhisperModel(
            str(fetch("whisper-base")),
            device="cpu",
            compute_type="int8",
            cpu_threads=args.threads,
        )

        def other(row: Row) -> Times:
            segments, _ = theirs.transcribe(row["audio"], language="en", word_timestamps=True)
            words = [(w.word, w.start, w.end) for s in segments for w in s.words or ()]
            return matched(row, words)

        yield "faster-whisper, word_timestamps", other


def matched(row: Row, words: Sequence[tuple[str, float, float]]) -> Times:
    """Times of the words that were heard as they were said."""
    said = [bare(word) for word, _, _ in row["words"]]
    found: Times = [None] * len(said)
    i = j = 0
    for op in edit.align(said, [bare(word) for word, _, _ in words]).ops:
        if op == "=":
            found[i] = words[j][1:]
        i += op != "I"
        j += op != "D"
    return found


def bare(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum())


def errors(
    rows: Sequence[Row], clips: Sequence[Times], which: Sequence[Sequence[bool]] | None
) -> np.ndarray:
    """Milliseconds [N, 2] by which starts and ends are late."""
    found = []
    for i, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        for j, ((_, start, end), span) in enumerate(zip(row["words"], clip, strict=True)):
            if span is not None and (which is None or which[i][j]):
                found.append((1000 * (span[0] - start), 1000 * (span[1] - end)))
    return np.array(found)


def attention(args: Args) -> None:
    """Word times of `mooer transcribe` on synthetic speech, whose durations are known."""
    known = {one["id"]: one["words"] for one in map(json.loads, args.times.open(encoding="utf-8"))}
    manifest = args.shared / "synth" / "train.jsonl"
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    model = mooer.load(num_threads=args.threads)
    lines = []
    for language in ("en", "zh"):
        some = [row for row in rows if row["language"] == language and row["id"] in known]
        some = some[:: max(1, len(some) // (args.limit or 50))]
        clips = []
        for row in some:
            row |= {"words": known[row["id"]], "audio": str(manifest.parent / row["audio"])}
            said = model.transcribe(row["audio"], language=language, words=True)
            clips.append(matched(row, list(letters_of(said, language))))
        off = errors(some, clips, None)
        starts, ends = np.abs(off).mean(0)
        bias = np.median(off, axis=0)
        lines.append(
            [language, len(off), f"{starts:.1f}", f"{ends:.1f}", f"{bias[0]:+.0f} / {bias[1]:+.0f}"]
        )
    print("### Word times on synthetic speech\n")
    table(["language", "words", "starts, ms", "ends, ms", "median bias"], lines)


def letters_of(said: mooer.Transcript, language: str) -> Iterator[tuple[str, float, float]]:
    """Words; in Chinese single characters, those of a word being equally long."""
    for word in (w for s in said.segments for w in s.words or ()):
        parts = [c for c in word.text if c.isalnum()] if language == "zh" else [word.text]
        step = (word.end_s - word.start_s) / max(1, len(parts))
        for i, part in enumerate(parts):
            yield part, word.start_s + i * step, word.start_s + (i + 1) * step


def tune(args: Args) -> None:
    """Every combination on the clips of half of the speakers; the best ten on the other half."""
    rows = rows_of(args, "timit_sample")
    speakers = sorted({row["speaker"] for row in rows})
    half = set(speakers[::2])
    ctc = load_aligner(args.model, num_threads=args.threads)
    heard = {row["id"]: listen(row, ctc) for row in rows}
    tried = []
    for star, blank, reach, pause, quiet, peak in itertools.product(
        (1.0, 2.0, 3.0, 5.0),
        (0.0, 1.0),
        (0.0, 0.05, 0.1, 0.2, 0.3),
        (0.05, 0.08, 0.12),
        (20.0, 30.0, 40.0),
        (0.3, 0.5, 0.7),
    ):
        options = AlignerOptions(
            AlignOptions(star_cost=star, blank_cost=blank),
            EdgeOptions(reach_s=reach, pause_s=pause, quiet_db=quiet, peak=peak),
        )
        off = placed([row for row in rows if row["speaker"] in half], heard, ctc, options)
        tried.append((float(np.abs(off).mean()), options))
    best = sorted(tried, key=lambda pair: pair[0])[:10]
    others = [row for row in rows if row["speaker"] not in half]
    lines = []
    for seen, options in [*best, (float("nan"), AlignerOptions())]:
        starts, ends = np.abs(placed(others, heard, ctc, options)).mean(0)
        path, edges = options.path, options.edges
        settings = (path.star_cost, path.blank_cost)
        settings += (edges.reach_s, edges.pause_s, edges.quiet_db, edges.peak)
        lines.append([*settings, f"{seen:.1f}", f"{starts:.1f}", f"{ends:.1f}"])
    print(f"### Edges: chosen on {len(half)} speakers, told on {len(speakers) - len(half)}\n")
    names = ["star_cost", "blank_cost", "reach_s", "pause_s", "quiet_db", "peak"]
    table([*names, "seen, ms", "starts, ms", "ends, ms"], lines)


def listen(row: Row, ctc: CtcModel) -> tuple[Emissions, np.ndarray]:
    meter = Loudness()
    emissions = hear(meter.listened([read_wave(row["audio"])]), ctc)
    return emissions, meter.db


def placed(
    rows: Sequence[Row],
    heard: dict[str, tuple[Emissions, np.ndarray]],
    ctc: CtcModel,
    options: AlignerOptions,
) -> np.ndarray:
    clips: list[Times] = []
    for row in rows:
        text = " ".join(word for word, _, _ in row["words"])
        segments = place(*heard[row["id"]], [spell_line(text, ctc, "en")], options)
        clips.append([(w.start_s, w.end_s) for s in segments for w in s.words or ()])
    return errors(rows, clips, None)


# --- wrong text ---------------------------------------------------------------------------------


def scores(args: Args) -> None:
    """Scores of the right text, of another clip's, and of the right one with a third exchanged."""
    ctc = load_aligner(args.model, num_threads=args.threads)
    lines, right, wrong = [], [], []
    for name in WRONG_SETS:
        rows = rows_of(args, name)
        found: dict[str, list[float]] = {"right": [], "other": [], "third": []}
        for i, row in enumerate(rows):
            emissions = hear([read_wave(row["audio"])], ctc)
            other = rows[(i + len(rows) // 2) % len(rows)]["text"]
            words, others = (split_words(t, row["language"]) for t in (row["text"], other))
            half = len(words) // 3
            mixed = " ".join([*words[:half], *others[:half], *words[2 * half :]])
            for kind, text in (("right", row["text"]), ("other", other), ("third", mixed)):
                units = [spell_word(p, ctc) for w in spoken_words(text) for p in w.spoken]
                score = mean_score(align_words(emissions, units))
                if score is not None:
                    found[kind].append(score)
        right += found["right"]
        wrong += found["other"]
        cells = [
            " / ".join(f"{q:.2f}" for q in np.percentile(found[kind], (5, 50, 95)))
            for kind in found
        ]
        lines.append([name, len(rows), *cells])
    print("### Scores: 5 %, median, 95 %\n")
    table(["set", "clips", "right text", "text of another clip", "a third exchanged"], lines)
    levels = np.unique(np.concatenate([right, wrong]))
    missed = [np.mean(np.array(right) < t) + np.mean(np.array(wrong) >= t) for t in levels]
    level = float(levels[int(np.argmin(missed))])
    table(
        ["least errors at", "right called wrong, %", "wrong called right, %"],
        [
            [
                f"{level:.2f}",
                f"{100 * np.mean(np.array(right) < level):.1f}",
                f"{100 * np.mean(np.array(wrong) >= level):.1f}",
            ]
        ],
    )


# --- an hour ------------------------------------------------------------------------------------


def hour(args: Args) -> None:
    """Ten minutes and an hour of one reading after the other, each in a process of its own."""
    lines = []
    for minutes in (10, 60):
        command = [sys.executable, __file__, "measure", "--minutes", str(minutes)]
        command += ["--model", args.model, "--shared", str(args.shared)]
        command += ["--threads", str(args.threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        lines.append([minutes, *json.loads(done.stdout)])
    print(f"### Hours: {args.threads} threads\n")
    table(["minutes", "words", "seconds", "peak RSS, MB", "heard, %"], lines)


def measure(args: Args) -> None:
    """Print words, seconds, megabytes and the share of words that were heard, as JSON."""
    [row] = [row for row in rows_of(args, "longform") if row["id"] == "en_lj001_chapter"]
    ctc = load_aligner(args.model, num_threads=args.threads)
    times = round(args.minutes * 60 / row["duration"])
    text = "\n".join(segment[0] for segment in row["segments"]) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.flac")
        subprocess.run([sys.executable, "-c", _WRITE, row["audio"], str(times), path], check=True)
        began = time.perf_counter()
        with open_wave(str(path)) as wave:
            found = align(wave, text * times, ctc)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    num = sum(len(s.words or ()) for s in found.segments)
    share = 100 * share_heard(found.segments)
    print(json.dumps([num, f"{seconds:.1f}", f"{peak:.0f}", f"{share:.1f}"]))


# In a process of its own, whose memory is not counted.
_WRITE = """
import sys, numpy as np
from mooer.audio.wave import read_wave, write_wave
source, times, path = sys.argv[1:]
write_wave(path, np.tile(read_wave(source), int(times)))
"""


# --- hotwords -----------------------------------------------------------------------------------


def hotwords(args: Args) -> None:
    """Errors of CTC, by its path, by beam, and with hotwords: what it missed, and distractors."""
    ctc: Any = load_aligner(args.model, num_threads=args.threads)
    for name, language in (("aishell", "zh"), ("timit_sample", "en")):
        rows = rows_of(args, name)
        heard = [ctc.log_probs(read_wave(row["audio"])) for row in rows]
        paths = [steady(h, ctc.blank, ctc.change_cost) for h in heard]
        said = [ctc.units.text(one.unit for one in path) for path in paths]
        missed = [
            phrases(row["text"], text, language) for row, text in zip(rows, said, strict=True)
        ]
        pool = sorted({one for words in missed for one in words})
        expected = [
            [*words, *[w for w in pool[i::7] if w not in words][:NUM_DISTRACTORS]]
            for i, words in enumerate(missed)
        ]
        lines = [[f"{name}, steady path", *outcome(rows, said, missed, language)]]
        options = CtcOptions(change_cost=ctc.change_cost)
        for strength in (0.0, 1.0, 2.0, 3.0, 4.0, 6.0):
            texts = []
            for rows_heard, words in zip(heard, expected, strict=True):
                boost = boosted.boost_units([Hotword(w) for w in words], ctc, strength)
                best = prefix_search(rows_heard, ctc.blank, options, [boost])[0]
                texts.append(ctc.units.text(best.units))
            lines.append(
                [f"{name}, strength {strength:g}", *outcome(rows, texts, missed, language)]
            )
        table(["system", "error rate, %", "expected words heard, %"], lines)


def phrases(text: str, heard: str, language: str) -> list[str]:
    """What of a text is not in what was heard: pairs of characters, or long words."""
    if language == "zh":
        letters = character_tokens(text, language)
        words = ["".join(pair) for pair in itertools.pairwise(letters)]
        return [w for w in words if w not in heard][::2]
    return [w for w in text.lower().split() if len(w) > 5 and bare(w) not in heard.split()]


def outcome(
    rows: Sequence[Row], texts: Sequence[str], expected: Sequence[Sequence[str]], language: str
) -> list[str]:
    metric = "cer" if language == "zh" else "wer"
    counts = sum(
        (compare(metric, r["text"], t, language)[0] for r, t in zip(rows, texts, strict=True)),
        Counts(),
    )
    found = [bare(w) in bare(t) for ws, t in zip(expected, texts, strict=True) for w in ws]
    return [f"{100 * (counts.rate or 0):.1f}", f"{100 * np.mean(found):.1f}"]


PARTS = {
    "times": times,
    "attention": attention,
    "tune": tune,
    "scores": scores,
    "hour": hour,
    "hotwords": hotwords,
}
HIDDEN = {"measure": measure}  # what `hour` starts

if __name__ == "__main__":
    main()
