"""The md5 of every released file whose publisher gives one, and the comparison with it.

The numbers are those of MooER's README. None is given for MooER-MTL-5K-1.5B and for the first
MooER-80K, which can therefore only be checked by their shapes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mooer.errors import ModelError

ADAPTER = "adapter_project.pt"
_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Release:
    """The files of one task, by their place in its folder."""

    name: str
    task: str
    files: Mapping[str, str]


def _task(name: str, task: str, adapter: str, options: str, lora: str) -> Release:
    files = {
        ADAPTER: adapter,
        "lora_weights/adapter_config.json": options,
        "lora_weights/adapter_model.bin": lora,
    }
    return Release(name, task, files)


_5K, _OPTIONS_5K = "MooER-MTL-5K", "8a76aab1f830be138db491fe361661e6"
RELEASES = (
    _task(
        _5K,
        "asr",
        "2462122fb1655c97d3396f8de238c7ed",
        _OPTIONS_5K,
        "0fe7a36de164ebe1fc27500bc06c8811",
    ),
    _task(
        _5K,
        "ast",
        "65c05305382af0b28964ac3d65121667",
        _OPTIONS_5K,
        "12c51badbe57298070f51902abf94cd4",
    ),
    _task(
        _5K,
        "asr_ast_mtl",
        "83195d39d299f3b39d1d7ddebce02ef6",
        _OPTIONS_5K,
        "a0f730e6ddd3231322b008e2339ed579",
    ),
    _task(
        "MooER-80K-v2",
        "asr",
        "af9022e2853f9785cab49017a18de82c",
        "ad3e3bfe9447b808b9cc16233ffacaaf",
        "3c22b9895859b01efe49b017e8ed6ec7",
    ),
)
ENCODER_FILES = {
    "am.mvn": "dc1dbdeeb8961f012161cfce31eaacaf",
    "paraformer-encoder.pth": "2ef398e80f9f3e87860df0451e82caa9",
}
LLM_NAME = "Qwen2-7B-Instruct"
LLM_FILES = {
    "model-00001-of-00004.safetensors": "d29bf5c5f667257e9098e3ff4eec4a02",
    "model-00002-of-00004.safetensors": "75d33ab77aba9e9bd856f3674facbd17",
    "model-00003-of-00004.safetensors": "bc941028b7343428a9eb0514eee580a3",
    "model-00004-of-00004.safetensors": "07eddec240f1d81a91ca13eb51eb7af3",
    "config.json": "8d67a66d57d35dc7a907f73303486f4e",
    "generation_config.json": "5949a57de5fd3148ac75a187c8daec7e",
    "merges.txt": "e78882c2e224a75fa8180ec610bae243",
    "tokenizer.json": "1c74fd33061313fafc6e2561d1ac3164",
    "tokenizer_config.json": "5c05592e1adbcf63503fadfe429fb4cc",
    "vocab.json": "613b8e4a622c4a2c90e9e1245fc540d6",
}


@dataclass(frozen=True)
class FileCheck:
    """One file and its md5; `wanted` is empty where none is published."""

    path: str
    md5: str
    wanted: str
    release: str = ""

    @property
    def good(self) -> bool:
        """Whether it is the published file, as far as one can know."""
        return self.wanted in ("", self.md5)

    def fault(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        if self.good:
            return ""
        return f"{self.path} has md5 {self.md5} instead of {self.wanted} ({self.release})"


def md5_of(path: Path) -> str:
    """Of a file, read in blocks."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): fetch it again") from None
    return digest.hexdigest()


def check_encoder(folder: Path) -> list[FileCheck]:
    """The encoder's files."""
    return _against(folder, ENCODER_FILES, "MooER's encoder")


def check_llm(folder: Path) -> list[FileCheck]:
    """The LLM's files, if it is the one that MooER names; other LLMs have no md5 here."""
    if folder.name != LLM_NAME:
        return []
    return _against(folder, LLM_FILES, LLM_NAME)


def check_task(folder: Path) -> list[FileCheck]:
    """The files of a task against the release that most of them are of.

    If none is of any, the files are compared with each release of the folder's name.
    """
    places = list(RELEASES[0].files)
    found = {place: md5_of(folder / place) for place in places if (folder / place).is_file()}
    release = max(RELEASES, key=lambda r: (_num_same(r, found), r.task == folder.name))
    if _num_same(release, found):
        name = f"{release.name} {release.task}"
        return [FileCheck(str(folder / p), m, release.files[p], name) for p, m in found.items()]
    checks = []
    for place, md5 in found.items():
        wanted = " or ".join(dict.fromkeys(r.files[place] for r in RELEASES))
        checks.append(FileCheck(str(folder / place), md5, wanted, "all known releases"))
    return checks


def _num_same(release: Release, found: Mapping[str, str]) -> int:
    return sum(release.files[place] == md5 for place, md5 in found.items())


def _against(folder: Path, files: Mapping[str, str], name: str) -> list[FileCheck]:
    present = {place: folder / place for place in files if (folder / place).is_file()}
    return [FileCheck(str(path), md5_of(path), files[p], name) for p, path in present.items()]
