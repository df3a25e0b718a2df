"""Speakers: how soon they speak, how fast, and how well a recogniser understands them.

    python bench/speak.py speed hearing --zh ../shared/text/tatoeba_dev.jsonl \
        --en ../shared/text/tatoeba_dev.jsonl --speakers kokoro-82m piper-joe espeak

`speed`: a text of several sentences comes at once; the first clause's sound is timed from then, and
all sound against the time that it took (real-time factor), medians over the texts, after one text
that is not counted. `hearing`: each sentence is spoken through the clause cutter, heard by a
recogniser, and compared: characters of Chinese, words of English. All numbers are of synthetic
speech: they say whether it fits its text. `operators` takes Kokoro's network as it was released and
as we compute it, in turns: seconds for a clause and for a sentence. With `hearing`, --released says
how the released one is heard. `voices` does that voice by voice, `times` says how far the times of
words are from those that the recogniser hears.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

import mooer
from mooer.data.texts import read_texts
from mooer.infer.verified import VerifiedVoicing, VerifyOptions
from mooer.speak import Speaker, SpeakerVoicing, Voice, load_speaker, voicing_of
from mooer.speak.kokoro import Kokoro
from mooer.speak.numerals import read_numerals
from mooer.store import fetch
from mooer.text import character_tokens, word_tokens
from mooer.text.edit import align

_SENTENCES = 4  # of a text whose speed is measured
_CLAUSE = "Sure, I can help."
_SENTENCE = "Today we will talk about how machines learn to understand what people say to them."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=list(PARTS))
    parser.add_argument("--zh", type=Path, help="sentences, as `mooer data synth` reads them")
    parser.add_argument("--en", type=Path)
    parser.add_argument("--speakers", nargs="+", default=["kokoro-82m", "piper-joe", "espeak"])
    parser.add_argument("--voices", nargs="+", help="of `voices`, instead of all")
    parser.add_argument("--sentences", type=int, default=20, help="of each language")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--recognizer", default="whisper-base")
    parser.add_argument("--runs", type=int, default=9, help="of each text and network, in turns")
    parser.add_argument("--released", action="store_true", help="hear Kokoro's released network")
    parser.add_argument("--takes", type=int, default=3, help="of verified speech")
    args = parser.parse_args()
    texts = {code: chosen(getattr(args, code), code, args.sentences) for code in ("zh", "en")}
    texts = {code: found for code, found in texts.items() if found}
    for part in args.parts:
        PARTS[part](args, texts)


def chosen(path: Path | None, language: str, num: int) -> list[str]:
    """So many sentences, evenly over the file."""
    if path is None:
        return []
    lines = read_texts([path], [language])
    return [line.text for line in lines[:: max(1, len(lines) // num)][:num]]


def rows(args: Any, texts: dict[str, list[str]], num_threads: int) -> Any:
    """Every speaker with every language that it has."""
    for name in args.speakers:
        if args.released and name == "kokoro-82m":
            speaker = kokoro(num_threads, as_released=True)
        else:
            speaker = load_speaker(name, num_threads=num_threads)
        for language, sentences in texts.items():
            if language in speaker.languages:
                yield name, speaker, language, sentences


def speed(args: Any, texts: dict[str, list[str]]) -> None:
    print(f"### Texts of {_SENTENCES} sentences, all there at once: medians\n")

    def lines() -> Any:
        for num_threads in args.threads:
            for name, speaker, language, sentences in rows(args, texts, num_threads):
                found = [timed(speaker, text) for text in joined(sentences, language)][1:]
                first_s, first_clause_s, rtf = (
                    statistics.median(column) for column in zip(*found, strict=True)
                )
                yield (
                    *(name, language, num_threads, len(found)),
                    *(f"{first_s:.2f}", f"{first_clause_s:.2f}", f"{rtf:.3f}"),
                )

    header = ("speaker", "language", "threads", "texts")
    table((*header, "first sound, s", "length of that clause, s", "real-time factor"), lines())


def kokoro(num_threads: int, *, as_released: bool) -> Speaker:
    voices = [fetch("kokoro-voices")]
    return Kokoro(
        fetch("kokoro-82m"), voices=voices, num_threads=num_threads, as_released=as_released
    )


def operators(args: Any, texts: dict[str, list[str]]) -> None:
    """Medians of alternating runs; a line through both lengths says what is fixed."""
    print(f"### Kokoro as released and as computed here, {args.runs} runs in turns: medians\n")
    voice = Voice.parse("jf_nezumi")

    def lines() -> Any:
        for num_threads in args.threads:
            both = [kokoro(num_threads, as_released=released) for released in (True, False)]
            medians: list[list[float]] = [[], []]
            lengths_s = []
            for text in (_CLAUSE, _SENTENCE):
                taken: list[list[float]] = [[], []]
                for _ in range(args.runs + 1):
                    for i, speaker in enumerate(both):
                        began = time.perf_counter()
                        samples = speaker.speak(text, "en", voice)
                        taken[i].append(time.perf_counter() - began)
                lengths_s.append(len(samples) / both[0].rate_hz)
                for i in (0, 1):
                    medians[i].append(statistics.median(taken[i][1:]))
                ratio = medians[0][-1] / medians[1][-1]
                seconds = (f"{medians[i][-1]:.2f}" for i in (0, 1))
                yield num_threads, f"{lengths_s[-1]:.2f}", *seconds, f"{ratio:.2f}"
            for name, (short_s, long_s) in zip(("released", "ours"), medians, strict=True):
                slope = (long_s - short_s) / (lengths_s[1] - lengths_s[0])
                fixed_s = short_s - slope * lengths_s[0]
                formulas.append(f"{num_threads} threads, {name}: {fixed_s:.2f} s + {slope:.2f} t")

    formulas: list[str] = []
    table(("threads", "sound, s", "released, s", "ours, s", "ratio"), lines())
    print("\nOf t seconds of sound:", "; ".join(formulas))


def joined(sentences: list[str], language: str) -> list[str]:
    join = "" if language == "zh" else " "
    return [
        join.join(sentences[start : start + _SENTENCES])
        for start in range(0, len(sentences), _SENTENCES)
    ]


def timed(speaker: Speaker, text: str) -> tuple[float, float, float]:
    """Seconds to the first clause, that clause's length, and wall seconds a second of sound."""
    began = time.perf_counter()
    first_s = first_clause_s = sound_s = 0.0
    for spoken in voicing_of(speaker).voice([text]):
        duration_s = len(spoken.samples) / spoken.rate_hz
        if not sound_s:
            first_s, first_clause_s = time.perf_counter() - began, duration_s
        sound_s += duration_s
    return first_s, first_clause_s, (time.perf_counter() - began) / sound_s


