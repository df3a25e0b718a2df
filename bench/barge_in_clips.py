"""Back-channels, and words that mean to stop a speaker, as Kokoro says them: clips and manifests.

    python bench/barge_in_clips.py --out barge-in-clips

No free recording holds "uh-huh" and "wait" alone, said by many people. The voices of the half that
options are tuned on (three women and blends of them) are none of the half that is tested on (a
woman and a man). "Mm-hm" and "hmm" are missing: Kokoro spells them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from mooer.audio.wave import SAMPLE_RATE_HZ, write_wave
from mooer.speak import Voice, load_speaker

TEXTS = {
    ("back-channel", "en"): "Uh-huh. Yeah. Right. Okay. Sure. Yes. Oh. Really? Exactly. Cool. Wow. "
    "Yep. Alright. I_see. Got_it. Of_course. Yeah,_yeah. Oh,_okay.",
    (
        "back-channel",
        "zh",
    ): "嗯。 嗯嗯。 对。 对对对。 好。 好的。 是的。 是啊。 哦。 啊。 嗯哼。 "
    "没错。 行。 可以。 明白。 知道了。 这样啊。 真的吗？ 好吧。 对啊。",
    ("order", "en"): "Stop. Wait. No. Hold_on. Wait_a_minute. Stop_it. Excuse_me. No,_wait. What? "
    "Enough. Be_quiet. But_why? Sorry? Hey!",
    (
        "order",
        "zh",
    ): "停。 等一下。 不对。 等等。 别说了。 停一下。 不是。 什么？ 不要。 "
    "够了。 为什么？ 打断一下。 闭嘴。 喂！",
}
VOICES = {
    "tuning": (
        ("jf_alpha", 1.0),
        ("jf_gongitsune", 1.1),
        ("jf_tebukuro", 0.9),
        ("jf_alpha:0.5+jf_tebukuro:0.5", 1.25),
        ("jf_gongitsune:0.6+jf_alpha:0.4", 0.85),
    ),
    "test": (("jf_nezumi", 1.0), ("jm_kumo", 1.15)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("barge-in-clips"))
    parser.add_argument("--halves", nargs="+", default=sorted(VOICES), choices=sorted(VOICES))
    args = parser.parse_args()
    speaker = load_speaker("kokoro-82m")
    for half in args.halves:
        (args.out / half).mkdir(parents=True, exist_ok=True)
        with (args.out / f"{half}.jsonl").open("w", encoding="utf-8") as rows:
            for row, samples in said(speaker, VOICES[half]):
                row["audio"] = f"{half}/{row['id']}.wav"
                write_wave(args.out / row["audio"], samples)
                rows.write(json.dumps(row, ensure_ascii=False) + "\n")
                rows.flush()


def said(speaker, voices) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """A row and the samples [T] at 16 kHz of every text by every voice."""
    for place, (voice, speed) in enumerate(voices):
        for (kind, language), texts in TEXTS.items():
            for i, word in enumerate(texts.split()):
                text = word.replace("_", " ")
                sound = speaker.speak(text, language, Voice.parse(voice), speed=speed)
                samples = soxr.resample(sound, speaker.rate_hz, SAMPLE_RATE_HZ)
                row = {"id": f"{kind}-{language}-{i}-{place}", "text": text, "language": language}
                row |= {"kind": kind, "speaker": voice, "speed": speed}
                row["duration"] = round(len(samples) / SAMPLE_RATE_HZ, 3)
                yield row, np.asarray(samples, np.float32)


if __name__ == "__main__":
    main()
