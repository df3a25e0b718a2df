"""A manifest of any length by line number: 16 bytes a line in memory, the rest on the disk."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.data.jsonl import parse_row, raw_lines
from mooer.data.supervision import Utterance, from_row, located
from mooer.errors import ManifestError


class Lines:
    """The utterances of a JSONL manifest by index, read when they are asked for.

    Every line is read once when it is opened, so that a mistake in the last one is told before
    training and not days later (not if `check` is False: it was done before). ManifestError as
    `read_manifest`, save for ids that repeat.
    """

    def __init__(self, path: str | os.PathLike[str], *, check: bool = True) -> None:
        self.path = Path(path)
        self._check = check
        self.duration_s = 0.0  # of all lines that tell theirs, if they were checked
        self._starts, self._numbers, self._num_bytes = self._scan()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Utterance:
        number = int(self._numbers[index])
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self._num_bytes:
                    raise ManifestError(f"{self.path} was changed while it was in use: start again")
                file.seek(int(self._starts[index]))
                line = file.readline()
        except OSError as error:
            raise ManifestError(f"cannot read {self.path}: {error.strerror or error}") from error
        return self._parse(line, number)

    def _parse(self, line: bytes, number: int) -> Utterance:
        place = f"{self.path} line {number}"
        return located(from_row(parse_row(line, place), place), self.path.parent)

    def _scan(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        starts, numbers, at = array("q"), array("q"), 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    mark = 3 if number == 1 and line.startswith(b"\xef\xbb\xbf") else 0
                    if line[mark:].strip():
                        starts.append(at + mark)
                        numbers.append(number)
                        if self._check:
                            self.duration_s += self._parse(line[mark:], number).duration_s or 0.0
                    at += len(line)
        except OSError as error:
            raise ManifestError(f"cannot read {self.path}: {error.strerror or error}") from error
        if not starts:
            raise ManifestError(f"{self.path} lists nothing: write one utterance a line")
        return np.frombuffer(starts, np.int64), np.frombuffer(numbers, np.int64), at


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, Utterance | ManifestError]]:
    """Each line's number with its utterance, or with what is wrong with it; ids may repeat.

    ManifestError is raised only if the file itself cannot be read.
    """
    source = Path(path)
    for number, line in raw_lines(source):
        place = f"{source} line {number}"
        try:
            yield number, located(from_row(parse_row(line, place), place), source.parent)
        except ManifestError as error:
            yield number, error
