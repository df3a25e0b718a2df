"""Speech LLMs without torch as recognisers: the same as in torch, by Python and command line."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.export.native import GATED, save_native
from tests.fakes import LoudnessVad, speech

import mooer.infer.model
from mooer.audio.wave import write_wave
from mooer.cli.main import main
from mooer.config import read_yaml
from mooer.decoding import rules
from mooer.decoding.generation import SearchOptions
from mooer.decoding.hotwords import Hotword
from mooer.engines.speech_llm import SpeechLLM
from mooer.errors import AudioError, ConfigError, ModelError
from mooer.export.native import export_native
from mooer.infer import RecognizeOptions, load
from mooer.infer.native_network import NativeNetwork, generate_options
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.infer.torch_network import TorchNetwork
from mooer.models.adapter import AdapterConfig
from mooer.models.load import load as load_in_torch
from mooer.models.speech_llm import ModelConfig

pytestmark = [
    pytest.mark.usefixtures("own_home"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
]
SEARCH = SearchOptions(num_beams=1, max_new_tokens=10)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("native")
    source, _ = save_native(root)
    export_native(source, root / "out")
    return root


@pytest.fixture(scope="module")
def networks(root):
    """Torch's and ours."""
    model = SpeechLLM(root / "out", num_threads=1, compute_type="float32", exact=True)
    yield TorchNetwork(load_in_torch(root / "out", merge=True)), NativeNetwork(model)
    model.close()


@pytest.fixture(autouse=True)
def small_vad(monkeypatch, tmp_path):
    fetch = mooer.infer.model.fetch
    (tmp_path / "vad.onnx").touch()

    def fetched(name, **options):
        return tmp_path if name == "silero-vad" else fetch(name, **options)

    monkeypatch.setattr(mooer.infer.model, "fetch", fetched)
    monkeypatch.setattr(mooer.infer.model, "SpeechModel", lambda path: LoudnessVad())


def recognizer(network, search=SEARCH):
    return SpeechLLMRecognizer(network, LoudnessVad(), name="x", versions={}, search=search)


def talk():
    return speech(*[pair for s in (0.8, 1.6, 1.0, 0.6) for pair in ((s, 0.5), (1.9, 0))])


def facts(transcript):
    return [
        (s.text, s.translation, s.start_s, s.warnings, pytest.approx(s.avg_logprob, abs=0.01))
        for s in transcript.segments
    ]


@pytest.mark.parametrize("task", ["asr", "ast", "asr_ast"])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_transcripts_are_those_of_torch(networks, task, num_beams):
    options = RecognizeOptions(task=task, temperatures=(), max_chunk_s=2.5, beam_size=num_beams)
    expected, found = (
        recognizer(one).transcribe(talk(), options, rate_hz=16_000) for one in networks
    )
    assert len(found.segments) >= 3
    assert facts(found) == facts(expected)


@pytest.mark.parametrize(
    "search",
    [
        SearchOptions(num_beams=1, no_repeat_ngram=2),
        SearchOptions(num_beams=1, repetition_penalty=1.5, min_new_tokens=9, eos_bias=3.0),
        SearchOptions(num_beams=3, no_repeat_ngram=1, min_new_tokens=3, length_penalty=0.2),
    ],
)
def test_wishes_are_those_of_torch(networks, search):
    samples = [speech((s, 0.5)) for s in (0.7, 1.3)]
    expected, found = (
        one.decode(one.prompts("asr", samples), search, [14, 11]) for one in networks
    )
    for [ours], [theirs] in zip(expected, found, strict=True):
        assert theirs.tokens == ours.tokens
        assert theirs.ended == ours.ended
        assert theirs.score == pytest.approx(ours.score, abs=0.02)
        assert theirs.confidence == pytest.approx(ours.confidence, abs=0.01)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_hotwords_draw_both_alike(networks, num_beams):
    search = SearchOptions(num_beams=num_beams)
    samples = [speech((s, 0.5)) for s in (0.7, 1.3)]
    words = (Hotword("hi", 3.0), Hotword("你好", 4.0))
    said = []
    for hotwords in ((), words):
        expected, found = (
            one.decode(one.prompts("asr", samples, (), hotwords), search, [14, 11])
            for one in networks
        )
        assert [h.tokens for [h] in found] == [h.tokens for [h] in expected]
        for [theirs], [ours] in zip(found, expected, strict=True):
            assert theirs.score == pytest.approx(ours.score, abs=0.02)
        said.append([h.tokens for [h] in found])
    assert said[0] != said[1]


