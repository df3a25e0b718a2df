"""Our speech LLM beside whisper-base: errors, translation, speed, noise, silence, as Markdown.

    python bench/mini.py asr ast speed noise silence --model my-model --shared ../shared
    python bench/mini.py noise --model my-model --plot noise.png
    python bench/mini.py all --model my-model --limit 2     # a quick try

--model is a name of the catalog or a folder. Both models have their defaults, the same threads and
the same recordings in one run. A difference is the model's less whisper-base's, with the 95 %
interval of a paired bootstrap over clips: below zero throughout, the model is better. Qwen is the
LLM that translates for whisper-base. Some clips of AISHELL came with an English translation; those
of others and of MagicData's telephone talk were written by a large language model from transcripts
(mini_translations.jsonl). faster-whisper is no dependency: where it is not installed (pip install
faster-whisper), `speed` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import soxr
from tables import table

import mooer
from mooer.audio.augment import Floats, Rng, add_noise, change_speed, coloured_noise, fit_noise
from mooer.audio.wave import SAMPLE_RATE_HZ, Source, read_wave
from mooer.engines.llm import usable_cores
from mooer.evaluate.bootstrap import bleu_interval, compare_systems, interval
from mooer.evaluate.metrics import Counts, bleu, chrf, compare, primary_metric
from mooer.infer.drafted import DraftedRecognizer
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.store import fetch
from mooer.tasks.templates import tasks
from mooer.text import mixed_tokens

T = TypeVar("T")
Args = argparse.Namespace
Row = dict[str, Any]
Systems = dict[str, Callable[[Row], str]]  # name -> translation of the clip of a row
Counted = list[list[Counts]]  # of each clip: by whisper-base, by the model

BASE = "whisper-base"
REAL = {
    "zh": ("data/aishell", "data/magicdata_cs", "data/zh_misc"),
    "en": ("data/timit_sample", "data/ljspeech", "data/speechocean762", "data/en_misc"),
}
UNITS = {language: primary_metric(language).upper() for language in REAL}
LONG, SYNTHETIC = "data/longform", "synth/dev"
MIN_CLIPS = 5  # fewer say nothing of their spread
SPEED_CLIPS = 20
NOISE_CLIPS = 60  # a language
TALKERS = 6  # of babble
SILENCE_S = (1, 2, 5, 10, 20, 30)
MOOER = str(Path(sys.executable).with_name("mooer"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "all"])
    parser.add_argument("--model", required=True, help="a name of the catalog, or a folder")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--limit", type=int, help="clips a set; leaves the long recordings out")
    parser.add_argument(
        "--beams", type=int, nargs="*", default=[], help="of `ast`, `speed`: also with so many"
    )
    parser.add_argument(
        "--sets", nargs="*", help="of `ast`: those alone whose names hold one of these"
    )
    parser.add_argument("--systems", nargs="*", help="of `ast`, likewise")
    parser.add_argument(
        "--part", nargs="*", default=[], help="engine=llama, draft=ctc: of the model"
    )
    parser.add_argument("--plot", type=Path, help="the PNG that `noise` writes")
    args = parser.parse_args()
    args.name = Path(args.model).name
    for name in PARTS if "all" in args.parts else args.parts:
        PARTS[name](args)


@cache
def load(name: str, num_threads: int, *parts: str) -> mooer.Model:
    given = dict(part.split("=", 1) for part in parts)
    return mooer.load(name, num_threads=num_threads, parts=given or None)


def its_model(args: Args) -> mooer.Model:
    return load(args.model, args.threads, *args.part)


def both(args: Args) -> tuple[mooer.Model, mooer.Model]:
    return load(BASE, args.threads), its_model(args)


def rows_of(args: Args, language: str | None, *names: str) -> list[Row]:
    rows = []
    for manifest in (args.shared / f"{name}.jsonl" for name in names):
        for row in map(json.loads, manifest.read_text(encoding="utf-8").splitlines()):
            if row["language"] == language:
                rows.append({**row, "audio": str(manifest.parent / row["audio"])})
    return rows


def watch(things: Sequence[T], what: str) -> Iterator[T]:
    """The things one by one; how many are done goes to standard error."""
    began = time.monotonic()
    for done, thing in enumerate(things, 1):
        yield thing
        if done % max(1, len(things) // 10) == 0 or done == len(things):
            taken = f"{time.monotonic() - began:.0f} s"
            print(f"{what}: {done} of {len(things)}, {taken}", file=sys.stderr, flush=True)


def count(args: Args, row: Row, samples: Floats | None = None) -> list[Counts]:
    """Errors of both models on a recording, or on samples [T] made of it."""
    language, metric = row["language"], primary_metric(row["language"])
    source, rate_hz = (row["audio"], None) if samples is None else (samples, SAMPLE_RATE_HZ)
    said = [m.transcribe(source, rate_hz=rate_hz, language=language).text for m in both(args)]
    return [compare(metric, row["text"], text, language)[0] for text in said]


def percent(counts: Iterable[Counts]) -> float:
    return 100 * (sum(counts, Counts()).rate or 0.0)


def rates(counted: Counted) -> list[str]:
    """Error rate of whisper-base, of the model, and their ratio."""
    base, ours = map(percent, zip(*counted, strict=True))
    return [f"{base:.2f}", f"{ours:.2f}", f"{ours / base:.2f}" if base else ""]


def asr(args: Args) -> None:
    print("### Recognition\n")
    header = ["set", "language", "unit", "clips", f"{BASE} %", f"{args.name} %", "ratio"]
    table([*header, f"{args.name} − {BASE}, 95 %"], error_lines(args))
    print(f"The sums hold neither `{SYNTHETIC}`, which is synthetic speech, nor `{LONG}`, whose")
    print("English repeats clips of other sets.\n", flush=True)


def error_lines(args: Args) -> Iterator[list[Any]]:
    for language, names in REAL.items():
        together: Counted = []
        for name in (*names, *(() if args.limit else (LONG,)), SYNTHETIC):
            rows = rows_of(args, language, name)[: args.limit]
            counted = [count(args, row) for row in watch(rows, f"asr, {name}, {language}")]
            yield [f"`{name}`", language, UNITS[language], len(rows), *comparison(counted)]
            together += counted if name in names else []
        title = "**all short real clips**"
        yield [title, language, UNITS[language], len(together), *comparison(together)]


def comparison(counted: Counted) -> list[str]:
    if len(counted) < MIN_CLIPS:
        return [*rates(counted), ""]
    base, ours = ([counts.errors for counts in side] for side in zip(*counted, strict=True))
    lengths = [counts.reference_tokens for counts, _ in counted]
    low, high = compare_systems(base, ours, lengths).interval
    return [*rates(counted), f"{100 * low:+.2f} … {100 * high:+.2f}"]


def ast(args: Args) -> None:
    real = [row for row in rows_of(args, "zh", *REAL["zh"]) if row.get("translation")]
    synthetic = f"`{SYNTHETIC}` (synthetic speech)"
    sets = {
        "real clips": real,
        "more real clips": list(translated_here(rows_of(args, "zh", "data/aishell"))),
        "telephone talk": list(translated_here(rows_of(args, "zh", "data/magicdata_cs"))),
        synthetic: rows_of(args, "zh", SYNTHETIC),
    }
    header = ["set", "clips", "system", "BLEU", "BLEU, 95 %", "chrF"]
    print("### Mandarin speech to English text\n")
    table(header, translation_lines(args, sets, into_english(args), "en"))
    sets = {synthetic: rows_of(args, "en", SYNTHETIC)}
    print("### English speech to Chinese text\n")
    table(header, translation_lines(args, sets, into_chinese(args), "zh"))


def translated_here(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows whose translation stands beside this file."""
    lines = (Path(__file__).parent / "mini_translations.jsonl").read_text(encoding="utf-8")
    known = {one["id"]: one["translation"] for one in map(json.loads, lines.splitlines())}
    for row in rows:
        if row["id"] in known:
            yield {**row, "translation": known[row["id"]]}


