"""Speech large language models: recognise, translate, understand, answer."""

from __future__ import annotations

__version__ = "0.1.0"
