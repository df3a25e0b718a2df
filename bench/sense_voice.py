"""SenseVoice on the processor: our engine beside `funasr-onnx` and `sherpa-onnx`, Markdown tables.

    python -m venv /tmp/rivals && /tmp/rivals/bin/pip install funasr-onnx sherpa-onnx onnx
    python bench/sense_voice.py --rivals /tmp/rivals/bin/python

The network has the released size and random weights (time does not depend on them, but for a bias
that makes three frames of four blank, as in speech), and is exported once by mooer. That float32
file is run by all three, and in 8 bits: by mooer its own int8 file, by the others the file that
their projects make of the float32 one (`quantize_dynamic`, unsigned weights of all MatMul), and
mooer's. Each engine is a process of its own that gets samples and gives texts; they take turns.
Needs `mooer[train]` for the export.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
LENGTHS_S = (3, 4, 5, 5, 6, 7, 7, 8, 8, 9, 10, 10, 11, 12, 14, 15)  # 16 utterances
CURVE_S = (1, 2, 5, 10, 20, 30, 60)
PRECISIONS = {"float32": "model.onnx", "int8": "model_quant.onnx", "dynamic": "dynamic.onnx"}


def samples(seconds: float):
    """Noise that comes and goes: what is in it costs no time."""
    rng = np.random.default_rng(round(seconds * 10))
    loudness = np.abs(np.sin(np.arange(round(seconds * RATE_HZ)) / 3000))
    return (0.1 * loudness * rng.standard_normal(len(loudness))).astype(np.float32)


# --- the engines, each in its own process --------------------------------------------------------


def mooer_engine(folder: Path, file: str, threads: int):
    from mooer.engines.sense_voice import SenseVoiceOnnx
    from mooer.infer.sense_voice import SenseVoiceRecognizer
    from mooer.models.funasr_folder import read_frontend
    from mooer.models.sense_voice_folder import read_settings, vocabulary_file
    from mooer.models.sense_voice_labels import read_vocabulary

    recognizer = SenseVoiceRecognizer(
        SenseVoiceOnnx(folder / file, num_threads=threads),
        read_frontend(folder, read_settings(folder).front),
        read_vocabulary(vocabulary_file(folder)),
        None,
        versions={},
    )
    return lambda sounds: [rich.text for rich in recognizer.hear(sounds)]


def sherpa_engine(folder: Path, file: str, threads: int):
    import sherpa_onnx

    recognizer = sherpa_onnx.OfflineRecognizer.from_sense_voice(
        model=str(folder / file), tokens=str(folder / "tokens.txt"), num_threads=threads,
        use_itn=True,
    )  # fmt: skip

    def hear(sounds):
        streams = []
        for sound in sounds:
            stream = recognizer.create_stream()
            stream.accept_waveform(RATE_HZ, sound)
            streams.append(stream)
        recognizer.decode_streams(streams)
        return [stream.result.text for stream in streams]

    return hear


def funasr_engine(folder: Path, file: str, threads: int):
    from funasr_onnx import SenseVoiceSmall
    from funasr_onnx.utils.utils import OrtInferSession

    (folder / "funasr").mkdir(exist_ok=True)
    for path in folder.iterdir():
        link = folder / "funasr" / path.name
        if path.is_file() and not link.exists():
            link.symlink_to(path)
    model = SenseVoiceSmall(folder / "funasr", batch_size=16, intra_op_num_threads=threads)
    model.ort_infer = OrtInferSession(folder / file, intra_op_num_threads=threads)
    model.load_data = lambda sounds, rate_hz: sounds  # not from files, as the others
    return lambda sounds: model(sounds, language="auto", textnorm="withitn")


ENGINES = {"mooer": mooer_engine, "funasr-onnx": funasr_engine, "sherpa-onnx": sherpa_engine}


def work(name: str, folder: Path, file: str, threads: int) -> None:
    """Answer jobs from standard input: lengths, utterances in a call; seconds and texts."""
    hear = ENGINES[name](folder, file, threads)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        sounds = [samples(seconds) for seconds in job["lengths"]]
        size = job["batch"]
        began = time.perf_counter()
        texts = []
        for start in range(0, len(sounds), size):
            texts += hear(sounds[start : start + size])
        print(json.dumps({"s": time.perf_counter() - began, "texts": texts}), flush=True)


class Worker:
    """An engine with a file, in its process."""

    def __init__(self, python: str, name: str, folder: Path, precision: str, threads: int) -> None:
        self.label = f"{name} {precision}"
        words = [python, __file__, "--work", name, "--folder", str(folder)]
        words += ["--file", PRECISIONS[precision], "--threads", str(threads)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def _answer(self):
        for line in self._process.stdout:
            if line.startswith(('"ready"', "{")):  # the others print as well
                return json.loads(line)
        raise SystemExit(f"{self.label} has ended")

    def seconds(self, lengths, batch: int) -> float:
        """How long these utterances take, so many in a call."""
        self._process.stdin.write(json.dumps({"lengths": lengths, "batch": batch}) + "\n")
        self._process.stdin.flush()
        return self._answer()["s"]

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def measure(workers: list[Worker], lengths, batch: int, runs: int) -> list[float]:
    """Median seconds of each, taking turns after one call that is not counted."""
    for worker in workers:
        worker.seconds(lengths, batch)
    found = [[worker.seconds(lengths, batch) for worker in workers] for _ in range(runs)]
    return [statistics.median(row) for row in zip(*found, strict=True)]


# --- the files ---------------------------------------------------------------------------------


def make(folder: Path, rivals: str | None) -> None:
    """A folder as it is released, but for model.pt, with the three networks."""
    import torch
    import yaml

    from mooer.audio.features import load_cmvn
    from mooer.export.sense_voice import notes_of, write_onnx
    from mooer.models.funasr_folder import FrontSettings
    from mooer.models.sense_voice import SenseVoice, SenseVoiceConfig
    from mooer.models.sentencepiece import read_sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    encoder = {
        "output_size": 512, "attention_heads": 4, "linear_units": 2048, "num_blocks": 50,
        "tp_blocks": 20, "kernel_size": 11, "sanm_shfit": 0, "input_layer": "pe",
    }  # fmt: skip
    front = {"fs": 16000, "window": "hamming", "n_mels": 80, "lfr_m": 7, "lfr_n": 6}
    content = {"model": "SenseVoiceSmall", "encoder_conf": encoder, "frontend_conf": front}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    rows = (" ".join(["-8.0"] * 560), " ".join(["0.2"] * 560))
    (folder / "am.mvn").write_text(
        f"<Nnet>\n<AddShift> 560 560\n<LearnRateCoef> 0 [ {rows[0]} ]\n"
        f"<Rescale> 560 560\n<LearnRateCoef> 0 [ {rows[1]} ]\n</Nnet>\n"
    )
    vocabulary = folder / "chn_jpn_yue_eng_ko_spectok.bpe.model"
    vocabulary.write_bytes(vocabulary_bytes())
    pieces = read_sentencepiece(vocabulary).pieces
    lines = (f"{piece.text} {i}\n" for i, piece in enumerate(pieces))
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    if all((folder / PRECISIONS[name]).exists() for name in ("float32", "int8")):
        return
    torch.manual_seed(0)
    network = SenseVoice(SenseVoiceConfig()).eval()
    mostly_blank(network)
    notes = notes_of(FrontSettings(80, 7, 6), load_cmvn(folder / "am.mvn"), len(pieces))
    for name in ("float32", "int8"):
        write_onnx(network, folder / PRECISIONS[name], name, notes)


def mostly_blank(network) -> None:
    """A bias of the blank by which it wins three frames of four."""
    import torch

    features = torch.randn(1, 200, 560)
    with torch.no_grad():
        row = torch.zeros(1, dtype=torch.long)
        logits = network(features, torch.tensor([200]), row, row + 14)[0][0]
        lead = logits[:, 1:].max(-1).values - logits[:, 0]
        network.ctc["ctc_lo"].bias[0] += lead.quantile(0.75)


def vocabulary_bytes() -> bytes:
    """A model of SentencePiece of the released size, with the labels in their places."""
    from mooer.models.sense_voice_labels import _RELEASED_IDS, EMOTIONS, EVENTS, RELEASED_SIZE

    names = {place: f"<|{name}|>" for name, place in _RELEASED_IDS.items()}
    rest = [name for name in (*EMOTIONS, *EVENTS) if name not in _RELEASED_IDS]
    free = (i for i in range(24993, RELEASED_SIZE) if i not in names)
    names |= {next(free): f"<|{name}|>" for name in rest}

    def field(number: int, value: bytes | int) -> bytes:
        if isinstance(value, int):
            return bytes([number << 3]) + varint(value)
        return bytes([number << 3 | 2]) + varint(len(value)) + value

    def varint(value: int) -> bytes:
        groups = []
        while value > 127:
            groups.append(value & 127 | 128)
            value >>= 7
        return bytes([*groups, value])

    content = b""
    for i in range(RELEASED_SIZE):
        kind = 2 if i == 0 else 3 if i < 3 else 4 if i in names else 1
        text = ("<unk>", "<s>", "</s>")[i] if i < 3 else names.get(i) or f"\u2581{chr(0x4E00 + i)}"
        score = np.float32(-i).tobytes()
        content += field(1, field(1, text.encode()) + bytes([2 << 3 | 5]) + score + field(3, kind))
    trained = field(3, 2) + field(4, RELEASED_SIZE)
    normal = field(1, b"identity") + field(3, 0)
    return content + field(2, trained) + field(3, normal)


def quantise(folder: Path, rivals: str) -> None:
    """The 8-bit file that the others' projects make."""
    if (folder / PRECISIONS["dynamic"]).exists():
        return
    program = (
        "from onnxruntime.quantization import QuantType, quantize_dynamic\n"
        f"quantize_dynamic({str(folder / PRECISIONS['float32'])!r}, "
        f"{str(folder / PRECISIONS['dynamic'])!r}, op_types_to_quantize=['MatMul'], "
        "weight_type=QuantType.QUInt8)"
    )
    subprocess.run([rivals, "-c", program], check=True)


