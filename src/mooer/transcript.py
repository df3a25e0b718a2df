"""The one typed result of every recogniser: words in segments in a transcript."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Word:
    """A word (or, in Chinese, a character) with its times in seconds."""

    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, about a sentence long; times in seconds from the start of the input."""

    start_s: float
    end_s: float
    text: str
    language: str
    words: tuple[Word, ...] | None = None  # None: word times were not asked for
    translation: str | None = None
    avg_logprob: float | None = None  # natural log, mean over the tokens of the decoded chunk
    no_speech_prob: float | None = None
    temperature: float | None = None  # of the accepted decoding; 0 is beam search
    warnings: tuple[str, ...] = ()  # names of guards that fired and could not mend the text


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one input."""

    segments: tuple[Segment, ...]
    language: str  # of most of the speech; "und" where there is none
    duration_s: float
    task: str = "asr"  # asr | ast
    model: str = ""
    source: str = ""  # id or path of the input
    language_probability: float | None = None
    translation_language: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All segments joined: a space where the script wants one."""
        return " ".join(segment.text for segment in self.segments)
