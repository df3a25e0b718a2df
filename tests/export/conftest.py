"""What the tests of exports share."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tests.export.saved import save_speech_llm

from mooer.export.gguf import export_gguf


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small model: its folder, its network, and its export in float32."""
    root = tmp_path_factory.mktemp("small")
    folder, network = save_speech_llm(root)
    exported = export_gguf(folder, root / "out", ["f32", "f16", "q8_0"])
    return SimpleNamespace(folder=folder, network=network, exported=exported, root=root)


@pytest.fixture(scope="session")
def tone():
    """Two seconds of a loud chirp, 16 kHz."""
    t = torch.arange(32_000) / 16_000
    return (0.7 * torch.sin(600 * t * (1 + 2 * t))).numpy()
