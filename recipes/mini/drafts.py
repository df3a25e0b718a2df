"""What Whisper's own decoder writes of the training speech: the drafts that the LLM is shown.

    python recipes/mini/drafts.py runs/mini/spoken.jsonl --variant 1 --every 2 \
        --out runs/mini/drafts.jsonl

The sound is that of the same variant in `mooer data encode`: another speed, noise and room. Rows
that are there already are not written again.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from mooer.audio.augment import change_speed
from mooer.data.sound import read_sound
from mooer.data.stages import Example
from mooer.data.supervision import read_manifest
from mooer.decoding.rules import max_tokens
from mooer.engines.llm import usable_cores
from mooer.engines.whisper import DecodeOptions, Whisper, window_for
from mooer.infer.encode import CHANGED, EncodeOptions, examples
from mooer.store import fetch
from mooer.text import to_chinese_marks, to_simplified

BATCH = 8
LEAST_WINDOW_S = 8.0  # shorter than in use: what Whisper then says twice is worth learning from


def main() -> None:
    """Write the drafts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, nargs="+")
    parser.add_argument("--variant", type=int, default=1, help="0: the sound as it is")
    parser.add_argument("--every", type=int, default=1, help="take one of so many")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = args.out.read_text("utf-8").splitlines() if args.out.exists() else []
    done = {json.loads(line)["id"] for line in found}
    utterances = [u for path in args.manifest for u in read_manifest(path)][:: args.every]
    options = EncodeOptions(variants=args.variant + 1)
    wanted = [e for e in examples(utterances, options) if e.epoch == args.variant]
    batches = list(alike([e for e in wanted if e.utterance.id not in done]))
    threads = usable_cores()
    model = Whisper(fetch("whisper-base"), num_threads=1, workers=threads)
    with args.out.open("a", encoding="utf-8") as file, ThreadPoolExecutor(threads) as pool:
        for number, texts in enumerate(pool.map(partial(write, model), batches), 1):
            for name, text in texts.items():
                file.write(json.dumps({"id": name, "draft": text}, ensure_ascii=False) + "\n")
            file.flush()
            if number % 50 == 0:
                print(f"{number} of {len(batches)} batches")


def alike(wanted: list[Example]) -> Iterator[list[Example]]:
    """Batches of one language and window."""
    groups: dict[tuple[str, float], list[Example]] = defaultdict(list)
    for one in wanted:
        window_s = window_for(one.duration_s, LEAST_WINDOW_S)
        groups[one.utterance.language or "zh", window_s].append(one)
    for group in groups.values():
        for start in range(0, len(group), BATCH):
            yield group[start : start + BATCH]


def write(model: Whisper, batch: list[Example]) -> dict[str, str]:
    """Drafts by id."""
    language = batch[0].utterance.language or "zh"
    encoded = []
    for one in batch:
        samples = change_speed(read_sound(one.utterance, None), one.speed)
        if one.epoch:
            samples = CHANGED(samples, one.rng(EncodeOptions().seed, "wave"))
        encoded.append(model.encode(samples, window_for(batch[0].duration_s, LEAST_WINDOW_S)))
    most = max_tokens(max(one.duration_s for one in batch))
    found = model.decode(encoded, language, DecodeOptions(beam_size=1), most)
    texts = [to_simplified(to_chinese_marks(d.text)) if language == "zh" else d.text for d in found]
    return {one.utterance.id: text for one, text in zip(batch, texts, strict=True)}


if __name__ == "__main__":
    main()
