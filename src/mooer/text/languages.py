"""Languages by code, English name or Chinese name."""

from __future__ import annotations

from mooer.errors import ConfigError, did_you_mean

# The languages of Whisper, most spoken in its training data first: code -> English name.
LANGUAGES: dict[str, str] = {
    "en": "English",
    "zh": "Chinese",
    "de": "German",
    "es": "Spanish",
    "ru": "Russian",
    "ko": "Korean",
    "fr": "French",
    "ja": "Japanese",
    "pt": "Portuguese",
    "tr": "Turkish",
    "pl": "Polish",
    "ca": "Catalan",
    "nl": "Dutch",
    "ar": "Arabic",
    "sv": "Swedish",
    "it": "Italian",
    "id": "Indonesian",
    "hi": "Hindi",
    "fi": "Finnish",
    "vi": "Vietnamese",
    "he": "Hebrew",
    "uk": "Ukrainian",
    "el": "Greek",
    "ms": "Malay",
    "cs": "Czech",
    "ro": "Romanian",
    "da": "Danish",
    "hu": "Hungarian",
    "ta": "Tamil",
    "no": "Norwegian",
    "th": "Thai",
    "ur": "Urdu",
    "hr": "Croatian",
    "bg": "Bulgarian",
    "lt": "Lithuanian",
    "la": "Latin",
    "mi": "Maori",
    "ml": "Malayalam",
    "cy": "Welsh",
    "sk": "Slovak",
    "te": "Telugu",
    "fa": "Persian",
    "lv": "Latvian",
    "bn": "Bengali",
    "sr": "Serbian",
    "az": "Azerbaijani",
    "sl": "Slovenian",
    "kn": "Kannada",
    "et": "Estonian",
    "mk": "Macedonian",
    "br": "Breton",
    "eu": "Basque",
    "is": "Icelandic",
    "hy": "Armenian",
    "ne": "Nepali",
    "mn": "Mongolian",
    "bs": "Bosnian",
    "kk": "Kazakh",
    "sq": "Albanian",
    "sw": "Swahili",
    "gl": "Galician",
    "mr": "Marathi",
    "pa": "Punjabi",
    "si": "Sinhala",
    "km": "Khmer",
    "sn": "Shona",
    "yo": "Yoruba",
    "so": "Somali",
    "af": "Afrikaans",
    "oc": "Occitan",
    "ka": "Georgian",
    "be": "Belarusian",
    "tg": "Tajik",
    "sd": "Sindhi",
    "gu": "Gujarati",
    "am": "Amharic",
    "yi": "Yiddish",
    "lo": "Lao",
    "uz": "Uzbek",
    "fo": "Faroese",
    "ht": "Haitian Creole",
    "ps": "Pashto",
    "tk": "Turkmen",
    "nn": "Norwegian Nynorsk",
    "mt": "Maltese",
    "sa": "Sanskrit",
    "lb": "Luxembourgish",
    "my": "Burmese",
    "bo": "Tibetan",
    "tl": "Tagalog",
    "mg": "Malagasy",
    "as": "Assamese",
    "tt": "Tatar",
    "haw": "Hawaiian",
    "ln": "Lingala",
    "ha": "Hausa",
    "ba": "Bashkir",
    "jw": "Javanese",
    "su": "Sundanese",
    "yue": "Cantonese",
}
_ALIASES: dict[str, str] = {
    "burmese": "my",
    "castilian": "es",
    "farsi": "fa",
    "fil": "tl",
    "filipino": "tl",
    "flemish": "nl",
    "haitian": "ht",
    "iw": "he",
    "jv": "jw",  # ISO 639-1; Whisper's own code is jw
    "mandarin": "zh",
    "cmn": "zh",
    "moldovan": "ro",
    "myanmar": "my",
    "nb": "no",
    "nynorsk": "nn",
    "valencian": "ca",
    "中文": "zh",
    "汉语": "zh",
    "漢語": "zh",
    "普通话": "zh",
    "普通話": "zh",
    "国语": "zh",
    "國語": "zh",
    "华语": "zh",
    "華語": "zh",
    "简体中文": "zh",
    "繁體中文": "zh",
    "粤语": "yue",
    "粵語": "yue",
    "广东话": "yue",
    "廣東話": "yue",
    "英文": "en",
    "英语": "en",
    "英語": "en",
    "日文": "ja",
    "日语": "ja",
    "日語": "ja",
    "日本語": "ja",
    "韩文": "ko",
    "韩语": "ko",
    "韓文": "ko",
    "韓語": "ko",
    "法文": "fr",
    "法语": "fr",
    "法語": "fr",
    "德文": "de",
    "德语": "de",
    "德語": "de",
    "西班牙文": "es",
    "西班牙语": "es",
    "西班牙語": "es",
    "葡萄牙语": "pt",
    "葡萄牙語": "pt",
    "意大利语": "it",
    "意大利語": "it",
    "俄文": "ru",
    "俄语": "ru",
    "俄語": "ru",
    "阿拉伯语": "ar",
    "阿拉伯語": "ar",
    "印地语": "hi",
    "印尼语": "id",
    "越南语": "vi",
    "越南語": "vi",
    "泰语": "th",
    "泰語": "th",
    "荷兰语": "nl",
    "波兰语": "pl",
    "土耳其语": "tr",
    "乌克兰语": "uk",
    "瑞典语": "sv",
}
_BY_NAME: dict[str, str] = {
    **_ALIASES,
    **{name.casefold(): code for code, name in LANGUAGES.items()},
}


def find_language(name: str) -> str:
    """Code of a language given as a code, a tag with a region, or a name in English or Chinese.

    ConfigError, with the nearest known name, for anything else.

    >>> [find_language(n) for n in ("zh", "zh-CN", "Chinese", "中文", "EN_us")]
    ['zh', 'zh', 'zh', 'zh', 'en']
    """
    key = name.strip().casefold()
    tag = key.replace("_", "-").split("-")[0]
    for candidate in (key, tag):
        if candidate in LANGUAGES:
            return candidate
        if candidate in _BY_NAME:
            return _BY_NAME[candidate]
    known = [*_BY_NAME, *(LANGUAGES if len(key) <= 3 else ())]
    raise ConfigError(f"unknown language {name!r}: {did_you_mean(key, known)}")


def language_name(code: str) -> str:
    """English name of a language code; the code itself where the table does not know it.

    >>> language_name("zh"), language_name("und")
    ('Chinese', 'und')
    """
    return LANGUAGES.get(code, code)