def test_a_draft_without_the_sound_is_read_as_in_torch(networks, monkeypatch):
    theirs, ours = networks
    drafts = ["abc", "a draft that is longer"]
    here, there = ([speech((s, 0.5)) for s in pair] for pair in ((0.7, 1.3), (2.0, 0.4)))
    with_sound = ours.prompts("ast", here, drafts)
    monkeypatch.setattr(ours.model, "draft_alone", True)
    monkeypatch.setattr(theirs.model, "config", replace(theirs.model.config, draft_alone=True))
    alone = ours.prompts("ast", here, drafts)
    assert alone == ours.prompts("ast", there, drafts)
    assert all(
        len(one.prompt) < len(heard.prompt) for one, heard in zip(alone, with_sound, strict=True)
    )
    expected = theirs.decode(theirs.prompts("ast", here, drafts), SEARCH, [9, 9])
    for [one], [other] in zip(expected, ours.decode(alone, SEARCH, [9, 9]), strict=True):
        assert other.tokens == one.tokens
        assert other.score == pytest.approx(one.score, abs=0.02)
    [without] = ours.prompts("ast", here[:1])  # no draft, so the sound it is
    assert len(without.prompt) == 3


def test_draws_differ_and_come_again(networks):
    _, native = networks
    search = SearchOptions(num_beams=1, num_best=3, sample=True, temperature=0.8)
    prompts = native.prompts("asr", [speech((0.7, 0.5)), speech((1.1, 0.5))])
    found = native.decode(prompts, search, [8, 8])
    assert [len(one) for one in found] == [3, 3]
    assert len({h.tokens for h in found[0]}) > 1
    assert all(a.score >= b.score for one in found for a, b in pairwise(one))
    alone = native.decode(prompts[1:], search, [8])
    assert [h.tokens for h in alone[0]] == [h.tokens for h in found[1]]


def test_what_is_not_known_without_torch_is_told(networks):
    _, native = networks
    with pytest.raises(ConfigError, match="set num_best to 1"):
        native.decode([], SearchOptions(num_beams=4, num_best=2), [])
    with pytest.raises(ConfigError, match="top_k or top_p"):
        generate_options(SearchOptions(num_beams=1, sample=True, top_k=5), frozenset(), limit=5)


def test_faults_are_decoded_again_and_the_audio_is_heard_once(networks, monkeypatch):
    _, native = networks
    calls = []
    encode, generate = native.model.encode, native.model.llm.generate
    monkeypatch.setattr(native.model, "encode", lambda u: calls.append("heard") or encode(u))

    def generated(prompts, options):
        calls.append([(o.adjust is not None, o.temperature, o.max_new_tokens) for o in options])
        return generate(prompts, options)

    monkeypatch.setattr(native.model.llm, "generate", generated)
    options = RecognizeOptions(temperatures=(0.5,))
    samples = speech((0.5, 0), (1.5, 0.5), (0.5, 0))
    transcript = recognizer(native).transcribe(samples, options, rate_hz=16_000)
    # ten random tokens do not end: in other ways, then drawn
    assert calls == ["heard", [(False, 0.0, 10)], [(True, 0.0, 10)], [(False, 0.5, 10)] * 3]
    assert "too_long" in transcript.segments[0].warnings


def test_the_length_of_speech_bounds_the_answer(networks, monkeypatch):
    _, native = networks
    asked = []
    generate = native.model.llm.generate

    def generated(prompts, options):
        asked.extend(o.max_new_tokens for o in options)
        return generate(prompts, options)

    monkeypatch.setattr(native.model.llm, "generate", generated)
    search = SearchOptions(num_beams=1, max_new_tokens=500)
    samples = speech((0.3, 0), (0.7, 0.5), (0.3, 0))
    options = RecognizeOptions(temperatures=(), task="asr_ast")
    [segment] = recognizer(native, search).transcribe(samples, options, rate_hz=16_000).segments
    assert set(asked) == {2 * rules.max_tokens(segment.end_s - segment.start_s)}


