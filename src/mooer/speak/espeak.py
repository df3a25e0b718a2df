"""English to phonemes in Kokoro's alphabet, by the library espeak-ng (called through ctypes)."""

from __future__ import annotations

import ctypes
import re
from functools import lru_cache
from typing import Any

from mooer.errors import MissingExtra, ModelError

_SYNCHRONOUS, _DONT_EXIT = 0x02, 0x8000
_UTF8 = 1
_IPA_WITH_TIES = 0x02 | 0x80 | ord("^") << 8
# espeak's IPA in the alphabet of Kokoro's American English, longest first. A tie marks what
# is one sound.
_KOKORO = (
    *(("ʔˌn̩", "ʔn"), ("ʔn̩", "ʔn"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A")),
    *(("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("o^ʊ", "O"), ("ə^l", "ᵊl"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ")),
    *(
        ("ɪə", "iə"),
        ("ʲo", "jo"),
        ("ʲə", "jə"),
        ("ʲ", ""),
        ("e", "A"),
        ("ɚɹ", "əɹ"),
        ("ɚ", "əɹ"),
        ("r", "ɹ"),
    ),
    *(("x", "k"), ("ç", "k"), ("ɐ", "ə"), ("ɬ", "l"), ("̃", ""), ("ː", ""), ("o", "ɔ")),
    *(("ɾ", "T"), ("ʔ", "t"), ("^", ""), ("_:", ""), ("_", ""), ("-", "")),
)
_SYLLABIC = re.compile("(\\S)̩")  # a consonant that is a syllable gets its vowel
_SWITCH = re.compile(r"\([a-z][a-z-]*\)")  # espeak's mark for a word of another language


def phonemes_of_english(text: str) -> str:
    """Phonemes of a clause of English, without its punctuation; numbers are read out.

    MissingExtra without espeakng-loader, ModelError if its library does not start.

    >>> phonemes_of_english("Good morning, it is 5 degrees")
    'ɡˈʊd mˈɔɹnɪŋ ɪT ɪz fˈIv dᵻɡɹˈiz'
    """
    return from_espeak(" ".join(_clauses(text)))


def from_espeak(ipa: str) -> str:
    """IPA of espeak, with ties, as Kokoro writes it.

    >>> from_espeak("d^ʒˈʌmp lˈɪɾə^l bˈʌʔn̩ (fr)o^ʊvɚ")
    'ʤˈʌmp lˈɪTᵊl bˈʌtn Ovəɹ'
    """
    ipa = _SWITCH.sub("", ipa)
    for old, new in _KOKORO[:2]:
        ipa = ipa.replace(old, new)
    ipa = _SYLLABIC.sub(r"ᵊ\1", ipa)
    for old, new in _KOKORO[2:]:
        ipa = ipa.replace(old, new)
    return " ".join(ipa.split())


def _clauses(text: str) -> list[str]:
    library = _library()
    pointer = ctypes.c_char_p(text.replace("\0", " ").encode())
    found = []
    while pointer.value:  # it reads one clause and moves on; at the end the pointer is NULL
        ipa = library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, _IPA_WITH_TIES)
        found.append((ipa or b"").decode())
    return found


@lru_cache(maxsize=1)
def _library() -> Any:
    """The library with its American voice; one a process, and not for two threads at once."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingExtra("espeakng-loader", "speak") from error
    path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ModelError(f"cannot load {path} ({error}): install espeakng-loader again") from error
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    started = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
    if started < 0 or library.espeak_SetVoiceByName(b"en-us") != 0:
        raise ModelError(
            f"espeak-ng does not start with its data in {data}: install espeakng-loader again, "
            "in a folder with a shorter path if that one is very long"
        )
    return library
