"""A clip as text, and as subtitles."""

from __future__ import annotations

from pathlib import Path

import mooer

clip = Path(__file__).with_name("zh.flac")

model = mooer.load()  # whisper-base; fetched at the first call
transcript = model.transcribe(clip)

print(transcript.language, f"{transcript.duration_s:.1f} s")
print(transcript.text)
print(transcript.render("srt"))
