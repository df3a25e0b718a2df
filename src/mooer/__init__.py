"""Speech large language models: recognise, translate, understand, answer.

>>> import mooer
>>> model = mooer.load()                                   # doctest: +SKIP
>>> model.transcribe("talk.mp3").text                      # doctest: +SKIP
'欢迎大家来体验…'
>>> print(model.translate("talk.mp3", to="en").render("srt"))   # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# onnxruntime's wheels tell Microsoft of their use unless this is set before they are loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# llama.cpp's threads wait for each other hundreds of times a token, and spin for it too long: one
# that has lost its core to other work keeps the rest from doing anything. Read by libgomp.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

if TYPE_CHECKING:
    from mooer.errors import MooerError
    from mooer.infer import Model, RecognizeOptions, listen, load, load_glossary
    from mooer.transcript import Segment, Transcript, Word

_FACE = {  # name -> module; imported at first use, so that `import mooer` is quick
    "Model": "mooer.infer",
    "MooerError": "mooer.errors",
    "RecognizeOptions": "mooer.infer",
    "Segment": "mooer.transcript",
    "Transcript": "mooer.transcript",
    "Word": "mooer.transcript",
    "listen": "mooer.infer",
    "load": "mooer.infer",
    "load_glossary": "mooer.infer",
}

__all__ = [
    "Model",
    "MooerError",
    "RecognizeOptions",
    "Segment",
    "Transcript",
    "Word",
    "__version__",
    "listen",
    "load",
    "load_glossary",
]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'mooer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
