"""What a search found of an utterance, kept with the scores of language models: n-best lists.

    {"id": "a1", "language": "zh", "reference": "打开空调", "nbest":
        [{"text": "打开空调", "logprob": -1.2, "length": 4, "scores": {"lm": -9.1}}, …]}

is a line of a file of them. Logarithms are natural, and the scores unweighted, so that weights can
be tried without decoding again (`tuning`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mooer.decoding.fusion import LENGTH, length_of
from mooer.errors import ManifestError
from mooer.files import write_whole


@dataclass(frozen=True)
class Candidate:
    """A text, and what is known of it."""

    text: str
    logprob: float  # natural log p(y|x), of the end too where the model says one
    length: int  # |y|: words, Chinese characters one by one
    scores: Mapping[str, float] = field(default_factory=dict)  # by part of the formula

    @classmethod
    def of(cls, text: str, logprob: float, scores: Mapping[str, float] | None = None) -> Candidate:
        """With its length counted."""
        return cls(text, logprob, length_of(text), dict(scores or {}))

    def score(self, weights: Mapping[str, float]) -> float:
        """The formula of `fusion`; KeyError for a part that was not scored."""
        total = self.logprob
        for name, weight in weights.items():
            total += weight * (self.length if name == LENGTH else self.scores[name])
        return total


@dataclass(frozen=True)
class NBest:
    """What was found of one utterance, the best of the search first."""

    id: str
    candidates: tuple[Candidate, ...]
    language: str = "und"
    reference: str | None = None

    def ranked(self, weights: Mapping[str, float]) -> list[Candidate]:
        """The candidates, the best by the formula first; of equal ones as they were found."""
        return sorted(self.candidates, key=lambda one: -one.score(weights))

    def scored(self, name: str, score: Callable[[Sequence[str]], Sequence[float]]) -> NBest:
        """With a part of the formula more, by what gives natural logs of texts."""
        values = score([one.text for one in self.candidates])
        pairs = zip(self.candidates, values, strict=True)
        return replace(
            self,
            candidates=tuple(
                replace(one, scores={**one.scores, name: value}) for one, value in pairs
            ),
        )


def write_nbest(path: Path, lists: Iterable[NBest]) -> None:
    """A line each. OutputError if it cannot be written."""
    write_whole(path, "".join(f"{_line(one)}\n" for one in lists))


def read_nbest(path: Path) -> list[NBest]:
    """The lists of a file. ManifestError names the line that is not one."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read the n-best lists {path}: {error}") from None
    found: list[NBest] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            found.append(_parsed(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestError(
                f"{path} line {number} is no n-best list ({error!r}): write the file again"
            ) from None
    if not found:
        raise ManifestError(f"{path} holds no n-best list: write it again")
    return found


def _line(one: NBest) -> str:
    row: dict[str, Any] = {"id": one.id, "language": one.language}
    if one.reference is not None:
        row["reference"] = one.reference
    row["nbest"] = [
        {
            "text": c.text,
            "logprob": round(c.logprob, 5),
            "length": c.length,
            "scores": {name: round(value, 5) for name, value in c.scores.items()},
        }
        for c in one.candidates
    ]
    return json.dumps(row, ensure_ascii=False)


def _parsed(row: Mapping[str, Any]) -> NBest:
    candidates = tuple(
        Candidate(
            str(c["text"]),
            _finite(c["logprob"]),
            int(c["length"]),
            {str(name): _finite(value) for name, value in c["scores"].items()},
        )
        for c in row["nbest"]
    )
    if not candidates:
        raise ValueError("no candidates")
    return NBest(str(row["id"]), candidates, str(row["language"]), row.get("reference"))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no number")
    return number
