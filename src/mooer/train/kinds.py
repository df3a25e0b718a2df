"""Kinds of models that a recipe may name, by its key `kind`; without it, a speech LLM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.config import read_key
from mooer.errors import ConfigError, did_you_mean
from mooer.train.run import Parts

SPEECH_LLM = "speech_llm"
KINDS = (SPEECH_LLM, "rich", "sense_voice")


@dataclass(frozen=True)
class Kind:
    """How recipes of a kind are read, built and written out."""

    recipe: type[Any]
    build: Callable[[Any], Parts]
    export: Callable[[Any, Path], list[Path]]


def kind_of(path: Path) -> Kind:
    """The kind of a recipe's file. ConfigError for one that is not known."""
    name = read_key(path, "kind")
    if name == "rich":
        from mooer.train.rich.build import build as build_rich
        from mooer.train.rich.export import export as export_rich
        from mooer.train.rich.recipe import RichRecipe

        return Kind(RichRecipe, build_rich, export_rich)
    if name == "sense_voice":
        from mooer.train.sense_voice.build import build as build_sense_voice
        from mooer.train.sense_voice.export import export as export_sense_voice
        from mooer.train.sense_voice.recipe import SenseVoiceRecipe

        return Kind(SenseVoiceRecipe, build_sense_voice, export_sense_voice)
    if name not in (None, SPEECH_LLM):
        raise ConfigError(f"{path}: unknown kind {name!r}: " + did_you_mean(str(name), KINDS))
    from mooer.train.build import build
    from mooer.train.export import export
    from mooer.train.recipe import Recipe

    return Kind(Recipe, build, export)
