"""Phrases that must stay as they were said: how many of them an inverse text normalisation changes.

    pip install wetext
    python bench/written.py

The phrases are those of tests/test_text_written.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mooer.text import to_written

CASES = Path(__file__).parent.parent / "tests" / "test_text_written.py"


def main() -> None:
    spec = importlib.util.spec_from_file_location("cases", CASES)
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    phrases = {
        "zh": cases.CHINESE_STAYS.split(),
        "en": cases.ENGLISH_STAYS.strip().replace("\n", "|").split("|"),
    }
    from wetext import Normalizer

    for language, said in phrases.items():
        wetext = Normalizer(lang=language, operator="itn").normalize
        ours = partial(to_written, language=language)
        print(f"{language}: {len(said)} phrases; mooer changes {len(changed(ours, said))}")
        found = changed(wetext, said)
        print(f"    wetext changes {len(found)}: {'; '.join(found)}")


def changed(write: Callable[[str], str], phrases: list[str]) -> list[str]:
    return [f"{p} -> {new}" for p in phrases if (new := write(p)) != p]


if __name__ == "__main__":
    main()
