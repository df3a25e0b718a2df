"""From hypotheses to the numbers of a report: one set, by language, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mooer.evaluate.bootstrap import bleu_interval, interval
from mooer.evaluate.metrics import Counts, bleu, chrf, compare, metrics_for, primary_metric
from mooer.text import to_simplified

_RATES = ("wer", "cer", "mer")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording: what should have come and what came."""

    id: str
    references: tuple[str, ...]  # several only for translation
    language: str | None  # of `references`
    hypothesis: str | None = None  # None: it failed
    source_language: str | None = None  # of the speech, from the manifest
    detected_language: str | None = None
    audio_s: float = 0.0
    wall_s: float = 0.0
    error: str | None = None

    def with_result(self, **values: Any) -> Utterance:
        """A copy with what the model gave."""
        return replace(self, **values)


def score_set(
    utterances: Sequence[Utterance], *, task: str = "asr", seed: int = 0, num_skipped: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Numbers of a set, overall and `by_language`, and one row for each finished utterance.

    Rates are fractions, BLEU and chrF go to 100; what does not apply is None. An utterance that
    failed is counted in `num_failed` and in no rate.
    """
    rows, counts = [], []
    done = [u for u in utterances if u.hypothesis is not None]
    for utterance in done:
        row, found = _row(utterance, task)
        rows.append(row)
        counts.append(found)
    result = _numbers(done, counts, task, seed)
    languages = sorted({u.language or "und" for u in utterances})
    result["language"] = languages[0] if len(languages) == 1 else None
    result["num_skipped"] = num_skipped
    result["num_failed"] = len(utterances) - len(done)
    if len(languages) > 1:
        result["by_language"] = {
            language: _numbers(
                [u for u in done if (u.language or "und") == language],
                [c for u, c in zip(done, counts, strict=True) if (u.language or "und") == language],
                task,
                seed,
            )
            for language in languages
        }
    return result, rows


def _row(utterance: Utterance, task: str) -> tuple[dict[str, Any], dict[str, Counts]]:
    hypothesis = utterance.hypothesis or ""
    row: dict[str, Any] = {
        "id": utterance.id,
        "language": utterance.language,
        "detected_language": utterance.detected_language,
        "reference": utterance.references[0],
        "hypothesis": hypothesis,
        "audio_s": utterance.audio_s,
        "wall_s": utterance.wall_s,
    }
    if task != "asr":
        row["references"] = list(utterance.references)
        return row, {}
    counts: dict[str, Counts] = {}
    primary = primary_metric(utterance.language)
    for metric in metrics_for(utterance.language):
        reference = utterance.references[0]
        counts[metric], ops = compare(metric, reference, hypothesis, utterance.language)
        if metric == primary:
            row.update(metric=metric, errors=counts[metric].errors, ops=ops)
            row["reference_tokens"] = counts[metric].reference_tokens
    return row, counts


def _numbers(
    done: Sequence[Utterance], counts: Sequence[dict[str, Counts]], task: str, seed: int
) -> dict[str, Any]:
    """The metrics of some utterances; every key is there, whether it applies or not."""
    audio_s, wall_s = sum(u.audio_s for u in done), sum(u.wall_s for u in done)
    result: dict[str, Any] = dict.fromkeys((*_RATES, "bleu", "chrf"))
    result |= {
        "rtf": wall_s / audio_s if audio_s > 0 else None,
        "num_utterances": len(done),
        "audio_s": audio_s,
        "processing_s": wall_s,
        "intervals": {},
    }
    if task == "asr":
        _add_rates(result, done, counts, seed)
    else:
        _add_translation(result, done, seed)
    return result


def _add_rates(
    result: dict[str, Any],
    done: Sequence[Utterance],
    counts: Sequence[dict[str, Counts]],
    seed: int,
) -> None:
    """WER, CER and MER, each over the utterances in whose language it means something."""
    for metric in _RATES:
        found = [c[metric] for c in counts if metric in c]
        result[metric] = sum(found, Counts()).rate
        if result[metric] is not None:
            errors, tokens = [c.errors for c in found], [c.reference_tokens for c in found]
            bounds = interval(errors, tokens, seed=seed)
            result["intervals"][metric] = None if bounds is None else list(bounds)
    primary = [primary_metric(u.language) for u in done]
    total = sum((c[name] for c, name in zip(counts, primary, strict=True)), Counts())
    result["metric"] = primary[0] if len(set(primary)) == 1 else "mixed" if primary else None
    result["error_rate"] = total.rate
    result["substitutions"] = total.substitutions
    result["deletions"] = total.deletions
    result["insertions"] = total.insertions
    result["reference_tokens"] = total.reference_tokens


def _add_translation(result: dict[str, Any], done: Sequence[Utterance], seed: int) -> None:
    languages = {u.language for u in done}
    if not done or len(languages) != 1:
        return
    language = languages.pop() or "en"

    # Script is not what a translation is judged by: 語 and 语 are one word.
    def plain(text: str) -> str:
        return to_simplified(text) if language in ("zh", "yue") else text

    hypotheses = [plain(u.hypothesis or "") for u in done]
    references = [[plain(r) for r in u.references] for u in done]
    blue, char = bleu(hypotheses, references, language), chrf(hypotheses, references)
    result.update(bleu=blue.value, bleu_signature=blue.signature)
    result.update(chrf=char.value, chrf_signature=char.signature)
    bounds = bleu_interval(hypotheses, references, language, seed=seed)
    result["intervals"]["bleu"] = None if bounds is None else list(bounds)
