"""Heads by `mooer train`: they learn, go on to the bit, and come out as what runs without torch."""

import json

import numpy as np
import pytest
import yaml
from tests.models.rich import UNITS, whisper_folder

from mooer.cli.main import main
from mooer.config import from_mapping
from mooer.engines.rich import Rich
from mooer.errors import ConfigError, ModelError
from mooer.text.units import units_text
from mooer.train import checkpoint, journal
from mooer.train.rich.build import build, network
from mooer.train.rich.recipe import RichRecipe
from mooer.train.rich.validate import macro_f1

WIDTH = 16
CODES = {"你": 0, "好": 1, "a": 2, " ": 3}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return whisper_folder(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Stored frames that tell what is said, who says it, and whether it rains."""
    folder = tmp_path_factory.mktemp("frames")
    random = np.random.default_rng(0)
    codes = 2 * random.standard_normal((len(CODES), WIDTH))
    parts, rows, first = [], [], 0
    for number in range(24):
        said = random.choice(["你", "好", "a"], 1 + number % 3, replace=False)
        rain, sad = number % 2, number // 2 % 2
        spelled = [" ", *(letter for word in said for letter in (word, " "))]
        values = np.repeat(codes[[CODES[c] for c in spelled]], 4, 0)
        values = values + 0.1 * random.standard_normal(values.shape)
        values[:, 0], values[:, 1] = 3 * rain, 3 * sad
        words = [[w, 0.08 * (2 * i + 1), 0.08 * (2 * i + 2)] for i, w in enumerate(said)]
        rows.append(
            {
                "id": f"u{number}",
                "audio": "0.npy",
                "duration": len(values) * 0.02,
                "text": " ".join(said),
                "language": "zh",
                "emotion": "sad" if sad else "happy",
                "event": "rain" if rain else "none",
                "words": words,
                "stored": [first, len(values), len(values) * 320],
            }
        )
        parts.append(values)
        first += len(values)
    np.save(folder / "0.npy", np.concatenate(parts).astype(np.float16))
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "units.txt").write_text(units_text(UNITS), "utf-8")
    return folder


def recipe(encoder, frames, **changes):
    train = {"manifest": str(frames / "list.jsonl")}
    sets = [{"name": "zh", **train, "metric": "cer"}, {"name": "all", **train, "metric": "labels"}]
    return {
        "kind": "rich",
        "model": {
            "encoder": str(encoder),
            "layers": 2,
            "speller": {
                "units": str(frames / "units.txt"),
                "width": 24, "num_blocks": 1, "kernel": 3, "ffn_width": 32,
                "embedding_width": 16, "dropout": 0.0,
            },
            "labeller": {
                "classes": {"emotion": ["happy", "sad"]},
                "events": ["rain"],
                "width": 12, "hidden_width": 8, "dropout": 0.1,
            },
        },
        "data": {
            "train": [train],
            "budget": {"max_frames": 400, "max_utterances": 8},
            "limits": {"min_s": 0.01},
            "num_workers": 0,
        },
        "stages": [
            {
                "name": "all", "train": ["speller", "labeller"], "steps": 60, "lr": 0.02,
                "ctc_weight": 0.2,
            }
        ],
        "validation": {"sets": sets, "every_steps": 30},
        "checkpoints": {"every_steps": 20, "average": 2},
        "parallel": {"device": "cpu", "num_threads": 1},
        **changes,
    }  # fmt: skip


def train(tmp_path, name, content, *arguments):
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    return main(["train", str(path), "--out", str(tmp_path / name), *arguments])


def test_it_learns_and_comes_out_without_torch(encoder, frames, tmp_path, capsys):
    assert train(tmp_path, "run", recipe(encoder, frames)) == 0
    rows = list(journal.read(tmp_path / "run"))
    scores = {row["validation"]: row for row in rows if "validation" in row}
    assert scores["zh"]["cer"] < 0.1
    assert scores["all"]["labels"] < 0.1
    assert scores["all"]["emotion_f1"] > 0.9
    losses = [row["loss"] for row in rows if "loss" in row and "validation" not in row]
    assert losses[-1] < 0.5 * losses[0]
    folders = capsys.readouterr().out.split()
    assert [folder.rpartition("/")[2] for folder in folders] == ["last", "best", "average"]
    rich = Rich(tmp_path / "run" / "best", encoder, num_threads=1)
    sound = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) / 9
    assert rich.log_probs(sound).shape == (50, 1 + len(UNITS))
    assert rich.labels(sound).emotion.name in ("happy", "sad")


def test_a_resumed_run_is_the_same_to_the_bit(encoder, frames, tmp_path, capsys):
    content = recipe(encoder, frames)
    content["stages"][0]["steps"] = 30
    assert train(tmp_path, "whole", content) == 0
    assert train(tmp_path, "parts", content) == 0
    checkpoint.prune(tmp_path / "parts" / "checkpoints", {20})  # as if it had been killed
    assert train(tmp_path, "parts", content, "--resume") == 0
    whole, parts = (
        checkpoint.newest(tmp_path / name / "checkpoints") / "trained.safetensors"
        for name in ("whole", "parts")
    )
    assert whole.read_bytes() == parts.read_bytes()


def test_a_run_goes_on_from_another_ones_model(encoder, frames, tmp_path, capsys):
    content = recipe(encoder, frames, validation={})
    content["stages"][0]["steps"] = 2
    assert train(tmp_path, "first", content) == 0
    started = {**content, "start": str(tmp_path / "first" / "last")}
    model = network(from_mapping(RichRecipe, started))
    tensors = checkpoint.read_tensors(tmp_path / "first" / "last" / "heads.safetensors")
    own = model.state_dict()
    assert all((own[name] == tensor).all() for name, tensor in tensors.items())
    started["model"]["speller"]["width"] = 20
    with pytest.raises(ModelError, match="does not fit the speller"):
        network(from_mapping(RichRecipe, started))


def test_the_position_in_the_data_is_plain(encoder, frames):
    parts = build(from_mapping(RichRecipe, recipe(encoder, frames)))
    stream = parts.stream(None)
    _, after = next(stream)
    wanted = [e.utterance.id for e in next(stream)[0]]
    assert [e.utterance.id for e in next(parts.stream(json.loads(json.dumps(after))))[0]] == wanted


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stages": []}, "stages is empty"),
        ({"data": {}}, "lists no manifest"),
        ({"parallel": {"strategy": "ddp"}}, "must be none"),
        ({"stages": [{"name": "a", "train": ["adapter"], "steps": 1}]}, "matches no part"),
        ({"stages": [{"name": "a", "train": [], "steps": 1}]}, "trains nothing"),
        ({"stages": [{"name": "a", "train": ["speller"], "steps": 0}]}, "has 0 steps"),
        (
            {"stages": [{"name": "a", "train": ["speller"], "steps": 1, "answer_weight": 0}]},
            "learns from nothing",
        ),
        (
            {"validation": {"sets": [{"name": "a", "manifest": "b", "metric": "bleu"}]}},
            "bleu is for speech LLMs",
        ),
    ],
)
def test_what_cannot_be_is_refused(encoder, frames, changes, told):
    with pytest.raises(ConfigError, match=told):
        from_mapping(RichRecipe, recipe(encoder, frames, **changes))


def test_a_part_that_is_not_there_cannot_learn(encoder, frames):
    content = recipe(encoder, frames)
    del content["model"]["speller"]
    with pytest.raises(ConfigError, match=r"error rate of words, but model\.speller is not set"):
        from_mapping(RichRecipe, content)
    content["validation"] = {}
    with pytest.raises(ConfigError, match=r"ctc_weight 0\.2, but model\.speller is not set"):
        from_mapping(RichRecipe, content)
    content["stages"][0]["ctc_weight"] = 0
    with pytest.raises(ConfigError, match=r"trains the speller, but model\.speller is not set"):
        from_mapping(RichRecipe, content)


def test_macro_f1_counts_each_class_alike():
    assert macro_f1([(0, 0)] * 9 + [(1, 0)]) == pytest.approx((18 / 19) / 2)
