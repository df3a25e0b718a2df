"""A clip segment by segment, each as soon as it is done, with the times of its words."""

from __future__ import annotations

from pathlib import Path

import mooer

clip = Path(__file__).with_name("en.flac")

model = mooer.load()
for segment in model.stream(clip, language="en", words=True):
    print(f"{segment.start_s:6.2f} {segment.end_s:6.2f}  {segment.text}")
    for word in segment.words or ():
        print(f"    {word.start_s:6.2f}  {word.text}")
