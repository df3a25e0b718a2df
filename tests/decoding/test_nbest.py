"""N-best lists: their file, the formula over them, and weights by a grid."""

import pytest

from mooer.decoding.fusion import FusionOptions
from mooer.decoding.nbest import Candidate, NBest, read_nbest, write_nbest
from mooer.decoding.tuning import Grid, draw_tuned, tune
from mooer.errors import ConfigError, ManifestError

LISTS = [
    NBest(
        "one",
        (
            Candidate.of("打开空条", -1.0, {"lm": -9.0, "source": -3.0, "ilm": -2.0}),
            Candidate.of("打开空调", -2.0, {"lm": -4.0, "source": -3.0, "ilm": -2.0}),
            Candidate.of("打开", -2.5, {"lm": -3.0, "source": -1.0, "ilm": -1.0}),
        ),
        "zh",
        "打开空调。",
    ),
    NBest(
        "two",
        (
            Candidate.of("turn it on", -1.0, {"lm": -3.0, "source": -3.0, "ilm": -5.0}),
            Candidate.of("turn eat on", -1.5, {"lm": -8.0, "source": -9.0, "ilm": -7.0}),
        ),
        "en",
        "Turn it on",
    ),
]


def test_a_file_of_lists_comes_back(tmp_path):
    path = tmp_path / "n.jsonl"
    write_nbest(path, LISTS)
    assert read_nbest(path) == LISTS
    assert "打开空调" in path.read_text("utf-8")


def test_the_formula_ranks_candidates():
    first = LISTS[0]
    assert first.candidates[0].score({"lm": 0.5, "length": 2.0}) == -1.0 - 4.5 + 8.0
    assert first.ranked({})[0].text == "打开空条"
    weights = FusionOptions("density", 0.5, length_bonus=-0.5).weights
    assert first.ranked(weights)[0].text == "打开"
    weights = FusionOptions("density", 0.5, source_weight=0.8, length_bonus=-0.5).weights
    assert first.ranked(weights)[0].text == "打开空调"
    scored = first.scored("more", lambda texts: [float(len(text)) for text in texts])
    assert [one.scores["more"] for one in scored.candidates] == [4.0, 4.0, 2.0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no n-best list"),
        ('{"id": "a", "language": "zh", "nbest": []}', "no candidates"),
        (
            '{"id": "a", "language": "zh", "nbest": '
            '[{"text": "a", "logprob": NaN, "length": 1, "scores": {}}]}',
            "is no number",
        ),
        ('{"id": "a", "language": "zh", "nbest": [{"text": "a"}]}', "logprob"),
        ("", "holds no n-best list"),
    ],
)
def test_a_damaged_file_is_told(line, message, tmp_path):
    path = tmp_path / "n.jsonl"
    path.write_text(line + "\n" if line else "", "utf-8")
    with pytest.raises(ManifestError, match=message):
        read_nbest(path)
    with pytest.raises(ManifestError, match="cannot read"):
        read_nbest(tmp_path / "none.jsonl")


def test_the_grid_finds_the_weights_with_the_fewest_errors():
    grid = Grid(lm_weight=(0.0, 0.3, 5.0), length_bonus=(0.0, 1.0))
    found = tune(LISTS, "rescore", grid)
    assert found.options == FusionOptions("rescore", 0.3, length_bonus=0.0)
    assert (found.first_errors, found.num_errors, found.oracle_errors) == (1, 0, 0)
    assert found.num_tokens == 7
    assert len(found.points) == 6
    for options, errors in found.points:
        best = [one.ranked(options.weights)[0].text for one in LISTS]
        assert errors == (best[0] != "打开空调") * (2 if best[0] == "打开" else 1) + (
            best[1] != "turn it on"
        )


def test_among_equals_the_smallest_weights_are_taken():
    found = tune(LISTS[1:], "ilme", Grid(length_bonus=(1.0, 0.0, -0.5)))
    assert found.options == FusionOptions("ilme", 0.0, ilm_weight=0.0, length_bonus=0.0)


def test_weights_that_help_by_luck_are_none():
    helped = LISTS[0]  # one utterance of many is better with weights
    grid = Grid(lm_weight=(0.0, 0.3), length_bonus=(0.0,))
    lucky = tune([helped, *[LISTS[1]] * 9], "rescore", grid, max_p=0.1)
    assert lucky.p_value == pytest.approx(0.9**10, abs=0.05)  # no resample has it
    assert lucky.options == FusionOptions("rescore", 0.0)
    assert lucky.num_errors == 1
    sure = tune([helped] * 5, "rescore", grid, max_p=0.1)
    assert sure.p_value == 0
    assert sure.options.lm_weight == 0.3


def test_what_cannot_be_tuned_is_told():
    with pytest.raises(ConfigError, match="none has one"):
        tune([NBest("a", LISTS[0].candidates)], "shallow")
    with pytest.raises(ConfigError, match=r"candidates of a have no score 'ilm'"):
        tune([NBest("a", (Candidate.of("a", -1.0, {"lm": -1.0}),), "en", "a")], "ilme")
    with pytest.raises(ConfigError, match="at least one value"):
        Grid(lm_weight=())


def test_the_heat_map_is_a_picture():
    pytest.importorskip("matplotlib")
    picture = draw_tuned(tune(LISTS, "lodr", Grid(length_bonus=(0.0,))))
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000
