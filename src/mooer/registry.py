"""Tables of named implementations, imported only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from mooer.errors import ConfigError, did_you_mean


class Table(Mapping[str, str]):
    """Name -> "module:attribute"; `load` imports it. Packages add rows by entry points.

    The entry-point group of a table is `mooer.` + its name, so that a third-party package can
    add an engine without a change here.

    >>> Table("codec", {"json": "json:JSONEncoder"}).load("json").__name__
    'JSONEncoder'
    """

    def __init__(self, name: str, rows: Mapping[str, str]) -> None:
        self.name = name
        self._rows = dict(rows)

    def _all(self) -> dict[str, str]:
        plugins = {e.name: e.value for e in entry_points(group=f"mooer.{self.name}")}
        return {**plugins, **self._rows}

    def __getitem__(self, name: str) -> str:
        rows = self._all()
        if name not in rows:
            raise ConfigError(f"unknown {self.name} {name!r}: {did_you_mean(name, rows)}")
        return rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def load(self, name: str) -> Any:
        """Import and return what stands behind `name`; ConfigError names the nearest one."""
        module, _, attribute = self[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
