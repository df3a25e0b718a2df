"""Weights: a catalog, the places they come from, and a verified cache.

The modules are called `entries` and `cache`, not `catalog` and `fetch`, because a module and a
function of one name in one package shadow each other according to who is imported first.
"""

from __future__ import annotations

from mooer.store.cache import fetch, is_present, path, remove, verify
from mooer.store.entries import Entry, File, Wheel, catalog

__all__ = [
    "Entry",
    "File",
    "Wheel",
    "catalog",
    "fetch",
    "is_present",
    "path",
    "remove",
    "verify",
]