def hearing(args: Any, texts: dict[str, list[str]]) -> None:
    print(f"### Heard by {args.recognizer} (synthetic speech)\n")
    hear = ear(args.recognizer)

    def lines() -> Any:
        for name, speaker, language, sentences in rows(args, texts, max(args.threads)):
            plain = error_rate(voicing_of(speaker), sentences, language, hear)
            options = VerifyOptions(max_takes=args.takes)
            checked = error_rate(
                VerifiedVoicing(speaker, hear, verify=options), sentences, language, hear
            )
            unit = "CER" if language == "zh" else "WER"
            yield name, language, len(sentences), unit, f"{100 * plain:.1f}", f"{100 * checked:.1f}"

    header = ("speaker", "language", "sentences", "unit", "errors, %")
    table((*header, f"verified, at most {args.takes} takes, %"), lines())


def voices(args: Any, texts: dict[str, list[str]]) -> None:
    print(f"### Voice by voice, heard by {args.recognizer} (synthetic speech)\n")
    hear = ear(args.recognizer)

    def lines() -> Any:
        for name, speaker, language, sentences in rows(args, texts, max(args.threads)):
            for voice in args.voices or speaker.voices:
                rate = error_rate(
                    voicing_of(speaker, Voice.parse(voice)), sentences, language, hear
                )
                yield name, language, voice, len(sentences), f"{100 * rate:.1f}"

    table(("speaker", "language", "voice", "sentences", "errors, %"), lines())


def ear(name: str) -> Any:
    model = mooer.load(name)

    def hear(samples: Any, rate_hz: int, language: str) -> str:
        return model.transcribe(samples, rate_hz=rate_hz, language=language).text

    return hear


def error_rate(voicing: SpeakerVoicing, sentences: list[str], language: str, hear: Any) -> float:
    """Edits over tokens, numbers read out on both sides; what was left out counts as unheard."""
    errors = total = 0
    for sentence in sentences:
        spoken = list(voicing.voice([sentence]))
        heard = ""
        if spoken:
            sound = np.concatenate([one.samples for one in spoken])
            heard = hear(sound, spoken[0].rate_hz, language)
        said = tokens(sentence, language)
        errors += align(said, tokens(heard, language)).distance
        total += len(said)
    return errors / total


def tokens(text: str, language: str) -> list[str]:
    if language == "zh":
        return character_tokens(read_numerals(text), "zh")
    return word_tokens(text, language)


def times(args: Any, texts: dict[str, list[str]]) -> None:
    print(f"### Beginnings of words, beside those that {args.recognizer} hears\n")
    model = mooer.load(args.recognizer)

    def lines() -> Any:
        for name, speaker, language, sentences in rows(args, texts, max(args.threads)):
            off_s: list[float] = []
            for sentence in sentences:
                for spoken in voicing_of(speaker).voice([sentence]):
                    off_s += differences(model, spoken, language)
            if off_s:
                quarter = np.quantile(off_s, [0.5, 0.9]) * 1000
                yield name, language, len(off_s), f"{quarter[0]:.0f}", f"{quarter[1]:.0f}"

    table(("speaker", "language", "words", "median, ms", "90 %, ms"), lines())


def differences(model: Any, spoken: Any, language: str) -> list[float]:
    """Of the words that both have, at the same place of the text."""
    heard = model.transcribe(spoken.samples, rate_hz=spoken.rate_hz, language=language, words=True)
    places = dict(by_place((word.text, word.start_s) for word in spoken.words))
    others = by_place((word.text, word.start_s) for one in heard.segments for word in one.words)
    return [abs(places[key] - start_s) for key, start_s in others if key in places]


def by_place(words: Any) -> Any:
    """Each word's bare letters, how often they came before, and its time."""
    seen: dict[str, int] = {}
    for text, start_s in words:
        bare = "".join(c for c in text.lower() if c.isalnum())
        for letters in (bare[:1], bare) if bare and ord(bare[0]) > 0x2E7F else (bare,):
            seen[letters] = seen.get(letters, 0) + 1
            yield (letters, seen[letters]), start_s
            break


PARTS = {
    "speed": speed,
    "operators": operators,
    "hearing": hearing,
    "voices": voices,
    "times": times,
}

if __name__ == "__main__":
    main()