def test_streamed_pieces_are_the_greedy_answer(networks):
    texts = ["".join(recognizer(one).stream(talk()[:20_000], rate_hz=16_000)) for one in networks]
    assert texts[0] == texts[1]
    assert texts[0]
    with pytest.raises(AudioError, match="longer than 30 s"):
        recognizer(networks[1]).stream(np.zeros(16_000 * 31, np.float32), rate_hz=16_000)


def test_many_inputs_share_batches(networks, tmp_path):
    _, native = networks
    paths = []
    for i, seconds in enumerate((0.6, 1.4, 0.9)):
        paths.append(str(tmp_path / f"{i}.wav"))
        write_wave(tmp_path / f"{i}.wav", speech((0.4, 0), (seconds, 0.3), (0.4, 0)))
    paths.insert(1, str(tmp_path / "gone.wav"))
    options = RecognizeOptions(temperatures=())
    found = list(recognizer(native).transcribe_all(paths, options))
    assert isinstance(found.pop(1), AudioError)
    paths.pop(1)
    for path, one in zip(paths, found, strict=True):
        assert one.text
        assert facts(one) == facts(recognizer(native).transcribe(path, options))


# --- which engine ---------------------------------------------------------------------------------


def engine_of(folder, caplog, **options):
    caplog.clear()
    with caplog.at_level(logging.INFO, "mooer.infer.speech_llm"):
        network = load(str(folder), num_threads=1, **options).recognizer.network
    return type(network), caplog.text


def test_without_torch_where_that_can_be(root, tmp_path, caplog):
    kind, said = engine_of(root / "out", caplog)
    assert (kind, "without torch" in said) == (NativeNetwork, True)
    kind, said = engine_of(root / "out", caplog, parts={"engine": "torch"})
    assert (kind, "as asked for" in said) == (TorchNetwork, True)
    assert engine_of(root / "model", caplog)[0] is NativeNetwork  # as it was trained
    shutil.copytree(root / "model", tmp_path / "model")
    weights = tmp_path / "model" / "lora" / "adapter_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    kind, said = engine_of(tmp_path / "model", caplog)
    assert (kind, "runs in torch: its LoRA is there neither" in said) == (TorchNetwork, True)
    with pytest.raises(ModelError, match=r"without torch: its LoRA is there neither as lora\.gguf"):
        load(str(tmp_path / "model"), parts={"engine": "native"})
    with pytest.raises(ConfigError, match="unknown engine 'nativ': did you mean native"):
        load(str(root / "model"), parts={"engine": "nativ"})


def test_a_trained_folder_without_lora_is_run_as_it_is(tmp_path, caplog):
    source, _ = save_native(tmp_path, lora=False)
    assert engine_of(source, caplog)[0] is NativeNetwork


