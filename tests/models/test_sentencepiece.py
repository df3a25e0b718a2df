"""Pieces to text and back against SentencePiece itself, whose numbers are stored."""

import pytest
from tests.models.sense_voice_folder import TOOL, read_golden

from mooer.errors import ModelError
from mooer.models.sentencepiece import Piece, Rules, SentencePiece, read_sentencepiece

SPACE = "\u2581"


@pytest.fixture(scope="module")
def golden():
    return read_golden()


@pytest.fixture(scope="module")
def library(golden, tmp_path_factory):
    path = tmp_path_factory.mktemp("pieces") / "small.bpe.model"
    path.write_bytes(golden["bpe_model"].tobytes())
    return read_sentencepiece(path)


def test_the_pieces_are_those_of_the_library(golden, library):
    assert [piece.text for piece in library.pieces] == golden["pieces"].tolist()


def test_text_is_cut_as_the_library_cuts_it(golden, library):
    for i, sentence in enumerate(TOOL.SENTENCES, len(TOOL.DECODED)):
        text = f"<|en|><|Speech|>{sentence}\u20ac"
        assert library.encode(text) == golden[f"ids_{i}"].tolist()
        assert library.decode(library.encode(text)) == str(golden[f"decoded_{i}"])


def test_spaces_are_squeezed_and_nothing_is_nothing(library):
    assert library.encode("  the   fox ") == library.encode("the fox")
    assert library.encode("") == library.encode("  ") == []


def test_what_each_piece_writes_joins_to_the_text(library):
    ids = library.encode("the fox\u20ac 今天")
    written = library.written(ids)
    assert len(written) == len(ids)
    assert "".join(written) == library.decode(ids) == "the fox\u20ac 今天"
    assert "" in written  # the first bytes of the sign


def small(*texts, **rules):
    pieces = [Piece("<unk>", kind=2), Piece("<|x|>", kind=4)]
    pieces += [Piece(text, score=-float(i)) for i, text in enumerate(texts)]
    return SentencePiece(pieces, Rules(**rules))


def test_the_better_score_is_joined_first_and_the_left_of_two():
    def cut(text, *pieces):
        library = small(*pieces, SPACE)
        return [library.pieces[i].text for i in library.encode(text)]

    assert cut("abc", "ab", "bc", "a", "b", "c") == [SPACE, "ab", "c"]
    assert cut("abc", "bc", "ab", "a", "b", "c") == [SPACE, "a", "bc"]
    assert cut("aaa", "aa", "a") == [SPACE, "aa", "a"]


def test_a_run_of_unknown_letters_is_one_piece():
    library = small("a", SPACE)
    assert library.encode("azz a") == [3, 2, 0, 3, 2]
    assert library.decode([2, 0]) == "a \u2047 "


def test_a_piece_over_two_words_is_found():
    library = small(f"a{SPACE}", "a", "b", SPACE, add_space=False)
    assert library.encode("a b") == [2, 4]


def test_labels_are_never_cut():
    library = small("<", "|", "x", ">", "a", add_space=False)
    assert library.encode("a<|x|>a") == [6, 1, 6]


def test_another_way_of_cutting_is_refused():
    with pytest.raises(ModelError, match="another way than by byte pairs"):
        small("a", is_bpe=False).encode("a")
