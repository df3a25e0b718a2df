"""rich-mini on recordings of speakers and sources it never heard, as Markdown tables.

    python bench/rich.py means --clips runs/rich/clips/clips.jsonl --out runs/rich/bench
    python bench/rich.py layers --clips … --out …      # logistic regression on means, by layer
    python bench/rich.py labels --clips … --out … --folds runs/rich/labels    # and PNGs
    python bench/rich.py text --model rich-mini --shared ../shared

`labels` hears every clip through the model of the fold that left its speaker or source out
(recipes/rich/make.sh trains them), as a user would: sound in, label out. Beside it stand the most
frequent class, and a plain logistic regression on the means of the encoder's last layer over each
clip, trained on the same clips. Word times are measured by bench/align.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import read_wave
from mooer.data.supervision import Utterance, read_manifest
from mooer.decoding.ctc import steady
from mooer.engines.rich import Rich
from mooer.evaluate.metrics import Counts, compare
from mooer.store import located

Args = argparse.Namespace
Floats = NDArray[np.float32]
Pair = tuple[str, str]  # label, what was told

LAYERS = 6
MIN_LANGUAGE_S = 2.0
# table -> (head, sources; None: all)
TESTS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "emotion, ravdess": ("emotion", ("ravdess",)),
    "emotion, emodb": ("emotion", ("emodb",)),
    "events, esc10": ("event", ("esc10",)),
    "gender": ("gender", None),
    "language, clips over 2 s": ("language", None),
    "age (child or adult), speechocean762": ("age", ("speechocean762",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--clips", type=Path, default=Path("runs/rich/clips/clips.jsonl"))
    parser.add_argument("--folds", type=Path, default=Path("runs/rich/labels"))
    parser.add_argument("--out", type=Path, default=Path("runs/rich/bench"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="rich-mini", help="a name of the catalog, or a folder")
    parser.add_argument("--encoder", default="whisper-base")
    parser.add_argument("--limit", type=int, help="clips a set")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    PARTS[args.part](args)


def folder_of(name: str) -> Path:
    return Path(name) if Path(name).is_dir() else located(f"store:{name}")


# --- means of layers, and logistic regression on them ---------------------------------------------


def means(args: Args) -> None:
    """Of each clip the mean of the frames of every layer, under the encoder's last norm."""
    import torch

    from mooer.models.encoders.whisper import WhisperEncoder, whisper_config

    torch.set_num_threads(args.threads)
    path = folder_of(args.encoder)
    encoder = WhisperEncoder(whisper_config(path)).eval()
    encoder.load_weights(path)
    found: list[Floats] = []
    for layer in encoder.layers:
        layer.register_forward_hook(
            lambda module, given, out: found.append(encoder.layer_norm(out)[0].mean(0).numpy())
        )
    clips = [one for one in read_manifest(args.clips) if one.source != "mixed"]
    rows = []
    for number, clip in enumerate(clips, 1):
        features = encoder.frontend(read_wave(clip.audio, max_s=20.0))
        found.clear()
        with torch.no_grad():
            encoder(torch.from_numpy(features)[None], torch.tensor([len(features)]))
        rows.append(np.stack(found))
        if number % 200 == 0:
            print(f"{number} of {len(clips)}", file=sys.stderr, flush=True)
    np.savez(args.out / "means.npz", ids=[clip.id for clip in clips], means=np.stack(rows))


def labelled(args: Args, head: str, sources: tuple[str, ...] | None) -> list[Utterance]:
    """Clips of a test, also those that are only ever learned from."""
    clips = []
    for one in read_manifest(args.clips):
        if one.source == "mixed" or getattr(one, head) in (None, "none"):
            continue
        if head == "event" and one.event == "speech":
            continue
        if one.extra["fold"] < 0 or sources is None or one.source in sources:
            clips.append(one)
    return clips


def is_tested(one: Utterance, head: str, sources: tuple[str, ...] | None) -> bool:
    long_enough = head != "language" or (one.duration_s or 0) > MIN_LANGUAGE_S
    return one.extra["fold"] >= 0 and (sources is None or one.source in sources) and long_enough


