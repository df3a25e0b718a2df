"""The options of commands that join language models with a recogniser, and what they name."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mooer.decoding.fusion import FusionOptions
    from mooer.decoding.hotwords import Hotword
    from mooer.infer.ctc_recognizer import CtcRecognizer
    from mooer.infer.fusion import Fusion
    from mooer.infer.run import Listener

logger = logging.getLogger(__name__)

Lm = Annotated[
    Path | None,
    typer.Option("--lm", help="Language model to join: ARPA, KenLM's binary, or ours."),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--fusion",
        help="shallow, rescore, density, lodr, ilme or wfst. [default: shallow in a CTC search, "
        "rescore for Whisper]",
        show_default=False,
    ),
]
LmWeight = Annotated[
    float | None,
    typer.Option(
        help="Of the language model. [default: 0.5 for CTC, 1 in a graph, else 0.1]",
        show_default=False,
    ),
]
SourceLm = Annotated[
    Path | None, typer.Option(help="LM of the recogniser's training texts: density, lodr.")
]
SourceWeight = Annotated[
    float | None, typer.Option(help="Of that LM, subtracted. [default: 0.2]", show_default=False)
]
IlmWeight = Annotated[
    float | None,
    typer.Option(
        help="Of the recogniser's internal LM, subtracted: ilme, wfst. [default: 0.2, wfst 0]",
        show_default=False,
    ),
]
LengthBonus = Annotated[
    float | None,
    typer.Option(help="Added for each word. [default: 3 for CTC, else 0.5]", show_default=False),
]
DomainFolder = Annotated[
    Path | None,
    typer.Option("--domain", help="Folder of `mooer domain build`: LM, hotwords and weights."),
]


# Where nothing is said or tuned: what a recogniser that hears badly bears, and one that hears well.
_FOR_CTC = {"lm_weight": 0.5, "length_bonus": 3.0}
_FOR_OTHERS = {"lm_weight": 0.1, "length_bonus": 0.5}


@dataclass(frozen=True)
class Asked:
    """What of a fusion a command line says; None: nothing."""

    lm: Path | None = None
    method: str | None = None
    lm_weight: float | None = None
    source_lm: Path | None = None
    source_weight: float | None = None
    ilm_weight: float | None = None
    length_bonus: float | None = None
    domain: Path | None = None

    @property
    def is_asked(self) -> bool:
        """Whether anything was said."""
        return self != Asked()


def load_asked(asked: Asked, recognizer: Listener) -> tuple[Fusion | None, tuple[Hotword, ...]]:
    """The fusion that is asked for, and the hotwords of its domain.

    ConfigError for what does not go together.
    """
    from mooer.errors import ConfigError
    from mooer.infer.ctc_recognizer import CtcRecognizer
    from mooer.infer.domain import compose, read_domain
    from mooer.infer.fusion import Fusion, load_fusion
    from mooer.infer.sense_voice import SenseVoiceRecognizer

    if not asked.is_asked:
        return None, ()
    searches = isinstance(recognizer, CtcRecognizer | SenseVoiceRecognizer)
    if asked.domain is not None:
        if asked.lm or asked.source_lm:
            raise ConfigError("a domain has its own LMs: leave out --lm and --source-lm, or it")
        domain = read_domain(asked.domain)
        options = _options(asked, domain.settings.fusion, searches)
        if domain.settings.model not in ("", recognizer.name):
            logger.warning(
                "the weights of %s are those of %s, and not of %s",
                asked.domain,
                domain.settings.model,
                recognizer.name,
            )
        if options.method == "wfst" and (asked.lm_weight, asked.length_bonus) != (None, None):
            raise ConfigError(
                "the weights of wfst are in the graph of the domain: build it again with them"
            )
        return _told(domain.fusion(options)), domain.hotwords
    if asked.lm is None:
        raise ConfigError("a fusion needs a language model: name one by --lm, or --domain a folder")
    options = _options(asked, None, searches)
    if options.method == "wfst":
        if not isinstance(recognizer, CtcRecognizer):
            raise ConfigError("wfst is a search for CTC models that spell: take --model rich-mini")
        return _told(Fusion(options, graph=compose(asked.lm, recognizer, options)[0])), ()
    fusion = load_fusion(options, lm=asked.lm, source=asked.source_lm)
    if isinstance(recognizer, CtcRecognizer):
        _check_letters(fusion, recognizer)
    return _told(fusion), ()


def _check_letters(fusion: Fusion, recognizer: CtcRecognizer) -> None:
    """ConfigError for an n-gram model without a letter that the recogniser writes."""
    from mooer.decoding.lm.text_lm import NGramText
    from mooer.errors import ConfigError

    if not isinstance(fusion.lm, NGramText):
        return
    letters = set("".join(recognizer.spelling.pieces)) - {" "}
    words = (word for word in fusion.lm.model.vocabulary if not word.startswith("<"))
    if all(letters.isdisjoint(word.lower()) for word in words):
        raise ConfigError(
            f"the LM has no word with a letter that {recognizer.name} writes: take one of a "
            "language that the model knows"
        )


def _told(fusion: Fusion) -> Fusion:
    """The fusion; what was chosen is said."""
    weights = fusion.options.weights
    shown = ", ".join(f"{name} {weight:+g}" for name, weight in weights.items())
    logger.info("fusion %s: %s", fusion.options.method, shown or "no weight")
    return fusion


def _options(asked: Asked, given: FusionOptions | None, searches: bool) -> FusionOptions:
    from mooer.decoding.fusion import ILM, METHODS, SOURCE, FusionOptions
    from mooer.infer.domain import as_method, untuned

    usual = "shallow" if searches else "rescore"
    method = asked.method or (given.method if given else usual)
    if given and not asked.method and not searches and method in ("shallow", "wfst"):
        method = "rescore"  # the same formula, where the search takes no scorer
    usual_weights = _FOR_CTC if searches else _FOR_OTHERS
    options = as_method(given, method) if given else FusionOptions(method, **usual_weights)
    if given is None and method == "wfst":
        options = untuned(method)
    parts = METHODS[method].parts
    if given is None and SOURCE in parts:
        options = replace(options, source_weight=0.2)
    if given is None and ILM in parts:
        options = replace(options, ilm_weight=0.2)
    names = ("lm_weight", "source_weight", "ilm_weight", "length_bonus")
    said = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    return replace(options, **said)
