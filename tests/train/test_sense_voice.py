"""Fine-tuning of SenseVoice: its losses against those of the funasr package, and a whole run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fakes import LoudnessVad, speech
from tests.models import sense_voice_folder
from tests.models.sense_voice_folder import TOOL, golden_network, read_golden

from mooer.audio.wave import write_wave
from mooer.batch import IGNORE, Batch
from mooer.config import from_mapping, read_yaml
from mooer.data.supervision import Utterance
from mooer.errors import ConfigError, ManifestError
from mooer.infer.sense_voice import load_sense_voice
from mooer.models.released import inspect
from mooer.models.sense_voice import load
from mooer.models.sense_voice_folder import VOCABULARY
from mooer.models.sense_voice_labels import LANGUAGE_QUERIES, STYLE_QUERIES, read_vocabulary
from mooer.train.kinds import kind_of
from mooer.train.losses import Scales
from mooer.train.run import Run
from mooer.train.sense_voice.build import labels_of
from mooer.train.sense_voice.losses import SenseVoiceGoal
from mooer.train.sense_voice.recipe import SenseVoiceModel, SenseVoiceRecipe

RECIPE = Path(__file__).parents[2] / "recipes" / "sense-voice.yaml"
TEXTS = ("the quick brown fox", "she sells sea shells", "今天天气很好", "我们去公园散步")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sense_voice_folder.save(tmp_path_factory.mktemp("sense-voice") / "SenseVoiceSmall")


def goal(folder, **config):
    vocabulary = read_vocabulary(folder / VOCABULARY)
    settings = SenseVoiceModel(str(folder), **config)
    return SenseVoiceGoal(golden_network(), vocabulary, settings).eval()


def taught(vocabulary):
    """The batch of the golden file."""
    ids = [(LANGUAGE_QUERIES[one[0]], 1, 2, STYLE_QUERIES[one[3]]) for one in TOOL.TAUGHT]
    labels = [[vocabulary.labels[name] for name in one[:4]] for one in TOOL.TAUGHT]
    return Batch(
        tuple("abcd"),
        torch.from_numpy(TOOL.features()),
        torch.tensor(TOOL.LENGTHS),
        torch.tensor(ids),
        torch.tensor(labels),
        torch.ones(4, 4, dtype=torch.bool),
        transcripts=tuple(one[4] for one in TOOL.TAUGHT),
    )


@pytest.mark.parametrize("smoothing", TOOL.SMOOTHING)
def test_the_losses_are_those_of_funasr(folder, smoothing):
    one = goal(folder, label_smoothing=smoothing)
    batch = taught(one.vocabulary)
    counts = one.counts(batch)
    with torch.no_grad():
        loss, entropy, correct, ctc = one(batch, Scales(2.0, 3.0))
    wanted = read_golden()[f"losses_{smoothing}"]
    found = [float(ctc) / 4, float(entropy) / counts.tokens, float(correct) / counts.tokens]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert float(loss) == pytest.approx(2 * float(entropy) + 3 * float(ctc), rel=1e-5)
    assert counts.ctc == sum(len(one.vocabulary.encode(row[4])) for row in TOOL.TAUGHT)


def test_what_is_not_known_is_not_learned(folder):
    one = goal(folder)
    batch = taught(one.vocabulary)
    batch.labels[:] = IGNORE
    silent = Batch(**{**batch.__dict__, "transcripts": (None,) * 4})
    assert (one.counts(silent).tokens, one.counts(silent).ctc) == (0, 0)
    loss, entropy, correct, ctc = one(silent, Scales(1.0, 1.0))
    assert [float(part.detach()) for part in (loss, entropy, correct, ctc)] == [0.0] * 4
    loss.backward()  # every parameter still has a part in it


def test_a_share_of_the_languages_is_not_told(folder):
    one = goal(folder, untold_language=1.0)
    batch = taught(one.vocabulary)
    asked = []
    one.model.register_forward_pre_hook(lambda module, given: asked.append(given[2].tolist()))
    with torch.no_grad():
        one.eval().hear(batch)
        one.train().hear(batch)
    assert asked == [batch.ids[:, 0].tolist(), [0, 0, 0, 0]]


def test_the_labels_of_an_utterance():
    def labels(**known):
        extra = known.pop("extra", {})
        return labels_of(Utterance("u", "a.wav", extra=extra, **known))

    assert labels(text="你好", language="zh") == ("zh", None, "Speech", "woitn")
    assert labels(text="It is 3.", emotion="disgust") == (None, "DISGUSTED", "Speech", "withitn")
    assert labels(text="so", extra={"with_itn": True})[3] == "withitn"
    assert labels(event="crying", emotion="unknown") == (None, "EMO_UNKNOWN", "Cry", None)
    assert labels(event="cry", language="nospeech")[:3] == ("nospeech", None, "Cry")
    with pytest.raises(ManifestError, match="its emotion 'calm' is none that SenseVoice knows"):
        labels(emotion="calm")
    with pytest.raises(ManifestError, match="its language 'de'"):
        labels(language="de")


# --- a whole run ------------------------------------------------------------------------------


class Silent:
    def __init__(self):
        self.results, self.scores = [], []

    def step(self, stage, step, num_steps, result):
        self.results.append(result)

    def validation(self, name, step, values):
        self.scores.append(values)


def rate(metric, references, hypotheses, language):
    wrong = sum(one != other for one, other in zip(references, hypotheses, strict=True))
    return wrong / len(references)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    rows = []
    for i, text in enumerate(TEXTS):
        write_wave(root / f"{i}.wav", speech((1.0 + i / 10, 0.1 + i / 10)))
        language = "en" if text.isascii() else "zh"
        row = {"id": f"u{i}", "audio": f"{i}.wav", "duration": 1.0 + i / 10, "text": text}
        rows.append({**row, "language": language, "emotion": ("happy", "sad")[i % 2]})
    (root / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root / "train.jsonl"


def recipe(folder, manifest, **changes):
    values = {
        "kind": "sense_voice",
        "model": {"folder": str(folder), "dropout": 0.0},
        "data": {"train": [{"manifest": str(manifest)}], "num_workers": 0},
        "stages": [
            {"name": "tune", "train": ["*"], "steps": 6, "lr": 3e-3, "ctc_weight": 1.0},
        ],
        "validation": {"sets": [{"name": "dev", "manifest": str(manifest)}], "every_steps": 3},
        "checkpoints": {"every_steps": 3, "average": 2},
        "parallel": {"device": "cpu"},
    }
    return from_mapping(SenseVoiceRecipe, {**values, **changes})


def run(chosen, out):
    kind = kind_of(RECIPE)
    report = Silent()
    Run(chosen, out, build=kind.build, score=rate, report=report).start()
    return report, kind.export(chosen, out)


def test_a_run_learns_and_writes_folders_as_they_were_released(folder, manifest, tmp_path):
    report, paths = run(recipe(folder, manifest), tmp_path / "run")
    assert [path.name for path in paths] == ["last", "best", "average"]
    first, last = report.results[0], report.results[-1]
    assert last.ctc < first.ctc
    assert last.loss < first.loss
    assert {"loss", "accuracy", "wer", "language_f1", "emotion_f1"} <= report.scores[-1].keys()
    for path in paths:
        assert inspect(path).usable
    recognizer = load_sense_voice(paths[0], LoudnessVad(), num_threads=1)
    assert recognizer.transcribe(speech((1.0, 0.2)), rate_hz=16_000)
    before, after = load(folder).state_dict(), load(paths[0]).state_dict()
    assert not torch.equal(before["ctc.ctc_lo.weight"], after["ctc.ctc_lo.weight"])
    assert not torch.equal(before["embed.weight"], after["embed.weight"])


def test_what_is_not_trained_stays_as_it_was(folder, manifest, tmp_path):
    stages = [{"name": "head", "train": ["ctc"], "steps": 2, "ctc_weight": 1.0}]
    sets = [{"name": "dev", "manifest": str(manifest), "metric": "labels"}]
    chosen = recipe(
        folder, manifest, stages=stages, validation={"sets": sets}, checkpoints={"average": 0}
    )
    report, paths = run(chosen, tmp_path / "run")
    assert 0 <= report.scores[-1]["labels"] <= 1
    before, after = load(folder).state_dict(), load(paths[0]).state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"ctc.ctc_lo.weight", "ctc.ctc_lo.bias"}


def test_a_tokenizer_that_is_not_of_the_network_is_refused(folder, manifest, tmp_path):
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "am.mvn").unlink()
    with pytest.raises(Exception, match=r"am\.mvn is missing"):
        run(recipe(bare, manifest), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": []}, "stages is empty"),
        ({"stages": [{"name": "a", "train": ["llm"], "steps": 1}]}, "matches no part of Sense"),
        ({"stages": [{"name": "a", "train": ["ctc"], "steps": 0}]}, "has 0 steps"),
        ({"parallel": {"strategy": "fsdp"}}, "must be none or ddp"),
        ({"model": {"folder": "x", "dropout": 1.0}}, "dropout must be"),
        ({"model": {"folder": "x", "untold_language": 2.0}}, "is a share"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(folder, manifest, changes, words):
    with pytest.raises(ConfigError, match=words):
        recipe(folder, manifest, **changes)


def test_the_recipe_of_the_repository_is_read():
    assert kind_of(RECIPE).recipe is SenseVoiceRecipe
    assert read_yaml(SenseVoiceRecipe, RECIPE).num_steps == 2000