def test_by_the_command_line_no_torch_is_loaded(root, tmp_path):
    write_wave(tmp_path / "a.wav", speech((0.5, 0), (1.0, 0.5), (0.5, 0)))
    code = f"""
import sys
import mooer.infer.model
from pathlib import Path
from tests.fakes import LoudnessVad
fetch = mooer.infer.model.fetch
Path({str(tmp_path)!r}, "vad.onnx").touch()
mooer.infer.model.fetch = lambda n, **o: (
    Path({str(tmp_path)!r}) if n == "silero-vad" else fetch(n, **o)
)
mooer.infer.model.SpeechModel = lambda path: LoudnessVad()
from mooer.cli.main import main
arguments = ["transcribe", {str(tmp_path / "a.wav")!r}, "--model", {str(root / "out")!r}]
arguments += ["--task", "asr_ast", "--beam", "2", "--temperatures", "none", "--json"]
assert main(arguments) == 0
assert not {{"torch", "transformers", "peft", "safetensors"}} & set(sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True
    )
    transcript = json.loads(found.stdout)
    runs_the_llm = {"onnxruntime", "xllamacpp"} & set(transcript["versions"])
    assert len(runs_the_llm) == 1
    assert set(transcript["versions"]) == {"mooer", "ctranslate2", *runs_the_llm}
    assert transcript["task"] == "ast"
    assert transcript["segments"]


def test_the_engine_is_chosen_by_the_command_line(root, tmp_path, capsys):
    write_wave(tmp_path / "a.wav", speech((0.5, 0), (1.0, 0.5), (0.5, 0)))
    arguments = ["transcribe", str(tmp_path / "a.wav"), "--model", str(root / "out"), "--json"]
    arguments += ["--beam", "1", "--temperatures", "none", "--part"]
    assert main([*arguments, "engine=torch"]) == 0
    assert "torch" in json.loads(capsys.readouterr().out)["versions"]
    assert main([*arguments, "engine=onnx"]) == 2
    assert "unknown engine 'onnx'" in capsys.readouterr().err
    assert main([*arguments, "engine"]) == 2
    assert "NAME=VALUE, not 'engine'" in capsys.readouterr().err


def test_its_ctc_head_drafts(root, tmp_path, capsys):
    write_wave(tmp_path / "a.wav", speech((0.5, 0), (1.0, 0.5), (0.5, 0)))
    arguments = [str(tmp_path / "a.wav"), "--model", str(root / "out"), "--part", "draft=ctc"]
    assert main(["transcribe", *arguments, "--json"]) == 0
    transcript = json.loads(capsys.readouterr().out)
    assert {"ctranslate2", "mooer"} <= set(transcript["versions"])
    said = "".join(segment["text"] for segment in transcript["segments"])
    assert set(said) <= set("&(*")  # its three units


# --- the export -----------------------------------------------------------------------------------


def test_an_export_is_small_and_read_by_torch_too(root):
    out = root / "out"
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "adapter.safetensors",
        "ctc.safetensors",
        "encoder.safetensors",
        "llm/llm.gguf",
        "lora/adapter_config.json",
        "lora/adapter_model.safetensors",
        "mooer.yaml",
    ]
    for name in ("adapter", "encoder", "ctc", "lora/adapter_model"):
        tensors = load_file(out / f"{name}.safetensors")
        assert {t.dtype for t in tensors.values()} <= {torch.float16, torch.int64}
    written = load_file(out / "encoder.safetensors")
    assert {name.split(".")[0] for name in written} == {"layers", "layer_norm"}
    assert all(name.startswith(("layers.2.", "layer_norm.")) for name in written)
    config = read_yaml(ModelConfig, out / "mooer.yaml")
    assert (config.llm.path, config.adapter) == ("llm", GATED)
    before, after = load_in_torch(root / "model"), load_in_torch(out)
    assert after.ctc.ids.tolist() == [5, 7, 9]
    for (name, one), other in zip(
        before.state_dict().items(), after.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4, msg=name)


def test_the_command_writes_an_export_and_says_what(root, tmp_path, capsys):
    arguments = ["models", "export", str(root / "model"), "--to", "native", "--out"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lora.gguf").touch()  # of an earlier version
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / "lora.gguf").exists()
    said = capsys.readouterr().out.split()
    assert str(tmp_path / "out" / "llm" / "llm.gguf") in said
    assert all((tmp_path / "out" / path).exists() for path in said)
    shutil.move(tmp_path / "out", tmp_path / "moved")
    with SpeechLLM(tmp_path / "moved", num_threads=1) as model:
        assert len(model.encode([speech((1.0, 0.5))])) == 1
    assert main([*arguments, str(root / "model")]) == 2
    assert "write the export to another folder" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "no"), "--precision", "f16"]) == 2
    assert "--precision is for --to gguf alone" in capsys.readouterr().err


def test_what_cannot_be_run_is_not_exported(tmp_path):
    source, _ = save_native(tmp_path, adapter=AdapterConfig("concat", hidden_width=24))
    with pytest.raises(ModelError, match="its adapter is concat, and only gated"):
        export_native(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
