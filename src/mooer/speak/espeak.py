"""English to phonemes in Kokoro's alphabet, by the library espeak-ng."""

from __future__ import annotations

import re

from mooer.speak.espeak_library import to_ipa

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
    return from_espeak(" ".join(to_ipa(text, tie="^")))


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
