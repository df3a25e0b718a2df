import pytest

from mooer.errors import ConfigError, MissingExtra
from mooer.infer.released import ReleasedOptions, open_network
from mooer.models.funasr_folder import ONNX, QUANTISED


def opened(folder, on_torch=lambda folder, device: f"torch on {device}", **options):
    return open_network(
        folder,
        ReleasedOptions(**options),
        "cpu",
        2,
        on_onnx=lambda path, num_threads: f"{path.name} by {num_threads}",
        on_torch=on_torch,
    )


@pytest.mark.parametrize(
    ("files", "options", "network"),
    [
        ((), {}, "torch on cpu"),
        ((ONNX,), {}, f"{ONNX} by 2"),
        ((ONNX, QUANTISED), {}, f"{QUANTISED} by 2"),
        ((ONNX, QUANTISED), {"precision": "float32"}, f"{ONNX} by 2"),
        ((ONNX,), {"engine": "torch"}, "torch on cpu"),
    ],
)
def test_a_file_for_onnxruntime_comes_before_torch(tmp_path, files, options, network):
    for name in files:
        (tmp_path / name).touch()
    found, versions = opened(tmp_path, **options)
    assert found == network
    assert set(versions) == {"mooer", "torch" if "torch" in network else "onnxruntime"}


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="models export"):
        opened(tmp_path, engine="onnx")

    def lacks(folder, device):
        raise ModuleNotFoundError("no", name="torchaudio")

    with pytest.raises(MissingExtra, match="torchaudio"):
        opened(tmp_path, lacks)
