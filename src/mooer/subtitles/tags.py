"""What is heard beside the words, as a reader sees it: [happy], [laughter 3.2-4.1], or emoji.

What is to be expected is not written: a neutral or unknown emotion, and speech as an event. Nor is
an emotion or an event that is not told for sure; JSON has them all.
"""

from __future__ import annotations

from mooer.subtitles.options import SubtitleOptions, clean
from mooer.subtitles.protocols import TimedSound, TimedText

_SURE_OF_EMOTION, _SURE_OF_EVENT = 0.8, 0.6  # probabilities
_EXPECTED = frozenset({"neutral", "unknown", "speech", "und", ""})
# All of them are wide on a screen and pictures by default, without a variation selector.
_EMOJI = {
    **{"happy": "😊", "sad": "😢", "angry": "😠", "fearful": "😨", "disgusted": "🤢"},
    **{"surprised": "😮", "female": "👩", "male": "👨", "overlap": "👥"},
    **{"music": "🎵", "applause": "👏", "laughter": "😄", "cry": "😭", "sneeze": "🤧"},
    **{"breath": "💨", "cough": "😷", "sing": "🎤", "clapping": "👏", "crying_baby": "👶"},
    **{"dog_bark": "🐕", "rain": "☔", "sea_waves": "🌊", "clock_tick": "⏰", "rooster": "🐓"},
    **{"helicopter": "🚁", "chainsaw": "🪚", "crackling_fire": "🔥", "alarm": "🚨"},
    **{"birds": "🐦", "car_horn": "🚗", "gunshot": "💥", "keyboard_typing": "💻"},
    **{"knocking": "🚪", "train": "🚆"},
}


def speaker_mark(segment: TimedText, options: SubtitleOptions) -> str:
    """The name before what is said, as `S1:`; nothing if it is not known or not wanted."""
    return f"{clean(segment.speaker)}:" if options.speakers and segment.speaker else ""


def language_tag(segment: TimedText, options: SubtitleOptions) -> str:
    """The code of the language in brackets, for which there is no emoji."""
    is_told = options.tags != "none" and segment.language not in _EXPECTED
    return f"[{segment.language}]" if is_told else ""


def label_tags(segment: TimedText, options: SubtitleOptions) -> list[str]:
    """Tags of the emotion and the voice."""
    emotion = segment.emotion
    if emotion is not None and emotion.probability < _SURE_OF_EMOTION:
        emotion = None
    labels = (emotion, segment.gender, segment.age)
    names = [label.name for label in labels if label is not None]
    if segment.overlap:
        names.append("overlap")
    return [tag for name in names if (tag := _tag(name, options))]


def event_tags(
    segment: TimedText, options: SubtitleOptions, *, timed: bool
) -> list[tuple[TimedSound, str]]:
    """Events and their tags, `[laughter]` or, `timed`, `[laughter 3.2-4.1]`."""
    found: list[tuple[TimedSound, str]] = []
    for event in segment.events or ():
        if event.probability < _SURE_OF_EVENT:
            continue
        times = f" {event.start_s:.1f}-{event.end_s:.1f}" if timed else ""
        if tag := _tag(event.name, options, times):
            found.append((event, tag))
    return found


def tagged_line(text: str, segment: TimedText, options: SubtitleOptions) -> str:
    """A line of plain text with its tags, words before it and emoji behind it.

    Of a segment in which nobody speaks only the events are written.
    """
    events = [tag for _, tag in event_tags(segment, options, timed=True)]
    if not text:
        return "" if segment.text else " ".join(events)
    head = [speaker_mark(segment, options), language_tag(segment, options)]
    marks = [*label_tags(segment, options), *events]
    parts = [*head, text, *marks] if options.tags == "emoji" else [*head, *marks, text]
    return " ".join(filter(None, parts))


def event_names(segment: TimedText) -> str:
    """All events with their times, for a table.

    >>> from mooer.transcript import Event, Segment
    >>> event_names(Segment(0, 9, "", "und", events=(Event(5.0, 9.0, "music", 0.9),)))
    'music 5.0-9.0'
    """
    return "; ".join(f"{e.name} {e.start_s:.1f}-{e.end_s:.1f}" for e in segment.events or ())


def _tag(name: str, options: SubtitleOptions, times: str = "") -> str:
    if options.tags == "none" or name in _EXPECTED:
        return ""
    if options.tags == "emoji" and name in _EMOJI:
        return _EMOJI[name]
    return f"[{clean(name).replace('_', ' ')}{times}]"
