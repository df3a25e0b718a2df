"""Where results go: files that appear whole, or standard output."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mooer.data.manifest import Item, safe_stem
from mooer.errors import ConfigError, OutputError, did_you_mean
from mooer.files import write_whole
from mooer.subtitles import SubtitleOptions
from mooer.transcript import FORMATS, Transcript


def parse_formats(text: str) -> tuple[str, ...]:
    """Formats of "srt,json"; ConfigError names the nearest to an unknown one."""
    formats = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"unknown format {name!r}: {did_you_mean(name, FORMATS)}")
    return formats


@dataclass(frozen=True)
class Output:
    """Files in a folder, one an input and format; or standard output if there is no folder."""

    folder: Path | None
    formats: tuple[str, ...]
    options: SubtitleOptions
    force: bool = False

    def __post_init__(self) -> None:
        if self.folder is None and len(self.formats) > 1:
            raise ConfigError("several formats need a folder to go to: add --out DIR")

    @property
    def streams(self) -> bool:
        """Whether segments are printed as they come."""
        return self.folder is None and self.formats == ("txt",)

    def prepare(self) -> None:
        """Make the folder and prove that it can be written, before any work is done."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise OutputError(
                f"cannot write to the folder {self.folder}: {error.strerror}; name another by --out"
            ) from error

    def is_done(self, item: Item) -> bool:
        """Whether every file of this input is there already."""
        if self.folder is None or self.force:
            return False
        return all(self._path(item, name).exists() for name in self.formats)

    def write(self, item: Item, transcript: Transcript, *, many: bool, told: bool = True) -> None:
        """Write one result in all formats; each file appears whole or not at all.

        What `streams` is printed only if it was not `told` already, segment by segment.
        """
        for name in self.formats:
            if self.folder is not None:
                text = transcript.render(name, self.options)
                write_whole(self._path(item, name), text)
            elif name == "json" and many:
                print(transcript.to_json(indent=None), end="", flush=True)  # noqa: T201
            elif not (self.streams and told):
                print(transcript.render(name, self.options), end="", flush=True)  # noqa: T201

    def _path(self, item: Item, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{safe_stem(item.id)}.{name}"
