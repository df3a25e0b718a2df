"""A llama.cpp of another layout must be refused, not believed."""

import ctypes
import re

import pytest

from mooer.engines import llama_library
from mooer.engines.llama_library import KNOWN_VERSIONS, Library
from mooer.errors import ModelError


@pytest.fixture
def path():
    return llama_library.llama_library().path


@pytest.mark.parametrize("kind", [ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p * 3])
@pytest.mark.parametrize("which", ["model", "context"])
def test_one_field_more_anywhere_is_noticed(path, which, kind):
    """As a later version would have it; what we read then lies where it did before."""
    library = ctypes.CDLL(path)  # whose functions have no types yet
    function = getattr(library, f"llama_{which}_default_params")
    known = getattr(llama_library, f"_{which.upper()}_FIELDS")
    last = max(i for i, field in enumerate(known) if field.default)
    for place in range(last + 1):  # what comes after is zero; of kv_unified the context is asked
        added = llama_library._Field("added", kind, None)
        changed = _layout(*known[:place], added, *known[place:])
        function.restype = changed
        if changed.rest.offset == _layout(*known).rest.offset:
            continue  # it fits where nothing was: nothing has moved
        with pytest.raises(ModelError, match=f"install xllamacpp {KNOWN_VERSIONS}"):
            llama_library.llama_library().check(function(), known)


def _layout(*fields):
    names = [(f.name, f.kind) for f in fields]
    rest = [("rest", llama_library._Spare)]
    return type("Layout", (ctypes.Structure,), {"_fields_": names + rest})


def test_a_function_that_is_missing_is_named(path, monkeypatch):
    functions = {**llama_library._FUNCTIONS, "llama_no_such_function": (None, ())}
    monkeypatch.setattr(llama_library, "_FUNCTIONS", functions)
    with pytest.raises(ModelError, match=r"it has no llama_no_such_function.*install xllamacpp"):
        Library(path)


def test_what_is_no_library(tmp_path):
    (tmp_path / "x.so").write_bytes(b"no")
    with pytest.raises(ModelError, match=re.escape(f"{tmp_path}/x.so cannot be loaded")):
        Library(str(tmp_path / "x.so"))