# --- tables ------------------------------------------------------------------------------------


def exactness(folder: Path) -> None:
    """How far the 8-bit files are from float32, on features of speech-like noise."""
    from mooer.engines.sense_voice import SenseVoiceOnnx

    rng = np.random.default_rng(0)
    sound = [rng.standard_normal((n, 560)).astype(np.float32) for n in (167, 83)]
    found = {}
    for name, file in PRECISIONS.items():
        if (folder / file).exists():
            rows = np.concatenate(SenseVoiceOnnx(folder / file, num_threads=2).logits(sound, 0, 14))
            rows = rows - rows.max(-1, keepdims=True)
            found[name] = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
    exact = found.pop("float32")
    print("\n| file | size MB | mean diff of log-probs | largest | frames of the same class |")
    print("|---|--:|--:|--:|--:|")
    for name, rows in found.items():
        away = np.abs(rows - exact)
        same = (rows.argmax(-1) == exact.argmax(-1)).mean()
        size = (folder / PRECISIONS[name]).stat().st_size / 1e6
        print(f"| {name} | {size:.0f} | {away.mean():.4f} | {away.max():.3f} | {same:.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rivals", help="python of an environment with the two others")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-sense-voice"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-curve", action="store_true", help="leave the second table out")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = given.folder.resolve()
    if given.work:
        return work(given.work, folder, given.file, given.threads)
    make(folder, given.rivals)
    chosen = [(sys.executable, "mooer", precision) for precision in ("float32", "int8")]
    if given.rivals:
        quantise(folder, given.rivals)
        chosen.append((sys.executable, "mooer", "dynamic"))
        chosen += [
            (given.rivals, name, precision)
            for name in ("funasr-onnx", "sherpa-onnx")
            for precision in ("float32", "dynamic", "int8")
        ]
    exactness(folder)
    workers = []
    for python, name, precision in chosen:
        try:
            workers.append(Worker(python, name, folder, precision, given.threads))
        except SystemExit as error:
            print(f"{error}", file=sys.stderr)
    total_s = sum(LENGTHS_S)
    one = measure(workers, LENGTHS_S, 1, given.runs)
    many = measure(workers, LENGTHS_S, 16, given.runs)
    ten = measure(workers, [10], 1, given.runs)
    print(f"\n{given.threads} threads; {total_s} s of sound in 16 utterances; {given.runs} runs\n")
    print("| engine, file | s of sound a second, batch 1 | batch 16 | ms for 10 s |")
    print("|---|--:|--:|--:|")
    for worker, a, b, c in zip(workers, one, many, ten, strict=True):
        print(f"| {worker.label} | {total_s / a:.1f} | {total_s / b:.1f} | {1000 * c:.0f} |")
    if given.no_curve:
        for worker in workers:
            worker.close()
        return None
    print("\n| ms for | " + " | ".join(f"{s} s" for s in CURVE_S) + " |")
    print("|---|" + "--:|" * len(CURVE_S))
    curve = [measure(workers, [seconds], 1, given.runs) for seconds in CURVE_S]
    for i, worker in enumerate(workers):
        cells = " | ".join(f"{1000 * row[i]:.0f}" for row in curve)
        print(f"| {worker.label} | {cells} |", flush=True)
    for worker in workers:
        worker.close()
    return None


if __name__ == "__main__":
    main()
