"""The labelled questions of bench/knowledge.py: they ask for sections that are there."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "knowledge", raising=False)
    import knowledge

    return knowledge


def test_every_question_has_a_section_that_is_there(bench, tmp_path):
    asked = bench.questions()
    assert len(asked) == 60
    assert sum(one["language"] == "zh" for one in asked) == 30
    known = bench.sections(bench.linked(tmp_path / "documents"))
    missing = {section for one in asked for section in one["sources"]} - known
    assert not missing
