"""Regressions on means: they find what can be told, and run without torch as they were fitted."""

import numpy as np
import pytest
import torch
from tests.models.rich import whisper_folder

from mooer.engines.rich import Rich
from mooer.engines.rich_heads import RegressionHead
from mooer.errors import ConfigError, ModelError
from mooer.tasks.rich import LabellerConfig, RegressionConfig, RichConfig
from mooer.train.rich.regression import fit, save

CONFIG = RegressionConfig(
    layers=(1, 2),
    classes={"gender": ("female", "male"), "language": ("zh", "en", "other")},
    events=("rain", "train"),
)
WIDTH = 6


def clips(num=200):
    """Means whose first number says the gender, the next the language, two the events."""
    means = np.random.default_rng(0).normal(size=(num, WIDTH)).astype(np.float32)
    means[:, 4] *= 100  # of another size, and of no use
    gender = [("female", "male")[int(row[0] > 0)] for row in means]
    language = [("zh", "en", "other")[int(np.searchsorted([-0.5, 0.5], row[1]))] for row in means]
    events = [
        tuple(n for n, on in zip(CONFIG.events, row[2:4] > 0, strict=True) if on) for row in means
    ]
    return means, {"gender": gender, "language": language}, events


def test_what_can_be_told_is_told(tmp_path):
    means, classes, events = clips()
    unknown = {name: [None, *labels[1:]] for name, labels in classes.items()}
    save(fit(means, unknown, [None, *events[1:]], CONFIG, decay=1e-4), CONFIG, tmp_path)
    head = RegressionHead(tmp_path / "labeller.safetensors", CONFIG, WIDTH)
    heard = [head(row[None]) for row in means]
    for name, known in CONFIG.classes.items():
        said = [known[int(one.classes[name].argmax())] for one in heard]
        assert np.mean([a == b for a, b in zip(said, classes[name], strict=True)]) > 0.95
    there = np.array([[name in one for name in CONFIG.events] for one in events])
    assert np.mean((np.array([one.events for one in heard]) > 0.5) == there) > 0.95


def test_a_recording_is_the_mean_of_its_frames_and_an_event_has_its_time(tmp_path):
    means, classes, events = clips()
    save(fit(means, classes, events, CONFIG), CONFIG, tmp_path)
    head = RegressionHead(tmp_path / "labeller.safetensors", CONFIG, WIDTH)
    frames = np.zeros((300, WIDTH), np.float32)
    frames[:, 2] = np.repeat([-3.0, 6.0, -3.0], 100)  # rain in the third second
    heard = head(frames)
    assert heard.frames.shape == (300, 2)
    assert heard.frames[150, 0] > 0.9
    assert heard.frames[[10, 290], 0].max() < 0.1
    np.testing.assert_allclose(
        heard.classes["gender"], head(frames.mean(0, keepdims=True)).classes["gender"], rtol=1e-4
    )
    with pytest.raises(ModelError, match="no frames"):
        head(frames[:0])


def test_a_folder_reads_its_layers_side_by_side(tmp_path):
    encoder = whisper_folder(tmp_path / "whisper")
    names = {f"heads.{name}": len(classes) for name, classes in CONFIG.classes.items()}
    torch.manual_seed(0)
    tensors = {}
    for name, num in {**names, "events": 2}.items():
        tensors |= {f"{name}.weight": torch.randn(num, 32), f"{name}.bias": torch.randn(num)}
    save(tensors, CONFIG, tmp_path / "rich")
    rich = Rich(tmp_path / "rich", encoder, compute_type="float32", num_threads=1)
    samples = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) / 9
    scores = tensors["heads.gender.weight"].numpy() @ rich.means(samples)
    scores += tensors["heads.gender.bias"].numpy()
    wanted = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(rich.hear(samples).classes["gender"], wanted, atol=1e-5)
    assert rich.labels(samples).emotion is None
    with pytest.raises(ModelError, match="no speller"):
        rich.log_probs(samples)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gender": ["robot"] * 200}, "gender has no class robot: it has female, male"),
        ({"gender": [None] * 200}, "no recording has a label of gender"),
    ],
)
def test_labels_that_do_not_fit(change, told):
    means, classes, events = clips()
    with pytest.raises(ConfigError, match=told):
        fit(means, classes | change, events, CONFIG)


def test_options_that_make_no_sense():
    with pytest.raises(ConfigError, match="unknown head 'mood'"):
        RegressionConfig(classes={"mood": ("a", "b")})
    with pytest.raises(ConfigError, match="numbers from 1 on"):
        RegressionConfig(layers=())
    with pytest.raises(ConfigError, match="leave one out"):
        RichConfig(labeller=LabellerConfig(), regression=CONFIG)
