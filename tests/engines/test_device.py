"""Where models compute: on a stand-in for CTranslate2, since no GPU is needed to choose one."""

import ctypes
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from mooer.engines import device
from mooer.engines.device import Placement, place
from mooer.engines.whisper import Whisper
from mooer.errors import ConfigError, MissingExtra
from mooer.infer.model import _whisper, load
from mooer.infer.torch_device import tell_processor, torch_device

SPECIAL = ("endoftext", "startoftranscript", "en", "zh", "transcribe", "notimestamps")


class FakeWeights:
    """A `ctranslate2.models.Whisper` that computes nothing."""

    n_mels, is_multilingual = 80, True

    def __init__(self, folder, **told):
        self.told = told
        self.asked = []

    def load_model(self):
        pass

    def encode(self, features, to_cpu=False):
        self.asked.append(to_cpu)
        return np.zeros((1, 2, 3), np.float16)


@pytest.fixture
def gpu(monkeypatch):
    """A CTranslate2 whose GPUs and number types can be set, and what is opened of libraries."""
    fake = SimpleNamespace(
        num=1,
        types={"float32", "float16", "int8"},
        opened=[],
        made=[],
        set_log_level=lambda level: None,
        StorageView=SimpleNamespace(from_array=lambda array: array),
    )

    def make(folder, **told):
        fake.made.append(FakeWeights(folder, **told))
        return fake.made[-1]

    fake.get_cuda_device_count = lambda: fake.num
    fake.get_supported_compute_types = lambda name: fake.types
    fake.models = SimpleNamespace(Whisper=make)
    monkeypatch.setitem(sys.modules, "ctranslate2", fake)
    monkeypatch.setattr(ctypes, "CDLL", fake.opened.append)
    monkeypatch.setattr(device, "_wheel_folder", lambda: None)
    device._usual.cache_clear()
    yield fake
    device._usual.cache_clear()


def refuse(name):
    raise OSError(f"{name}: cannot open shared object file")


@pytest.fixture
def folder(tmp_path):
    ids = {f"<|{name}|>": i for i, name in enumerate(SPECIAL)}
    Tokenizer(WordLevel(ids, unk_token="<|endoftext|>")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "model.bin").touch()
    return tmp_path


def test_the_gpu_is_taken_where_there_is_one(gpu):
    assert place("auto") == place("cuda") == Placement("cuda", "float16")
    assert gpu.opened == ["libcublas.so.12"] * 2
    assert place("auto", "int8_float16").compute_type == "int8_float16"
    assert place("cpu") == Placement("cpu", "int8")


def test_a_gpu_without_float16_computes_in_float32(gpu):
    gpu.types = {"float32", "int8"}
    assert place("cuda") == Placement("cuda", "float32")


def test_without_a_gpu_auto_is_the_processor(gpu, caplog):
    gpu.num = 0
    assert place("auto") == Placement("cpu", "int8")
    assert not gpu.opened
    assert not caplog.records


def test_who_installed_the_libraries_is_told_that_no_gpu_is_seen(
    gpu, monkeypatch, caplog, tmp_path
):
    gpu.num = 0
    monkeypatch.setattr(device, "_wheel_folder", lambda: tmp_path)
    assert [place("auto").device for _ in range(3)] == ["cpu"] * 3
    assert [one.getMessage() for one in caplog.records] == [
        "no NVIDIA GPU is seen here: Whisper runs on the processor"
    ]


def test_a_gpu_without_cublas_is_not_used_and_that_is_told(gpu, monkeypatch, caplog):
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert place("auto") == Placement("cpu", "int8")
    assert "pip install 'mooer[cuda]'" in caplog.text
    with pytest.raises(MissingExtra, match=r"nvidia-cublas-cu12 .* 'mooer\[cuda\]'"):
        place("cuda")


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(gpu):
    gpu.num = 0
    with pytest.raises(ConfigError, match=r"no NVIDIA GPU.* pip install 'mooer\[cuda\]'"):
        place("cuda")
    with pytest.raises(ConfigError, match="did you mean cuda"):
        place("cudda")


def test_cublas_is_found_in_nvidia_s_wheel(tmp_path, monkeypatch):
    place_of = tmp_path / "nvidia" / "cublas" / "lib"
    place_of.mkdir(parents=True)
    opened = []
    monkeypatch.syspath_prepend(tmp_path)
    for name in [one for one in sys.modules if one.split(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(ctypes, "CDLL", opened.append)
    device._open_cublas()
    assert opened == [str(place_of / "libcublas.so.12")]


def test_whisper_is_put_where_it_is_to_be(gpu, folder, caplog):
    caplog.set_level(logging.INFO)
    whisper = Whisper(folder, device="auto", num_threads=3)
    told = {"device": "cuda", "compute_type": "float16", "intra_threads": 3, "inter_threads": 1}
    assert gpu.made[0].told == told
    assert f"{folder.name} is on the GPU, in float16" in caplog.text
    whisper.encode(np.zeros(16_000, np.float32))
    assert gpu.made[0].asked == [True]  # what it heard comes back, for arrays to be made of it
    Whisper(folder)
    assert gpu.made[1].told["device"] == "cpu"
    assert gpu.made[1].told["compute_type"] == "int8"


def test_on_a_gpu_there_is_one_engine_for_all_recordings(gpu, folder):
    on_gpu = _whisper(folder, None, "auto", 8, name="a/b")
    assert on_gpu.name == "b"
    assert on_gpu.engine_for(3600.0) is on_gpu.engine
    assert len(gpu.made) == 1
    assert gpu.made[0].told["inter_threads"] == on_gpu.engine.workers == 2


def test_load_is_told_the_device_as_a_part(gpu, folder, monkeypatch):
    monkeypatch.setattr("mooer.infer.model.SpeechModel", lambda path: None)
    monkeypatch.setattr("mooer.infer.model.fetch", lambda name, offline=None: folder)
    (folder / "vad.onnx").touch()
    assert load(str(folder), parts={"device": "cuda"}).recognizer.engine.device == "cuda"
    assert load(str(folder), parts={"device": "cpu"}).recognizer.engine.device == "cpu"
    with pytest.raises(ConfigError, match="no speech LLM"):
        load(str(folder), parts={"device": "cpu", "llm": "x"})
    gpu.num = 0
    with pytest.raises(ConfigError, match="no NVIDIA GPU"):
        load(str(folder), parts={"device": "cuda"})


def test_torch_is_told_the_same_words(monkeypatch, caplog):
    torch = pytest.importorskip("torch")
    for seen, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda seen=seen: seen)
        assert torch_device("auto") == expected
        assert torch_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="sees no GPU"):
        torch_device("cuda")
    tell_processor("auto", "sense-voice")
    assert not caplog.records
    tell_processor("cuda", "sense-voice")
    assert "sense-voice runs on the processor" in caplog.text
