"""What mooer-mini's LoRA learns from: one manifest a task, some utterances shown with a draft.

    python recipes/mini/tasks.py --frames runs/mini/frames/manifest.jsonl \
        --drafts runs/mini/drafts.jsonl --pairs recipes/mini/pairs.jsonl recipes/mini/talk.jsonl \
        --silence runs/mini/silence/manifest.jsonl --out runs/mini/tasks

A draft is what Whisper's own decoder wrote of the same sound (`drafts.py`), or, of Mandarin, the
text itself with some characters put in the place of others that sound like them, for that is how
Whisper errs. The rest has none, so that the model also answers from sound alone.

Pairs of sentences come with a draft beside a moment of silence too, in manifests named after their
file: what they teach, to translate what was misheard, needs no sound.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pypinyin import Style, lazy_pinyin
from pypinyin.phrases_dict import phrases_dict

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.data.stored import STORED
from mooer.data.supervision import Utterance, read_manifest, write_manifest
from mooer.tasks.templates import with_draft
from mooer.text import is_cjk, join_text

SHARES = {"asr": 0.4, "ast": 0.3, "asr_ast": 0.3}  # of utterances with a translation
NOISED = 0.55  # of Mandarin without a draft of Whisper's: how much is shown with an invented one
MAX_RATE = 0.35  # of characters that an invented draft has wrong
MAX_JOINED_S = 14.0
LEAST_WRITTEN = 8  # characters of a sentence that is shown without its sound
_ENDS = ("。", "！", "？")
COUNTS: Counter[str] = Counter()  # of characters in the texts
FRAME_SAMPLES = 320  # of the encoder
_ALIKE = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("n", "l"), ("ang", "an"), ("eng", "en"))
_ALIKE += (("ing", "in"),)


def main() -> None:
    """Write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, required=True, help="of `mooer data encode`")
    parser.add_argument("--drafts", type=Path, required=True)
    parser.add_argument(
        "--pairs", type=Path, nargs="+", required=True, help="JSON lines with zh and en"
    )
    parser.add_argument("--silence", type=Path, required=True, help="one row of stored frames")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    draw = random.Random(0)
    lines = args.drafts.read_text("utf-8").splitlines()
    drafts = {row["id"]: row["draft"] for row in map(json.loads, lines)}
    utterances = read_manifest(args.frames)
    COUNTS.update("".join(u.text or "" for u in utterances))
    tasks: dict[str, list[Utterance]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for shown in joined(list(chosen(utterances, drafts, draw)), draw):
        utterance = shown.utterance
        task = "asr"
        if utterance.translation:
            task = draw.choices(list(SHARES), list(SHARES.values()))[0]
            if utterance.language == "en" and task != "asr":
                task += "_zh"
        prompt = with_draft("mini", task, shown.draft) if shown.draft else None
        tasks[task].append(replace(utterance, prompt=prompt))
        counts[f"{utterance.language} {task} {'with' if shown.draft else 'without'} draft"] += 1
    (silence,) = read_manifest(args.silence)
    for path in args.pairs:
        pairs = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        COUNTS.update("".join(pair["zh"] for pair in pairs))
        for task, utterance in written(path.stem, pairs, silence, drafts, draw):
            tasks[f"{path.stem}_{task}"].append(utterance)
            counts[f"{path.stem} {task}"] += 1
    args.out.mkdir(parents=True, exist_ok=True)
    for task, found in tasks.items():
        write_manifest(args.out / f"{task}.jsonl", found)
    print(json.dumps(counts, indent=1, sort_keys=True))


@dataclass(frozen=True)
class Shown:
    """An utterance, and the draft that is shown with it; empty: none."""

    utterance: Utterance
    draft: str


def chosen(
    utterances: Sequence[Utterance], drafts: Mapping[str, str], draw: random.Random
) -> Iterator[Shown]:
    """One variant of each utterance, in the order of the frames."""
    drafted = {name.removesuffix("-2") for name in drafts}
    names = {utterance.id for utterance in utterances}
    noised = True
    for utterance in utterances:
        draft = drafts.get(utterance.id, "")
        if not draft:
            bare = utterance.id.removesuffix("-2")
            if bare in drafted:
                continue  # it comes with its draft, in its other variant
            is_changed = utterance.id != bare
            if {bare, f"{bare}-2"} <= names and int(Path(utterance.audio).stem) % 2 != is_changed:
                continue  # of a file either one variant or the other, so that neighbours stay
            if draw.random() < 0.3:
                noised = draw.random() < NOISED
            if utterance.language == "zh" and noised:
                draft = misheard(utterance.text or "", draw)
        if len(utterance.text or "") > 4 or draw.random() < 0.3:
            yield Shown(utterance, draft)


def written(
    name: str,
    pairs: Iterable[Mapping[str, Any]],
    silence: Utterance,
    drafts: Mapping[str, str],
    draw: random.Random,
) -> Iterator[tuple[str, Utterance]]:
    """Tasks of text alone: each Mandarin sentence misheard twice, one in six translated back.

    Misheard once by Whisper, if it was spoken, else by homophones. Orders are all translated back:
    an LLM that is seldom shown them as sentences obeys them. `name` is that of the file, by which
    `mooer data synth` names what it speaks.
    """
    for number, pair in enumerate(pairs, 1):
        zh, en = pair["zh"], pair["en"]
        if len(zh) < LEAST_WRITTEN:
            continue
        en = en if isinstance(en, str) else draw.choice(en)
        spoken = pair.get("id", f"{name}-{number:06}")
        for variant in range(2):
            both = zh.endswith(_ENDS) and draw.random() < 0.3  # a transcript has its marks
            task = "asr_ast" if both else "ast"
            draft = misheard(zh, draw, 0.25)
            if variant == 0:
                draft = drafts.get(f"{spoken}-zh-2") or draft
            prompt = with_draft("mini", task, draft)
            shown = replace(silence, id=f"{spoken}-{task}-{variant}", prompt=prompt)
            yield task, replace(shown, text=zh, translation=en)
        is_back = number % 6 == 1 or pair.get("field") == "orders"
        if is_back and zh.endswith(_ENDS):
            prompt = with_draft("mini", "ast_zh", en)
            back = replace(silence, id=f"{spoken}-en", language="en", prompt=prompt)
            yield "ast_zh", replace(back, text=en, translation=zh)


def joined(all_shown: list[Shown], draw: random.Random) -> Iterator[Shown]:
    """Some of them one after another as one, whose frames stand side by side in a file."""
    place = 0
    while place < len(all_shown):
        one = all_shown[place]
        place += 1
        most = draw.choice((1, 2, 3, 4))
        while most > 1 and place < len(all_shown) and are_neighbours(one, all_shown[place]):
            one, most, place = join(one, all_shown[place]), most - 1, place + 1
        yield one


def are_neighbours(a: Shown, b: Shown) -> bool:
    """Whether b may be heard right after a."""
    one, other = a.utterance, b.utterance
    first, num_frames, _ = one.extra[STORED]
    return (
        one.audio == other.audio
        and first + num_frames == other.extra[STORED][0]
        and one.language == other.language
        and bool(a.draft) == bool(b.draft)
        and bool(one.translation) == bool(other.translation)
        and (one.duration_s or 0) + (other.duration_s or 0) < MAX_JOINED_S
    )


def join(a: Shown, b: Shown) -> Shown:
    """Both as one."""
    one, other = a.utterance, b.utterance
    num_frames = one.extra[STORED][1] + other.extra[STORED][1]
    num_samples = num_frames * FRAME_SAMPLES
    place = [one.extra[STORED][0], num_frames, num_samples]
    utterance = replace(
        one,
        id=f"{one.id}+{other.id}",
        duration_s=num_samples / SAMPLE_RATE_HZ,
        text=join_text([one.text or "", other.text or ""]),
        translation=one.translation and join_text([one.translation, other.translation or ""]),
        extra={**{k: v for k, v in one.extra.items() if k != "translations"}, STORED: place},
    )
    between = "，" if one.language == "zh" and not a.draft.endswith("。") else ""
    return Shown(utterance, a.draft and join_text([a.draft + between, b.draft]))


def misheard(text: str, draw: random.Random, max_rate: float = MAX_RATE) -> str:
    """A text with characters and words that sound like those that were said."""
    rate = draw.random() * max_rate
    said: list[str] = []
    place = 0
    while place < len(text):
        size = draw.choice((1, 1, 2, 2, 3))
        piece = text[place : place + size]
        if all(map(is_cjk, piece)) and draw.random() < rate:
            piece = alike(piece, draw)
            if draw.random() < 0.04:
                piece = piece[:-1]
        said.append(piece)
        place += size
    return "".join(said).rstrip("。！？!?")


def alike(piece: str, draw: random.Random) -> str:
    """Something else that sounds like one to three characters."""
    sounds = tuple(lazy_pinyin(piece, style=Style.NORMAL))
    if draw.random() < 0.25:
        sounds = tuple(confused(sound, draw) for sound in sounds)
    phrases = [p for p in homophones().get(sounds, ()) if p != piece]
    if len(piece) > 1 and phrases:
        return draw.choice(phrases)
    return "".join(likely(s, c, draw) for s, c in zip(sounds, piece, strict=True))


def likely(sound: str, character: str, draw: random.Random) -> str:
    """A character of this sound, a common one rather than a rare one."""
    found = homophones().get((sound,), [character])
    return draw.choices(found, [COUNTS[c] + 0.2 for c in found])[0]


def confused(sound: str, draw: random.Random) -> str:
    """A syllable with an initial or a final that is easily taken for its own."""
    for one, other in draw.sample(_ALIKE, len(_ALIKE)):
        for a, b in ((one, other), (other, one)):
            if len(one) < 3 and one not in ("an", "en", "in"):
                if sound.startswith(a) and not sound.startswith(f"{a}h"):
                    return b + sound[len(a) :]
            elif sound.endswith(a):
                return sound[: -len(a)] + b
    return sound


@lru_cache
def homophones() -> dict[tuple[str, ...], list[str]]:
    """Common characters and words of up to three by their syllables, without tones."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    common = {bytes([r, c]).decode("gb2312") for r in range(0xB0, 0xD7) for c in range(0xA1, 0xFF)}
    for character in sorted(common):
        found[tuple(lazy_pinyin(character, style=Style.NORMAL))].append(character)
    for phrase in sorted(phrases_dict):
        if 1 < len(phrase) <= 3 and set(phrase) <= common:
            found[tuple(lazy_pinyin(phrase, style=Style.NORMAL))].append(phrase)
    return found


if __name__ == "__main__":
    main()
