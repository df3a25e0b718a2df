"""Weights: a catalog, the places they come from, and a verified cache.

The modules are called `entries` and `cache`, not `catalog` and `fetch`, because a module and a
function of one name in one package shadow each other according to who is imported first.
"""

from __future__ import annotations

import os
from pathlib import Path

from mooer.store.cache import fetch, is_present, path, remove, verify
from mooer.store.defaults import default_model
from mooer.store.entries import Entry, File, Wheel, catalog, with_needs

SCHEME = "store:"


def located(path: str | os.PathLike[str]) -> Path:
    """A path; of `store:NAME` the folder of that model of the catalog, fetched if need be."""
    text = os.fspath(path)
    if text.startswith(SCHEME):
        return fetch(text.removeprefix(SCHEME))
    return Path(text).expanduser()


__all__ = [
    "Entry",
    "File",
    "Wheel",
    "catalog",
    "default_model",
    "fetch",
    "is_present",
    "located",
    "path",
    "remove",
    "verify",
    "with_needs",
]
