"""Entry point of the `mooer` command."""

from __future__ import annotations
