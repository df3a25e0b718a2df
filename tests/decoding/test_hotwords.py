"""Hotwords: lists that people write, and what the prefix tree adds and takes back."""

import itertools

import numpy as np
import pytest
from tests.decoding.test_prefixes import EXACT, every_text, log_probs

from mooer.decoding.hotwords import (
    Boost,
    Hotword,
    given_hotwords,
    parse_hotwords,
    prompt_line,
    read_hotwords,
)
from mooer.decoding.prefixes import prefix_search
from mooer.errors import ConfigError


def listed(tmp_path, text):
    path = tmp_path / "words.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_hotwords(path)


def test_a_list_as_people_write_it(tmp_path):
    text = "\ufeff# names\n\nMooER 2\r\n摩尔线程\nNew York\t1.5\nGPT 4\t\n  C#  \nmower -1\n李 .5\n"
    assert listed(tmp_path, text) == (
        Hotword("MooER", 2.0),
        Hotword("摩尔线程", 1.0),
        Hotword("New York", 1.5),
        Hotword("GPT 4", 1.0),
        Hotword("C#", 1.0),
        Hotword("mower", -1.0),
        Hotword("李", 0.5),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lists no hotwords"),
        ("# only a remark\n", "lists no hotwords"),
        ("good\nMooER\ttwo\n", "line 2: 'two' after the tab is no weight"),
        ("MooER 99\n", "line 1: the weight of the hotword 'MooER' must be between"),
        ("MooER 0\n", "not 0"),
        ("\t2\n", "line 1: a hotword must have letters"),
        ("MooER\nQwen\nMooER 2\n", "line 3: 'MooER' comes twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read(tmp_path, text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        listed(tmp_path, text)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the hotwords"):
        read_hotwords(tmp_path / "none.txt")


def test_phrases_or_a_file_of_them(tmp_path):
    (tmp_path / "names.txt").write_text("MooER 2\n")
    assert given_hotwords(str(tmp_path / "names.txt")) == (Hotword("MooER", 2.0),)
    assert given_hotwords("MooER, Qwen") == "MooER, Qwen"
    assert given_hotwords("long, " * 200) == "long, " * 200
    assert given_hotwords("") == ""
    with pytest.raises(ConfigError, match="no such file of hotwords"):
        given_hotwords(str(tmp_path / "nmaes.txt"))


def test_a_line_of_a_prompt_has_the_heaviest_words_last():
    words = [Hotword(f"word{i}", 1 + i / 100) for i in range(90)]
    line = prompt_line(words)
    assert line.endswith("word88, word89")
    assert len(line) <= 300
    assert "word5," not in line
    assert prompt_line(parse_hotwords("")) == ""


# --- the tree -------------------------------------------------------------------------------------


def total(boost, text):
    state, added = boost.start(), 0.0
    for unit in text:
        bonus, state = boost.advance(state, unit)
        added += bonus
    return added + boost.finish(state)


def occurrences(text, phrase):
    return sum(text[i : i + len(phrase)] == phrase for i in range(len(text)))


def test_a_text_has_what_its_phrases_are_worth():
    """Phrases of which none begins another or stands in one: every one counts, whole."""
    phrases = {(1, 2, 3): 1.0, (2, 1): 0.5, (4, 4, 1): 2.0}
    boost = Boost(phrases.items())
    for text in itertools.product((1, 2, 3, 4), repeat=6):
        worth = sum(len(p) * w * occurrences(text, p) for p, w in phrases.items())
        assert total(boost, text) == pytest.approx(worth), text


def test_what_was_added_for_a_beginning_is_taken_back():
    boost = Boost([((1, 2, 3, 4), 1.5)])
    added = [boost.advance(0, 1)]
    added.append(boost.advance(added[-1][1], 2))
    added.append(boost.advance(added[-1][1], 3))
    assert [bonus for bonus, _ in added] == [1.5, 1.5, 1.5]
    assert boost.advance(added[-1][1], 9) == (-4.5, 0)
    assert boost.advance(added[-1][1], 1) == (-3.0, added[0][1])
    assert boost.finish(added[-1][1]) == -4.5


def test_a_phrase_that_begins_another_is_kept():
    boost = Boost([((1, 2), 1.0), ((1, 2, 3, 4), 1.0)])
    assert total(boost, (1, 2, 3, 9)) == 2.0
    assert total(boost, (1, 2, 3, 4)) == 4.0
    assert total(boost, (1, 2)) == 2.0


def test_a_phrase_inside_another_is_found_when_the_other_is_not():
    boost = Boost([((1, 2, 3, 4), 1.0), ((2, 3), 1.0)])
    assert total(boost, (1, 2, 3, 9)) == 2.0
    assert total(boost, (2, 3)) == 2.0


def test_what_would_be_added_is_what_is_added():
    generator = np.random.default_rng(0)
    boost = Boost([((1, 2, 3), 1.0), ((2, 3, 3), 0.5), ((3, 1), -1.0), ((1, 2), 0.25)])
    for _ in range(50):
        said = generator.integers(0, 5, generator.integers(0, 6)).tolist()
        state = 0
        for unit in said:
            state = boost.advance(state, unit)[1]
        scores = np.zeros(6, np.float32)
        boost.add_to(scores, said, takes_back=True)
        assert scores == pytest.approx([boost.advance(state, unit)[0] for unit in range(6)])
        bias = boost.bias(said)
        assert bias.others == scores[5]


def test_one_text_alone_is_only_drawn():
    boost = Boost([((1, 2, 3), 1.5)])
    scores = np.zeros(5, np.float32)
    boost.add_to(scores, [1, 2], takes_back=False)
    assert scores.tolist() == [0, 1.5, 0, 1.5, 0]


def test_all_spellings_count():
    words = [Hotword("ab", 2.0), Hotword("c", -1.0)]
    boost = Boost.of(words, {"ab": [(1, 2), (7, 8, 9)], "c": [(5,)]}.get, 0.5)
    assert total(boost, (1, 2)) == 2.0
    assert total(boost, (7, 8, 9)) == 3.0
    assert total(boost, (5, 7)) == -0.5
    assert boost.num_nodes == 7


@pytest.mark.parametrize("seed", range(4))
def test_the_search_finds_the_best_text_with_its_bonus(seed):
    rows = log_probs(6, 4, seed)
    boost = Boost([((1, 2, 1), 1.2), ((3, 3), 0.8), ((2, 3), -1.0)])
    wanted = {t: np.log(p) + total(boost, t) for t, p in every_text(rows, 0).items()}
    best = prefix_search(rows, 0, EXACT, [boost])[0]
    assert best.units == max(wanted, key=wanted.get)
    assert best.score == pytest.approx(wanted[best.units], abs=1e-4)


def test_a_name_is_heard_because_it_is_expected():
    rows = np.full((6, 5), np.log(0.02), np.float32)
    for frame, (likely, rare) in enumerate([(1, 1), (0, 0), (2, 3), (0, 0), (4, 4), (0, 0)]):
        rows[frame, rare] = np.log(0.3)
        rows[frame, likely] = np.log(0.6)
    assert prefix_search(rows, 0)[0].units == (1, 2, 4)
    expected = Boost([((1, 3, 4), 0.5)])
    assert prefix_search(rows, 0, scorers=[expected])[0].units == (1, 3, 4)
