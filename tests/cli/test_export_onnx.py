"""`mooer models export --to onnx`: SenseVoice and Paraformer as files for onnxruntime."""

import pytest
from tests.models import paraformer_folder, sense_voice_folder

from mooer.cli.main import main
from mooer.models.released import inspect


@pytest.fixture(scope="module", params=["sense_voice", "paraformer"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / request.param
    if request.param == "sense_voice":
        return sense_voice_folder.save(path)
    return paraformer_folder.save(path, "BiCifParaformer")


def test_both_precisions_are_written(folder, tmp_path, capsys):
    arguments = ["models", "export", str(folder), "--to", "onnx", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--precision", "int8", "--precision", "float32"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [str(tmp_path / "out" / name) for name in ("model_quant.onnx", "model.onnx")]
    assert inspect(tmp_path / "out").usable


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--precision", "int9"], "unknown precision 'int9': did you mean int8"),
        (["--check", "a.wav"], "--check is for --to gguf alone"),
    ],
)
def test_what_is_wrong_is_told_first(folder, tmp_path, capsys, more, words):
    arguments = ["models", "export", str(folder), "--to", "onnx", "--out", str(tmp_path / "out")]
    assert main([*arguments, *more]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_folders_are_refused(tmp_path, capsys):
    assert main(["models", "export", str(tmp_path), "--to", "onnx", "--out", "out"]) == 2
    assert "neither SenseVoice nor Paraformer" in capsys.readouterr().err
