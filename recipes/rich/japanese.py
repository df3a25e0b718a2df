"""Japanese sentences, written here in kana, spoken by Kokoro's Japanese voices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import sounds
import soxr

from mooer.audio.wave import read_wave
from mooer.data.supervision import Utterance
from mooer.speak.base import blend
from mooer.speak.kokoro import RATE_HZ, Kokoro
from mooer.store import located

SENTENCES = """
きょうは とても いい てんきですね、さんぽに いきましょう
わたしは まいあさ ろくじに おきて、しんぶんを よみます
すみません、えきまでの みちを おしえて くださいませんか
きのうの よる、ともだちと いっしょに えいがを みました
この ほんは とても おもしろいので、ぜひ よんで みて ください
あしたの かいぎは ごぜん じゅうじから はじまります
にほんの なつは むしあつくて、ふゆは さむいです
かれは だいがくで けいざいを べんきょうして います
でんしゃが おくれたので、しごとに ちこくして しまいました
おちゃを のみながら、ゆっくり はなしましょう
らいしゅうの どようびに、かぞくで うみへ いく よていです
この みせの らーめんは やすくて おいしいと ひょうばんです
あめが ふりそうだから、かさを もって いった ほうが いいですよ
こどもたちは こうえんで げんきに あそんで います
せんせい、しつもんが あるのですが、よろしいでしょうか
あたらしい けいたいでんわを かいたいと おもって います
かのじょは さんねんまえに とうきょうへ ひっこしました
ごはんを たべたら、すぐに しゅくだいを しなさい
そのニュースは ぜんこくで おおきな わだいに なりました
やまの うえから みた けしきは ほんとうに うつくしかった
ひこうきの じかんを かくにんして から、でかけましょう
けんこうの ために、まいにち すこしずつ はしって います
にほんごは むずかしいけれど、べんきょうするのは たのしい
せいふは あたらしい けいかくを はっぴょうしました
しゃちょうは いま でかけて おりますが、さんじに もどります
ねこが まどの そばで きもちよさそうに ねむって います
おんがくを きくと、こころが おちつきます
どこで この かばんを かいましたか、とても すてきですね
きかいが こわれたので、なおして もらえますか
はるに なると、さくらの はなが いっせいに さきます
"""
_CONSONANTS = {
    **{"か": "k", "が": "ɡ", "さ": "s", "ざ": "z", "た": "t", "だ": "d", "な": "n", "は": "h"},
    **{"ば": "b", "ぱ": "p", "ま": "m", "ら": "ɾ"},
}
_VOWELS = "aiɯeo"
_ROWS = "かきくけこ がぎぐげご さしすせそ ざじずぜぞ たちつてと だぢづでど なにぬねの はひふへほ"
_ROWS += " ばびぶべぼ ぱぴぷぺぽ まみむめも らりるれろ"
_SOFT = {"し": "ɕ", "じ": "ʥ", "ち": "ʨ", "ぢ": "ʥ", "に": "ɲ", "ひ": "ç"}
_WHOLE = {
    **{"あ": "a", "い": "i", "う": "ɯ", "え": "e", "お": "o", "や": "ja", "ゆ": "jɯ", "よ": "jo"},
    **{"わ": "wa", "を": "o", "ん": "ɴ", "っ": "ʔ", "ー": "ː", "、": ",", " ": " "},
    **{"つ": "ʦɯ", "づ": "zɯ", "ふ": "ɸɯ", "ゔ": "bɯ"},
}
_SMALL = {"ゃ": "a", "ゅ": "ɯ", "ょ": "o"}


def speech(out: Path, rng: np.random.Generator, per_sentence: int = 1) -> Iterator[Utterance]:
    """Each sentence by several blends of voices."""
    kokoro = Kokoro(located("store:kokoro-82m"))
    lines = [line for line in SENTENCES.splitlines() if line]
    for number in range(per_sentence * len(lines)):
        text = lines[number % len(lines)]
        spoken = "".join(c for c in phonemes(text) if c in kokoro._vocabulary)
        voice = blend(kokoro.voices, rng)
        speed = float(rng.uniform(0.85, 1.2))
        path = out / "japanese" / f"{number:03}.wav"
        if not path.exists():
            said = kokoro._say(spoken, voice, speed)
            sounds.write(path, soxr.resample(said, RATE_HZ, sounds.RATE_HZ).astype(np.float32))
        yield Utterance(
            f"japanese-{number:03}",
            str(path),
            duration_s=len(read_wave(str(path))) / sounds.RATE_HZ,
            text=None,
            language="ja",
            event="speech",
            source="synthetic",
            extra={"fold": -1},
        )


def phonemes(kana: str) -> str:
    """In Kokoro's alphabet.

    >>> phonemes("きょうは っち")
    'kjoɯha ʔʨi'
    """
    table = dict(_WHOLE)
    for row in _ROWS.split():
        for place, letter in enumerate(row):
            consonant = _SOFT.get(letter, _CONSONANTS[row[0]])
            table.setdefault(letter, consonant + _VOWELS[place])
    text = "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in kana)  # katakana
    found = ""
    for letter in text:
        if letter in _SMALL:
            stem = found[:-1]
            found = stem + ("" if stem[-1:] in "ɕʥʨç" else "j") + _SMALL[letter]
        else:
            found += table.get(letter, "")
    return found