def translation_lines(
    args: Args, sets: dict[str, list[Row]], systems: Systems, target: str
) -> Iterator[list[Any]]:
    systems = chosen(systems, args.systems)
    for title, every in chosen(sets, args.sets).items():
        rows = every[: args.limit]
        found = [row["translation"] for row in rows]
        references = [[one] if isinstance(one, str) else one for one in found]
        for name, system in systems.items():
            said = [system(row) for row in watch(rows, f"ast, {title}, {name}")]
            scores = bleu(said, references, target).value, chrf(said, references).value
            low, high = bleu_interval(said, references, target) or (0.0, 100.0)
            spread = f"{low:.1f} … {high:.1f}"
            yield [title, len(rows), name, f"{scores[0]:.1f}", spread, f"{scores[1]:.1f}"]


def chosen(things: dict[str, T], names: Sequence[str] | None) -> dict[str, T]:
    """All, or those whose names hold one of `names`."""
    return {k: v for k, v in things.items() if names is None or any(n in k for n in names)}


def through_qwen(args: Args, to: str) -> Systems:
    base = load(BASE, args.threads)

    def truth(row: Row) -> str:
        return qwen(base, [mooer.Segment(0.0, row["duration"], row["text"], row["language"])], to)

    return {
        f"{BASE} → Qwen": lambda row: by_translate(base, row, to),
        "true transcript → Qwen": truth,
    }


