"""A live server over fakes for the clients to call, with a key and without, and their builds."""

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.clients.programs import (
    NAMES,
    STREAMERS,
    MissingToolError,
    NoSuchPartError,
    Program,
    make,
)
from tests.serve.stand import WORDS, LoudWhisper, Models, running, wav

from mooer.serve.callers import new_key

DIGITS = dict(zip(WORDS, "零一二三四五六七八九", strict=True))


class Bilingual(LoudWhisper):
    """Says its numbers in Chinese where that is the language."""

    def decode(self, chunks, language, options, max_tokens):
        found = super().decode(chunks, language, options, max_tokens)
        if language != "zh":
            return found
        return [
            replace(one, text="".join(DIGITS[word] for word in one.text.split())) for one in found
        ]

    def align(self, chunk, tokens, language):
        words = super().align(chunk, tokens, language)
        if language != "zh":
            return words
        return [replace(word, text=DIGITS[word.text.strip()]) for word in words]


@dataclass(frozen=True)
class Stand:
    """An open server, one that asks for a key, and a recording that they hear as four fours."""

    open: str
    locked: str
    key: str
    clip: Path


@pytest.fixture(scope="session")
def stand(tmp_path_factory):
    folder = tmp_path_factory.mktemp("语音 与 空格")
    keys = folder / "keys.txt"
    key = new_key(keys, "anna")
    clip = folder / '四 "four".wav'
    clip.write_bytes(wav(0.4, 3))
    models = Models()
    models.whisper = Bilingual()
    with running(models) as free, running(models, keys=keys) as locked:
        yield Stand(free.url, locked.url, key, clip)


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Makes a client by its name, once; what hinders it is given as an error."""

    @functools.cache
    def build(name):
        try:
            return make(name, tmp_path_factory.mktemp("client"))
        except (MissingToolError, NoSuchPartError) as error:
            return error

    return build


@pytest.fixture(scope="session")
def made(build):
    """A client by its name; skipped where a tool is missing, but not in CI."""

    def find(name):
        found = build(name)
        if isinstance(found, MissingToolError) and os.environ.get("CI") == "true":
            pytest.fail(str(found))
        if isinstance(found, Exception):
            pytest.skip(str(found))
        return found

    return find


@pytest.fixture(scope="session")
def programs(build):
    """All that can be run here."""
    return [found for name in NAMES if isinstance(found := build(name), Program)]


@pytest.fixture(scope="session", params=NAMES)
def program(request, made):
    """Each client in turn."""
    return made(request.param)


@pytest.fixture(scope="session", params=STREAMERS)
def streamer(request, made):
    """Each client in turn, and with each of its ways to stream."""
    return made(request.param)
