"""Released checkpoints of speech LLMs: what a folder is, whether it is whole, and its loading.

The layouts are described in docs/checkpoints.md. Reading is strict and runs no code of a file.
"""

from mooer.models.released.checksums import RELEASES, FileCheck, Release
from mooer.models.released.load import ReleasedOptions, load_released
from mooer.models.released.report import Report, inspect

__all__ = [
    "RELEASES",
    "FileCheck",
    "Release",
    "ReleasedOptions",
    "Report",
    "inspect",
    "load_released",
]