def qwen(model: mooer.Model, segments: Sequence[mooer.Segment], to: str) -> str:
    if not segments:
        return ""
    whole = mooer.Transcript(tuple(segments), segments[0].language, segments[-1].end_s)
    return model.translate(whole, to).translation or ""


def by_translate(model: mooer.Model, row: Row, to: str) -> str:
    return model.translate(row["audio"], to, language=row["language"]).translation or ""


def by_task(model: mooer.Model, row: Row, task: str, to: str = "en") -> str:
    options = mooer.RecognizeOptions(language=row["language"], task=task, to=to)
    found = model.recognizer.transcribe(row["audio"], options)
    return (found.translation or "") if speech_llm(model) else found.text


def speech_llm(model: mooer.Model) -> SpeechLLMRecognizer | None:
    whole = model.recognizer
    recognizer = whole.second if isinstance(whole, DraftedRecognizer) else whole
    return recognizer if isinstance(recognizer, SpeechLLMRecognizer) else None


def draft_alone(model: mooer.Model) -> bool:
    return isinstance(model.recognizer, DraftedRecognizer) and model.recognizer.draft_alone


def into_english(args: Args) -> Systems:
    base, ours = both(args)
    systems: Systems = {
        f"{BASE}'s own translate": lambda row: by_task(base, row, "ast"),
        **through_qwen(args, "en"),
        f"{args.name}, `ast`": lambda row: by_task(ours, row, "ast"),
    }
    if speech_llm(ours) and not draft_alone(ours):  # else it is the same
        systems[f"{args.name}, `asr_ast`"] = lambda row: by_task(ours, row, "asr_ast")
    return {**systems, **with_beams(args, ours, "ast")}


def with_beams(args: Args, model: mooer.Model, task: str) -> Systems:
    """The model once more for each of --beams, which are the LLM's alone."""
    recognizer = speech_llm(model)

    def searched(num: int) -> Callable[[Row], str]:
        def system(row: Row) -> str:
            assert recognizer is not None, "a speech LLM"
            before = recognizer.search
            recognizer.search = replace(before, num_beams=num)
            try:
                return by_task(model, row, task)
            finally:
                recognizer.search = before

        return system

    return {f"{args.name}, beams: {num}": searched(num) for num in args.beams if recognizer}


