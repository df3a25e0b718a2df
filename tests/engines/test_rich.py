"""Heads without torch beside those in torch, spans of events, folders that are none."""

import numpy as np
import pytest
import torch
from tests.models.rich import LABELLER, SPELLER, rich_model, whisper_folder

from mooer.engines.rich import Rich, spans
from mooer.errors import ModelError
from mooer.train.rich.build import encoder_tensors
from mooer.train.rich.export import save


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return whisper_folder(tmp_path_factory.mktemp("whisper"))


def saved(encoder, folder, layers=2, **parts):
    model = rich_model(encoder, layers, **parts)
    tensors = encoder_tensors(model.encoder, encoder)
    if layers == 1:
        tensors = {n: t for n, t in tensors.items() if not n.startswith("layers.1.")}
    model.encoder.load_state_dict(tensors)
    folder.mkdir(parents=True)
    save(model, folder)
    return model


@pytest.fixture(scope="module")
def both(encoder, tmp_path_factory):
    """A folder with a speller and a labeller on different layers, and the models in torch."""
    folder = tmp_path_factory.mktemp("rich")
    speller = saved(encoder, folder / "speller", speller=SPELLER)
    labeller = saved(encoder, folder / "labeller", layers=1, labeller=LABELLER)
    return folder, speller, labeller


def sound(seconds):
    return np.random.default_rng(0).standard_normal(round(16_000 * seconds)).astype(np.float32) / 9


@torch.no_grad()
def hear(model, samples):
    features = model.encoder.frontend(samples)
    return model.hear(torch.from_numpy(features)[None], torch.tensor([len(features)]))


@pytest.mark.parametrize("seconds", [0.11, 0.5, 1.93])
def test_parity(both, encoder, seconds):
    folder, in_torch, labeller = both
    rich = Rich(folder, encoder, compute_type="float32", num_threads=1)
    samples = sound(seconds)
    hidden, lengths = hear(in_torch, samples)
    with torch.no_grad():
        expected = in_torch.speller(hidden, lengths)[0].numpy()
        told = labeller.labeller(*hear(labeller, samples))
    found = rich.log_probs(samples)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(found, expected, atol=0.03)  # float16 in between
    heard = rich.hear(samples)
    for name, scores in told.classes.items():
        np.testing.assert_allclose(heard.classes[name], scores.softmax(-1)[0], atol=0.01)
    np.testing.assert_allclose(heard.frames, told.frames[0].sigmoid(), atol=0.01)
    np.testing.assert_allclose(heard.events, told.events[0].sigmoid(), atol=0.01)
    labels = rich.labels(samples)
    assert labels.emotion.name == ("happy", "sad", "angry")[int(told.classes["emotion"].argmax())]
    assert 1 / 3 <= labels.emotion.probability <= 1
    assert labels.gender is None


def test_it_is_a_ctc_model(both, encoder):
    rich = Rich(both[0], encoder, num_threads=1)
    assert (rich.frame_s, rich.blank) == (0.02, 0)
    assert rich.spell("你abc") == (1, 4, 5, 6)
    assert rich.spell("24") == ()
    assert len(rich.log_probs(sound(0.01))) == 5  # silence is added, up to 0.1 s


def test_one_part_alone(both, encoder, tmp_path):
    folder = both[0]
    speller = Rich(folder / "speller", encoder, num_threads=1)
    assert speller.spell("你") == (1,)
    with pytest.raises(ModelError, match="no labeller: it spells alone"):
        speller.labels(sound(1))
    labeller = Rich(folder / "labeller", encoder, num_threads=1)
    assert labeller.spell("你") == ()
    with pytest.raises(ModelError, match="no speller"):
        labeller.log_probs(sound(1))
    with pytest.raises(ModelError, match=r"is no rich model: it holds no rich\.yaml"):
        Rich(tmp_path, encoder)


def test_weights_of_other_sizes_are_refused(both, encoder, tmp_path):
    saved(encoder, tmp_path / "speller", speller=SPELLER)
    lines = (tmp_path / "speller" / "units.txt").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "speller" / "units.txt").write_text("".join(lines[:-1]), "utf-8")
    with pytest.raises(ModelError, match=r"table\.weight has \[7, 8\] instead of \[6, 8\]"):
        Rich(tmp_path, encoder)


def test_events_are_where_the_smoothed_curve_is_high():
    frames = np.zeros((200, 2), np.float32)
    frames[50:100, 0] = frames[115:150, 0] = 0.9  # a pause of 0.3 s is none
    frames[10:12, 1] = 1.0  # a click is nothing
    [event] = spans(frames, ("rain", "cry"), 0.02, 0.5)
    assert event.name == "rain"
    assert event.start_s == pytest.approx(1.0, abs=0.05)
    assert event.end_s == pytest.approx(3.0, abs=0.05)
    assert event.probability == pytest.approx(0.9)
    frames[150:, 1] = 0.8
    assert [e.name for e in spans(frames, ("rain", "cry"), 0.02, 0.5)] == ["rain", "cry"]
    assert spans(frames[:0], ("rain", "cry"), 0.02, 0.5) == ()
    assert [e.name for e in spans(frames[60:61], ("rain", "cry"), 0.02, 0.5)] == ["rain"]
