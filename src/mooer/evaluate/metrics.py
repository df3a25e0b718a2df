"""Error rates with their counts, and BLEU and chrF by sacrebleu with the signature kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mooer.errors import MissingExtra
from mooer.text import CHARACTER_LANGUAGES, character_tokens, mixed_tokens, word_tokens
from mooer.text.edit import Alignment, Op, align

_WITHOUT_WORDS = CHARACTER_LANGUAGES - {"ko"}  # Korean has spaces: a WER, beside its CER
_WITH_MIXED = frozenset({"zh", "yue"})
_TOKENIZERS = {"cer": character_tokens, "wer": word_tokens, "mer": mixed_tokens}
_BLEU_TOKENIZERS = {"zh": "zh", "yue": "zh", "ja": "char", "th": "char", "my": "char"}


@dataclass(frozen=True, slots=True)
class Counts:
    """Edits and reference tokens; `+` adds utterances up to a corpus."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference_tokens: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference_tokens + other.reference_tokens,
        )

    @property
    def errors(self) -> int:
        """Edits of every kind."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Edits per reference token; None without reference tokens. It can exceed 1."""
        return self.errors / self.reference_tokens if self.reference_tokens else None


def primary_metric(language: str | None) -> str:
    """`cer` where words are not separated by spaces, and for Korean; `wer` elsewhere."""
    return "cer" if language in CHARACTER_LANGUAGES else "wer"


def metrics_for(language: str | None) -> tuple[str, ...]:
    """Error rates that mean something in a language."""
    names = ["cer"]
    if language not in _WITHOUT_WORDS:
        names.append("wer")
    if language in _WITH_MIXED:
        names.append("mer")
    return tuple(names)


def compare(
    metric: str, reference: str, hypothesis: str, language: str | None
) -> tuple[Counts, list[tuple[Op, str | None, str | None]]]:
    """Counts of one utterance and its aligned tokens: (operation, reference, hypothesis).

    >>> compare("wer", "Hello, world!", "hello word", "en")[0]
    Counts(substitutions=1, deletions=0, insertions=0, reference_tokens=2)
    """
    tokens = _TOKENIZERS[metric]
    a, b = tokens(reference, language), tokens(hypothesis, language)
    alignment = align(a, b)
    return _counts(alignment, len(a)), _pairs(alignment, a, b)


def _counts(alignment: Alignment, num_tokens: int) -> Counts:
    return Counts(alignment.substitutions, alignment.deletions, alignment.insertions, num_tokens)


def _pairs(
    alignment: Alignment, a: Sequence[str], b: Sequence[str]
) -> list[tuple[Op, str | None, str | None]]:
    left, right = iter(a), iter(b)
    return [
        (op, None if op == "I" else next(left), None if op == "D" else next(right))
        for op in alignment.ops
    ]


def _error_rate(
    metric: str, references: Iterable[str], hypotheses: Iterable[str], language: str | None
) -> Counts:
    pairs = zip(references, hypotheses, strict=True)
    return sum((compare(metric, r, h, language)[0] for r, h in pairs), Counts())


def wer(references: Iterable[str], hypotheses: Iterable[str], language: str | None) -> Counts:
    """Word errors of a corpus, after normalisation.

    >>> wer(["It's two o'clock"], ["it is 2 o'clock"], "en").rate
    0.0
    """
    return _error_rate("wer", references, hypotheses, language)


def cer(references: Iterable[str], hypotheses: Iterable[str], language: str | None) -> Counts:
    """Character errors of a corpus, after normalisation; spaces do not count.

    >>> cer(["今天天氣好。"], ["今天天气"], "zh").rate
    0.2
    """
    return _error_rate("cer", references, hypotheses, language)


def mer(references: Iterable[str], hypotheses: Iterable[str], language: str | None) -> Counts:
    """Mixed errors of a corpus: Chinese by the character, other scripts by the word.

    >>> mer(["我用Python写代码"], ["我用python写"], "zh").reference_tokens
    6
    """
    return _error_rate("mer", references, hypotheses, language)


@dataclass(frozen=True, slots=True)
class Score:
    """A score of sacrebleu, 0 to 100, with the signature that makes it comparable."""

    value: float
    signature: str


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtra("sacrebleu", "evaluate") from error
    return metrics


def bleu_metric(language: str | None) -> Any:
    """Sacrebleu's BLEU with the tokeniser that fits the target language."""
    return _sacrebleu().BLEU(tokenize=_BLEU_TOKENIZERS.get(language or "", "13a"))


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], language: str) -> Score:
    """Corpus BLEU (Papineni et al. 2002). `references[i]` are those of `hypotheses[i]`."""
    metric = bleu_metric(language)
    score = metric.corpus_score(list(hypotheses), _streams(references))
    return Score(float(score.score), str(metric.get_signature()))


def chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Corpus chrF2 (Popović 2015). `references[i]` are those of `hypotheses[i]`."""
    metric = _sacrebleu().CHRF()
    score = metric.corpus_score(list(hypotheses), _streams(references))
    return Score(float(score.score), str(metric.get_signature()))


def _streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """References as sacrebleu wants them: one list a number, None where there are fewer."""
    num = max((len(row) for row in references), default=1)
    return [[row[i] if i < len(row) else None for row in references] for i in range(num)]
