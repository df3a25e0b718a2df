"""Two clips in each other's language, with words of a glossary kept to."""

from __future__ import annotations

from pathlib import Path

import mooer

here = Path(__file__).parent

model = mooer.load()
glossary = {"语音识别": "speech recognition"}
for segment in model.translate(here / "zh.flac", to="en", glossary=glossary).segments:
    print(segment.text, "->", segment.translation)
for segment in model.translate(here / "en.flac", to="zh").segments:
    print(segment.text, "->", segment.translation)
