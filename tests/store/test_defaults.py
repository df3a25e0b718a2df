"""The default model is the one whose figures are nowhere worse."""

from __future__ import annotations

import pytest

from mooer.errors import ConfigError
from mooer.store import catalog, default_model
from mooer.store.defaults import Candidate, best, candidates

BASE = Candidate("base", {"zh_cer": 10.0, "en_wer": 5.0, "bleu": 7.0})


@pytest.mark.parametrize(
    ("zh_cer", "en_wer", "bleu", "chosen"),
    [
        (10.0, 5.0, 7.0, "mini"),
        (9.0, 4.0, 8.0, "mini"),
        (9.0, 5.1, 8.0, "base"),
        (9.0, 4.0, 6.9, "base"),
    ],
)
def test_less_of_an_error_rate_and_more_of_a_score_is_better(zh_cer, en_wer, bleu, chosen):
    mini = Candidate("mini", {"zh_cer": zh_cer, "en_wer": en_wer, "bleu": bleu})
    assert best([BASE, mini]) == chosen


def test_a_third_is_measured_against_the_one_chosen_before():
    better = Candidate("better", {"bleu": 9.0})
    between = Candidate("between", {"bleu": 8.0})
    assert best([Candidate("base", {"bleu": 7.0}), better, between]) == "better"


def test_what_was_not_measured_is_not_chosen_in_silence():
    with pytest.raises(ConfigError, match="mini lacks the figure en_wer of base: measure it"):
        best([BASE, Candidate("mini", {"zh_cer": 1.0})])


def test_the_table_names_models_that_are_there():
    named = {candidate.model for found in candidates().values() for candidate in found}
    assert named <= catalog().keys()
    assert set(candidates()) == {"asr", "ast", "ast_zh"}


def test_both_at_once_is_chosen_by_the_translation():
    assert default_model("asr_ast") == default_model("ast")
    assert default_model("asr_ast_zh") == default_model("ast_zh")


def test_an_unknown_task_is_told():
    with pytest.raises(ConfigError, match="no model is the default for task 'asrr'"):
        default_model("asrr")
