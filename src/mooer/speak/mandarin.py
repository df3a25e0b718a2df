"""Mandarin characters to phonemes in Kokoro's alphabet, by way of pinyin.

The alphabet is the one Kokoro-82M was trained on: IPA with one letter an affricate, and an arrow
after the vowel for the tone (→ ↗ ↓ ↘, nothing for the neutral one). Tone sandhi is left to the
model, which learned it from sound; its training text had the tones of the dictionary.
"""

from __future__ import annotations

import re
from typing import Any

from mooer.errors import MissingExtra
from mooer.text import CJK

_HAN = re.compile(f"[{CJK}]+")

_INITIALS = {
    **{letter: letter for letter in "flmns"},
    **{"b": "p", "p": "pʰ", "d": "t", "t": "tʰ", "g": "k", "k": "kʰ", "h": "x"},
    **{"j": "ʨ", "q": "ʨʰ", "x": "ɕ", "z": "ʦ", "c": "ʦʰ"},
    **{"zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ", "": ""},
}
# The tone goes where the bar stands, or to the end.
_FINALS = {
    **{"a": "a", "ai": "ai", "an": "a|n", "ang": "a|ŋ", "ao": "au", "e": "ɤ", "ei": "ei"},
    **{"en": "ə|n", "eng": "ə|ŋ", "i": "i", "ia": "ja", "ian": "jɛ|n", "iang": "ja|ŋ"},
    **{"iao": "jau", "ie": "je", "in": "i|n", "iou": "jou", "ing": "i|ŋ", "iong": "jʊ|ŋ"},
    **{"ong": "ʊ|ŋ", "ou": "ou", "u": "u", "uei": "wei", "ua": "wa", "uai": "wai"},
    **{"uan": "wa|n", "uen": "wə|n", "uang": "wa|ŋ", "ueng": "wə|ŋ", "uo": "wo", "o": "wo"},
    **{"ü": "y", "üe": "ɥe", "üan": "ɥɛ|n", "ün": "y|n"},
}
# Syllables that are no initial and final.
_WHOLE = {"er": "ɚ", "o": "ɔ", "ê": "ɛ", "io": "jɔ", "yo": "jɔ"}
_WHOLE |= {"m": "m", "n": "n", "ng": "ŋ", "hm": "hm", "hng": "hŋ"}
# Words of one character that are mostly read otherwise than pypinyin's first choice.
_LONE = {"长": "chang2", "地": "de5"}
_BUZZ = "ɨ"  # the vowel of zhi, chi, shi, ri, zi, ci and si
_TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}


def phonemes_of_han(text: str) -> str:
    """Phonemes of a run of Han characters, with spaces between words.

    MissingExtra without pypinyin. A character that has no reading is left out.

    >>> phonemes_of_han("银行的行长")
    'i↗nxa↗ŋ tɤ xa↗ŋꭧa↓ŋ'
    """
    try:
        from pypinyin import Style, lazy_pinyin
        from pypinyin.seg import mmseg
    except ImportError as error:
        raise MissingExtra("pypinyin", "speak") from error

    words = []
    for word in mmseg.seg.cut(text):
        syllables = (
            [_LONE[word]]
            if word in _LONE
            else lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, errors="ignore")
        )
        words.append("".join(phonemes_of_syllable(syllable) for syllable in syllables))
    return " ".join(filter(None, words))


def in_pinyin(text: str) -> str:
    """`text` with its Chinese characters as one without Chinese reads them.

    >>> in_pinyin("in 北京, at 7")
    'in  bei jing , at 7'
    """
    return _HAN.sub(lambda han: f" {' '.join(map(_toneless, syllables_of_han(han[0])))} ", text)


def _toneless(syllable: str) -> str:
    return syllable.rstrip("12345") if syllable.isascii() else ""


def syllables_of_han(text: str) -> list[str]:
    """Pinyin with its tone of every character of a run; one without a reading stays as it is.

    >>> syllables_of_han("你好")
    ['ni3', 'hao3']
    """
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError as error:
        raise MissingExtra("pypinyin", "speak") from error
    apart: Any = list  # so that there is one a character
    return list(lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True, errors=apart))


def phonemes_of_syllable(pinyin: str) -> str:
    """Phonemes of one syllable in pinyin with its tone as a digit.

    >>> [phonemes_of_syllable(p) for p in ("zhong1", "lv4", "shi4", "er2", "jiu3", "men5")]
    ['ꭧʊ→ŋ', 'ly↘', 'ʂɨ↘', 'ɚ↗', 'ʨjou↓', 'mən']
    """
    from pypinyin.contrib.tone_convert import to_finals, to_initials

    base, tone = pinyin[:-1], _TONES[pinyin[-1]]
    if base in _WHOLE:
        return _WHOLE[base] + tone
    initial = to_initials(base, strict=True)
    final = to_finals(base, strict=True, v_to_u=True)
    if final == "i" and initial in ("zh", "ch", "sh", "r", "z", "c", "s"):
        return f"{_INITIALS[initial]}{_BUZZ}{tone}"
    vowel, _, coda = _FINALS[final].partition("|")
    return f"{_INITIALS[initial]}{vowel}{tone}{coda}"