def into_chinese(args: Args) -> Systems:
    ours = its_model(args)
    systems, recognizer = through_qwen(args, "zh"), speech_llm(ours)
    if recognizer and "ast_zh" in tasks(recognizer.network.template):
        systems[f"{args.name}, `ast`"] = lambda row: by_task(ours, row, "ast", "zh")
    return systems


def speed(args: Args) -> None:
    recognizer = speech_llm(its_model(args))
    if not recognizer:
        print(f"{args.name} is no speech LLM: there is no speed to compare.\n", flush=True)
        return
    fitting = [row for row in rows_of(args, "zh", *REAL["zh"]) if 3 <= row["duration"] <= 10]
    rows = random.Random(0).sample(fitting, min(args.limit or SPEED_CLIPS, SPEED_CLIPS))
    seconds = take_turns(both_texts(args), rows)
    print(f"### Transcript and translation of {len(rows)} clips, {args.threads} threads\n")
    lines = []
    for name, taken in seconds.items():
        ratios = [a / b for a, b in zip(seconds[args.name], taken, strict=True)]
        factor = sum(taken) / sum(row["duration"] for row in rows)
        numbers = statistics.median(taken), factor, statistics.median(ratios)
        lines.append((name, *(f"{number:.2f}" for number in numbers)))
    table(["system", "seconds a clip", "real-time factor", f"{args.name} / it"], lines)
    if not find_spec("faster_whisper"):
        print("faster-whisper is not installed (pip install faster-whisper): left out.\n")
    clip = min(rows, key=lambda row: abs(row["duration"] - 5))
    whole = its_model(args).recognizer
    print(f"The first text for a clip of {clip['duration']:.1f} s, greedy, median of 5:\n")
    lines = [("from its sound alone", *first_texts(recognizer, clip))]
    if isinstance(whole, DraftedRecognizer):
        lines.append(("with a draft, as shipped", *first_texts(whole, clip)))
    table(["", "first text, s", "first of the translation, s", "all, s"], lines)
    common = ["--language", "zh", "--threads", str(args.threads), clip["audio"]]
    print("### Memory of a process of its own\n")
    commands = ("transcribe", "--task", "asr_ast", "--model", args.model), ("translate", "-m", BASE)
    table(
        ["command", "peak RSS, MB"],
        ((f"`mooer {' '.join(some)}`", peak_mb([*some, *common])) for some in commands),
    )


def both_texts(args: Args) -> Systems:
    """Systems that make a transcript and its translation."""
    base, ours = both(args)
    systems: Systems = {
        args.name: lambda row: by_task(ours, row, "asr_ast"),
        **with_beams(args, ours, "asr_ast"),
        f"{BASE} → Qwen": lambda row: by_translate(base, row, "en"),
    }
    if find_spec("faster_whisper"):
        from faster_whisper import WhisperModel

        other = WhisperModel(
            str(fetch(BASE)), device="cpu", compute_type="int8", cpu_threads=args.threads
        )

        def theirs(row: Row) -> str:
            heard, _ = other.transcribe(row["audio"], language="zh", beam_size=5)
            return qwen(base, [mooer.Segment(s.start, s.end, s.text, "zh") for s in heard], "en")

        systems["faster-whisper → Qwen"] = theirs
    return systems


