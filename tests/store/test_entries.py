"""The catalog is parsed strictly, and the one in the package is sound."""

from __future__ import annotations

import copy

import pytest

from mooer.errors import ConfigError, StoreError
from mooer.store import catalog
from mooer.store.entries import find, parse

GOOD = {
    "m": {
        "description": "a model",
        "tasks": ["asr"],
        "licence": "MIT",
        "homepage": "https://example.org",
        "hf": "org/m",
        "files": {
            "a.bin": {"size_bytes": 3, "sha256": "0" * 64, "wheels": ["p==1.0: p/data/a.bin"]}
        },
    }
}


def test_a_sound_entry():
    entry = parse(GOOD)["m"]
    assert entry.tasks == ("asr",)
    assert entry.modelscope is None
    assert entry.size_bytes == 3
    (file,) = entry.files
    assert (file.name, file.path) == ("a.bin", "a.bin")
    assert (file.wheels[0].package, file.wheels[0].member) == ("p", "p/data/a.bin")


def changed(*keys, value):
    raw = copy.deepcopy(GOOD)
    place = raw
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return raw


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (changed("m", "licens", value="MIT"), "unknown key 'licens': did you mean licence"),
        (changed("m", "files", "a.bin", "size", value=1), "did you mean size_bytes"),
        (changed("m", "files", "a.bin", value={"size_bytes": 1}), "missing sha256"),
        (changed("m", "files", "a.bin", "sha256", value="beef"), "64 hexadecimal"),
        (changed("m", "files", "a.bin", "size_bytes", value="1 MB"), "must be a number"),
        (changed("m", "files", "a.bin", "wheels", value=["p: x"]), "package==version: member"),
        (changed("m", "files", "../a", value=GOOD["m"]["files"]["a.bin"]), "no folder in it"),
        (changed("m", "files", ".stamp", value=GOOD["m"]["files"]["a.bin"]), "no folder in it"),
        (changed("../m", value=GOOD["m"]), "cannot be the name"),
        (changed("m", value="text"), "expected keys and values"),
    ],
)
def test_what_is_wrong_is_named(raw, said):
    with pytest.raises(ConfigError, match=said):
        parse(raw)


def test_catalog_of_the_package():
    models = catalog()
    assert {"whisper-base", "whisper-tiny.en", "qwen2.5-0.5b", "silero-vad"} <= set(models)
    for entry in models.values():
        assert entry.licence
        assert entry.tasks
        for file in entry.files:
            assert entry.shipped or entry.hf or file.wheels or file.npm, (
                f"{entry.name}/{file.name} comes from nowhere"
            )


def test_unknown_name_names_the_nearest():
    with pytest.raises(StoreError, match="did you mean whisper-base"):
        find("whisper-bas")
