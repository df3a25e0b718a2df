"""What a recipe may not say is refused in one sentence, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.train.stand import recipe

from mooer.config import from_mapping, read_yaml, to_mapping
from mooer.errors import ConfigError
from mooer.train.kinds import kind_of
from mooer.train.recipe import DataPart, Recipe, Source, differences

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_shipped_recipes_are_read(path: Path) -> None:
    kind = kind_of(path).recipe
    read = read_yaml(kind, path)
    assert from_mapping(kind, to_mapping(read)) == read


def refused(changes: dict[str, Any]) -> str:
    mapping = to_mapping(recipe())
    for path, value in changes.items():
        node: Any = mapping
        *outer, last = path.split(".")
        for part in outer:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[last] = value
    with pytest.raises(ConfigError) as caught:
        from_mapping(Recipe, mapping)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": []}, "stages is empty"),
        ({"stages.0.steps": 0}, "has 0 steps"),
        ({"stages.0.train": []}, "trains nothing"),
        ({"stages.0.train": ["lora"]}, "trains LoRA, but model.llm.lora is not set"),
        ({"stages.0.train": ["llm.*lora_A*"]}, "trains LoRA, but model.llm.lora is not set"),
        ({"stages.0.train": ["adaptor"]}, "matches no part of the model: did you mean adapter?"),
        ({"stages.0.train": ["adapter", "ctc"]}, "trains the CTC head, but its ctc_weight is 0"),
        ({"stages.0.ctc_weight": 0.3}, "add ctc to its train"),
        ({"stages.0.schedule.warmup_steps": 7}, "warms up for 7 of its 6 steps"),
        ({"stages.0.schedule.name": "cosin"}, "one of constant, linear, cosine, warmup_decay"),
        ({"stages.0.lr": 0.0}, "lr 0.0: it must be above 0"),
        ({"stages.0.accumulate": 0}, "accumulate 0"),
        ({"stages.0.stps": 3}, "unknown key stages.0.stps: did you mean steps?"),
        ({"model.encoder.name": "samn"}, "did you mean sanm?"),
        ({"model.adapter.name": "concatt"}, "did you mean concat?"),
        ({"model.template": "mooor"}, "did you mean mooer?"),
        ({"data.train": []}, "lists no manifest"),
        ({"data.train.0.task": "asrr"}, "has no task 'asrr'"),
        ({"data.train.0.weight": 0.0}, "must be above 0"),
        ({"data.augment.noises": ["a.wav"]}, "data.augment.wave is not set"),
        ({"data.limits.max_s": 0.01}, "max_s must be more than"),
        ({"checkpoints.merge_lora": True}, "merge_lora is set, but model.llm.lora is not"),
        ({"checkpoints.average": -1}, "average must be at least 0"),
        ({"parallel.strategy": "dpp"}, "must be one of none, ddp, fsdp, zero2, zero3"),
    ],
)
def test_contradictions(changes: dict[str, Any], message: str) -> None:
    assert message in refused(changes)


def test_two_stages_of_one_name() -> None:
    stage = to_mapping(recipe())["stages"][0]
    assert "two stages are named 'all'" in refused({"stages": [stage, stage]})


def test_the_whole_llm_and_lora_exclude_each_other() -> None:
    lora = {"rank": 2, "alpha": 4.0}
    assert "choose one" in refused({"model.llm.lora": lora})


def test_zero3_does_not_decode() -> None:
    sets = [{"name": "dev", "manifest": "x"}]
    message = refused({"parallel": {"strategy": "zero3"}, "validation": {"sets": sets}})
    assert "cannot decode" in message


def test_a_missing_file_comes_with_what_makes_it(tmp_path: Path) -> None:
    there = tmp_path / "a.jsonl"
    there.touch()
    data = DataPart((Source(str(there)), Source(str(tmp_path / "b.jsonl"))))
    recipe(data=data).check_files()  # it is told when they are opened
    whole = recipe(data=data, made_by="make.sh")
    with pytest.raises(ConfigError, match=r"b\.jsonl is missing: run make\.sh"):
        whole.check_files()
    (tmp_path / "b.jsonl").touch()
    whole.check_files()


def test_what_may_change_when_a_run_goes_on() -> None:
    assert differences(recipe(), recipe(tensorboard=True)) == []
    assert differences(recipe(), recipe(seed=1)) == ["seed"]