def regression(args: Args, name: str, layer: int) -> list[tuple[str, str, str]]:
    """(id, label, told) of what is tested, each by a regression that did not see its fold."""
    head, sources = TESTS[name]
    with np.load(args.out / "means.npz") as kept:
        table = {str(key): row[layer] for key, row in zip(kept["ids"], kept["means"], strict=True)}
    clips = [one for one in labelled(args, head, sources) if one.id in table]
    x = np.stack([table[one.id] for one in clips])
    labels = [str(getattr(one, head)) for one in clips]
    names = sorted(set(labels))
    y = np.array([names.index(label) for label in labels])
    folds = np.array([one.extra["fold"] for one in clips])
    found = []
    for fold in sorted({fold for fold in folds.tolist() if fold >= 0}):
        seen = folds != fold
        told = fit(x[seen], y[seen], len(names))(x[~seen]).argmax(-1)
        for place, said in zip(np.flatnonzero(~seen), told, strict=True):
            if is_tested(clips[place], head, sources):
                found.append((clips[place].id, labels[place], names[said]))
    return found


def fit(
    x: Floats, y: NDArray[np.int64], num_classes: int, decay: float = 1e-3
) -> Callable[..., Any]:
    """Multinomial logistic regression on standardised features, by L-BFGS."""
    import torch

    torch.manual_seed(0)
    mean, scale = x.mean(0), x.std(0) + 1e-6
    inputs = torch.from_numpy((x - mean) / scale).float()
    layer = torch.nn.Linear(x.shape[1], num_classes)
    torch.nn.init.zeros_(layer.weight)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(layer(inputs), torch.from_numpy(y))
        value = value + decay * layer.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)

    def scores(other: Floats) -> Any:
        with torch.no_grad():
            return layer(torch.from_numpy((other - mean) / scale).float()).numpy()

    return scores


def layers(args: Args) -> None:
    print("| test | clips | " + " | ".join(f"layer {i + 1}" for i in range(LAYERS)) + " |")
    print("| --- |" + " --- |" * (LAYERS + 1))
    for name in TESTS:
        found = [regression(args, name, layer) for layer in range(LAYERS)]
        shown = [accuracy([(a, b) for _, a, b in rows]) for rows in found]
        cells = " | ".join(f"{100 * value:.1f}" for value in shown)
        print(f"| {name} | {len(found[0])} | {cells} |", flush=True)


# --- labels ---------------------------------------------------------------------------------------


def accuracy(pairs: Sequence[Pair]) -> float:
    return sum(a == b for a, b in pairs) / max(1, len(pairs))


def macro_f1(pairs: Sequence[Pair]) -> float:
    scores = []
    for one in {label for label, _ in pairs}:
        hits = sum(label == said == one for label, said in pairs)
        wrong = sum((label == one) != (said == one) for label, said in pairs)
        scores.append(2 * hits / (2 * hits + wrong))
    return sum(scores) / max(1, len(scores))


def labels(args: Args) -> None:
    clips = {one.id: one for one in read_manifest(args.clips) if one.extra["fold"] >= 0}
    heard = hear_all(args, list(clips.values()))
    print("| test | clips | most frequent class | regression on means | rich-mini |")
    print("| --- | --- | --- | --- | --- |")
    for name, (head, sources) in TESTS.items():
        base = regression(args, name, LAYERS - 1)
        truth = [(key, label) for key, label, _ in base]
        ours = [(label, heard[key][head]) for key, label in truth]
        often = Counter(label for _, label in truth).most_common(1)[0][0]
        systems = ([(label, often) for _, label in truth], [(a, b) for _, a, b in base], ours)
        cells = " | ".join(f"{100 * accuracy(p):.1f} / {100 * macro_f1(p):.1f}" for p in systems)
        print(f"| {name} | {len(truth)} | {cells} |", flush=True)
        draw(
            args.out / f"{name.split(',')[0].split(' ')[0]}-{(sources or ('all',))[0]}.png",
            name,
            ours,
        )
    false_alarms(clips, heard)