def take_turns(systems: Systems, rows: Sequence[Row]) -> dict[str, list[float]]:
    """Seconds [rows] of every system; on each row they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for system in systems.values():
        system(rows[0])  # loads what is loaded late, and reads the worked examples
    for row in watch(rows, "speed"):
        for name, system in systems.items():
            began = time.perf_counter()
            system(row)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def first_texts(recognizer: SpeechLLMRecognizer | DraftedRecognizer, row: Row) -> list[str]:
    """Seconds to the first text, to the first of the line after it, and to the end: medians."""
    options = mooer.RecognizeOptions(task="asr_ast", language="zh")
    runs = []
    for _ in range(6):
        began, text = time.perf_counter(), ""
        first_s = translated_s = 0.0
        for piece in recognizer.stream(row["audio"], options):
            text += piece
            if not first_s and text.strip():
                first_s = time.perf_counter() - began
            if not translated_s and text.partition("\n")[2].strip():
                translated_s = time.perf_counter() - began
        runs.append((first_s, translated_s, time.perf_counter() - began))
    return [f"{statistics.median(seconds):.2f}" for seconds in zip(*runs[1:], strict=True)]


# Between us and the command, since a child begins with the peak of its parent.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def peak_mb(command: Sequence[str]) -> str:
    print(f"memory of mooer {command[0]}", file=sys.stderr, flush=True)
    whole = [sys.executable, "-c", PEAK, MOOER, *command]
    return subprocess.run(whole, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class Clip(NamedTuple):
    """A recording to be made harder, the same way in every run."""

    row: Row
    samples: Floats
    babble: Floats  # of other clips, as long as this one


Harder = Callable[[Clip, Rng], Floats]


def white(snr_db: float) -> Harder:
    return lambda clip, rng: add_noise(
        clip.samples, coloured_noise(len(clip.samples), 0.0, rng), snr_db
    )


def babble(snr_db: float) -> Harder:
    return lambda clip, rng: add_noise(clip.samples, clip.babble, snr_db)


def played(factor: float) -> Harder:
    return lambda clip, rng: change_speed(clip.samples, factor)


def telephone(clip: Clip, rng: Rng) -> Floats:
    """At 8 kHz, 300 to 3400 Hz of it."""
    narrow = soxr.resample(clip.samples, SAMPLE_RATE_HZ, 8_000)
    spectrum, hz = np.fft.rfft(narrow), np.fft.rfftfreq(len(narrow), 1 / 8_000)
    narrow = np.fft.irfft(np.where((hz >= 300) & (hz <= 3400), spectrum, 0), len(narrow))
    samples: Floats = soxr.resample(narrow.astype(np.float32), 8_000, SAMPLE_RATE_HZ)
    return samples.clip(-1.0, 1.0)


HARDER: dict[str, Harder] = {
    "as it is": lambda clip, rng: clip.samples,
    **{f"white noise, {snr_db} dB": white(snr_db) for snr_db in (20, 10, 5)},
    **{f"babble, {snr_db} dB": babble(snr_db) for snr_db in (20, 10, 5)},
    "telephone": telephone,
    **{f"speed {factor}": played(factor) for factor in (0.8, 1.25)},
}


def draw_clips(args: Args, language: str) -> list[Clip]:
    """A subset that is always the same; its babble is of both languages."""
    rows = rows_of(args, language, *REAL[language])
    every = [row for other, names in REAL.items() for row in rows_of(args, other, *names)]
    chosen = random.Random(0).sample(rows, min(args.limit or NOISE_CLIPS, len(rows)))
    clips = []
    for seed, row in enumerate(watch(chosen, f"noise, reading {language}")):
        rng = np.random.default_rng(seed)
        samples = read_wave(row["audio"])
        others = [other["audio"] for other in every if other["audio"] != row["audio"]]
        mixed = np.zeros_like(samples)
        for other in rng.choice(others, TALKERS, replace=False):
            voice = fit_noise(read_wave(str(other)), len(samples), rng)
            mixed += voice / np.sqrt(np.mean(voice**2) + 1e-12)
        clips.append(Clip(row, samples, mixed))
    return clips


def noise(args: Args) -> None:
    clips = {language: draw_clips(args, language) for language in REAL}
    found: dict[tuple[str, str], Counted] = {}
    number = " and ".join(f"{len(some)} {language}" for language, some in clips.items())
    print(f"### Harder sound: {number} real clips\n")
    header = ["sound"]
    for language, unit in UNITS.items():
        header += [f"{language} {unit} %, {name}" for name in (BASE, args.name)] + ["ratio"]
    table(header, noise_lines(args, clips, found))
    if args.plot:
        draw(args.plot, args.name, found)


def noise_lines(
    args: Args, clips: dict[str, list[Clip]], found: dict[tuple[str, str], Counted]
) -> Iterator[list[str]]:
    """A line for each sound, whose counts go to `found`."""
    for title, harder in HARDER.items():
        for language, some in clips.items():
            found[title, language] = [
                count(args, clip.row, harder(clip, np.random.default_rng(seed)))
                for seed, clip in enumerate(watch(some, f"noise, {title}, {language}"))
            ]
        yield [title, *(cell for language in clips for cell in rates(found[title, language]))]


def draw(path: Path, name: str, found: dict[tuple[str, str], Counted]) -> None:
    """A panel a language: error rates as bars with their 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    places = np.arange(len(HARDER))
    for axes, (language, unit) in zip(figure.subplots(1, 2), UNITS.items(), strict=True):
        for side, (label, colour) in enumerate(((BASE, "0.65"), (name, "tab:blue"))):
            bars = []
            for title in HARDER:
                counts = [both[side] for both in found[title, language]]
                errors, tokens = [c.errors for c in counts], [c.reference_tokens for c in counts]
                low, high = interval(errors, tokens) or (np.nan, np.nan)
                bars.append((percent(counts), 100 * low, 100 * high))
            rate, low, high = np.asarray(bars).T
            ends = np.maximum([rate - low, high - rate], 0.0)
            shown = {"label": label, "color": colour, "error_kw": {"linewidth": 0.8}}
            axes.bar(places + 0.4 * side - 0.2, rate, 0.4, yerr=ends, **shown)
        axes.set_xticks(places, list(HARDER), rotation=45, ha="right")
        axes.set_ylabel(f"{language} {unit}, %")
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def silence(args: Args) -> None:
    rng, lengths = np.random.default_rng(0), [s * SAMPLE_RATE_HZ for s in SILENCE_S[: args.limit]]
    sounds: dict[str, list[Source]] = {
        "`data/esc10`": [row["audio"] for row in rows_of(args, None, "data/esc10")[: args.limit]],
        "digital silence": [np.zeros(length, np.float32) for length in lengths],
    }
    for level_db in (-60, -50, -40):
        gain = np.float32(10 ** (level_db / 20))
        title = f"white noise, {level_db} dB of full scale"
        sounds[title] = [gain * coloured_noise(length, 0.0, rng) for length in lengths]
    print("### Words where nobody speaks, the language not told\n")
    header = ["sound", "clips"]
    for name in (BASE, args.name):
        header += [f"{name}: clips with words", "words"]
    table(header, (silence_line(args, *sound) for sound in sounds.items()))


def silence_line(args: Args, title: str, sounds: list[Source]) -> list[Any]:
    words: list[list[int]] = []
    for sound in watch(sounds, f"silence, {title}"):
        rate_hz = SAMPLE_RATE_HZ if isinstance(sound, np.ndarray) else None
        said = [model.transcribe(sound, rate_hz=rate_hz).text for model in both(args)]
        words.append([len(mixed_tokens(text, "zh")) for text in said])
    line: list[Any] = [title, len(sounds)]
    for numbers in zip(*words, strict=True):
        share = sum(number > 0 for number in numbers) / len(numbers)
        line += [f"{100 * share:.1f} %", sum(numbers)]
    return line


PARTS: dict[str, Callable[[Args], None]] = {
    "asr": asr,
    "ast": ast,
    "speed": speed,
    "noise": noise,
    "silence": silence,
}

if __name__ == "__main__":
    main()
