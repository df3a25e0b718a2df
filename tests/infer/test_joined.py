"""Whisper with a language model in its search hears what its domain says."""

from dataclasses import replace

import pytest

from mooer.audio.wave import read_wave
from mooer.decoding.fusion import FusionOptions
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.lm.trie import trie_of
from mooer.engines.whisper import DecodeOptions, Whisper
from mooer.infer.fusion import Fusion
from mooer.infer.joined import JoinedWhisper, search_of
from mooer.store import fetch


def trained(*lines):
    return NGramText(trie_of(train_ngram(lines, TrainOptions(3)).tables))


@pytest.mark.real
def test_the_spelling_of_the_domain_wins(examples):
    whisper = Whisper(fetch("whisper-base"), num_threads=1)
    encoded = whisper.encode(read_wave(examples / "en.flac")[: 16_000 * 2])

    def said(fusion):
        [found] = JoinedWhisper(whisper, fusion).decode([encoded], "en", DecodeOptions(), 20)
        return found.text

    lm = trained("good mourning everyone thank you", "a good mourning", "good mourning to you")
    assert said(Fusion(FusionOptions("shallow", lm_weight=0.0), lm)).startswith("Good morning, ")
    domain = FusionOptions("shallow", lm_weight=2.0, length_bonus=2.0)
    assert "mourning" in said(Fusion(domain, lm)).lower()
    opposed = replace(domain, method="density", source_weight=2.0, length_bonus=0.0)
    assert "morning" in said(Fusion(opposed, lm, source=lm))  # one takes back what the other gives
    assert search_of(whisper) is search_of(whisper)