def hear_all(args: Args, clips: Sequence[Utterance]) -> dict[str, dict[str, Any]]:
    """What the model of its fold tells of each clip; kept, so that a second run prints alone."""
    path = args.out / "heard.jsonl"
    if path.exists():
        rows = map(json.loads, path.read_text("utf-8").splitlines())
        return {row["id"]: row for row in rows}
    found = {}
    for fold in sorted({one.extra["fold"] for one in clips}):
        folder = args.folds / str(fold)
        model = Rich(folder, folder_of(args.encoder), num_threads=args.threads)
        config = model._labeller.config
        others = [i for i, event in enumerate(config.events) if event != "speech"]
        for one in (one for one in clips if one.extra["fold"] == fold):
            samples = read_wave(one.audio, max_s=20.0)
            heard = model.hear(samples)
            best = max(others, key=lambda i: heard.events[i])
            row: dict[str, Any] = {"id": one.id, "event": config.events[best]}
            for name, chances in heard.classes.items():
                row[name] = config.classes[name][int(chances.argmax())]
            row["probability"] = round(float(heard.events[best]), 4)
            row["speech"] = round(float(heard.events[config.events.index("speech")]), 4)
            found[one.id] = row
        print(f"fold {fold}", file=sys.stderr, flush=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found.values()), "utf-8")
    return found


def false_alarms(clips: dict[str, Utterance], heard: dict[str, dict[str, Any]]) -> None:
    """How often an event other than speech is told of speech, and speech of what is none."""
    print("\n| what is heard | clips | another event at 0.5, % | speech at 0.5, % |")
    print("| --- | --- | --- | --- |")
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, one in clips.items():
        kind = "speech" if one.event == "speech" else "sounds under speech"
        groups[kind if one.event and "speech" in one.event else "sounds"].append(heard[key])
    for name, rows in groups.items():
        events, speech = (
            100 * sum(row[key] >= 0.5 for row in rows) / len(rows)
            for key in ("probability", "speech")
        )
        print(f"| {name} | {len(rows)} | {events:.1f} | {speech:.1f} |")


def draw(path: Path, title: str, pairs: Sequence[Pair]) -> None:
    """A confusion matrix: rows are labels, shares of each in percent."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted({name for pair in pairs for name in pair})
    counts = np.zeros((len(names), len(names)))
    for label, said in pairs:
        counts[names.index(label), names.index(said)] += 1
    shares = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    size = 2.2 + 0.55 * len(names)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), [f"{n} ({int(c)})" for n, c in zip(
        names, counts.sum(1), strict=True)], fontsize=8)  # fmt: skip
    for row, column in np.ndindex(shares.shape):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 55 else "black"
            axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center",
                      fontsize=7, color=colour)  # fmt: skip
    axes.set_title(f"{title}: {100 * accuracy(pairs):.1f} % of {len(pairs)}", fontsize=9)
    axes.set_xlabel("told")
    axes.set_ylabel("labelled")
    with path.open("wb") as file:
        canvas.print_png(file)


# --- the speller ----------------------------------------------------------------------------------


def text(args: Args) -> None:
    """Errors of the steady transcript, and how long it takes."""
    model = Rich(folder_of(args.model), folder_of(args.encoder), num_threads=args.threads)
    assert model.units is not None
    print("| set | clips | errors, % | RTF |\n| --- | --- | --- | --- |")
    sets = {"synth/dev": ("zh", "en"), "data/aishell": ("zh",), "data/magicdata_cs": ("zh",),
            "data/timit_sample": ("en",), "data/ljspeech": ("en",)}  # fmt: skip
    for name, languages in sets.items():
        for language in languages:
            rows = read_manifest(args.shared / f"{name}.jsonl")
            rows = [row for row in rows if row.language == language][: args.limit]
            counts, began, heard_s = Counts(), time.perf_counter(), 0.0
            for row in rows:
                samples = read_wave(row.audio)
                heard_s += len(samples) / 16_000
                log_probs = model.log_probs(samples[: 30 * 16_000])
                kept = [one.unit for one in steady(log_probs, model.blank, model.change_cost)]
                metric = "cer" if language == "zh" else "wer"
                counts += compare(metric, row.text or "", model.units.text(kept), language)[0]
            spent_s = time.perf_counter() - began
            print(
                f"| {name}, {language} | {len(rows)} | {100 * (counts.rate or 0):.1f} "
                f"| {spent_s / heard_s:.3f} |",
                flush=True,
            )


PARTS = {"means": means, "layers": layers, "labels": labels, "text": text}

if __name__ == "__main__":
    main()
