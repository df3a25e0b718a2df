"""Folders of speech LLMs, small and random, through `load` and the command line."""

import json
import shutil

import pytest
import torch
from tests.fakes import LoudnessVad, speech
from tests.models.folders import save_deepspeed, save_llm, save_mooer, save_zero3

import mooer.infer.model
from mooer.audio.wave import write_wave
from mooer.cli.main import main
from mooer.decoding.generation import SearchOptions
from mooer.errors import ModelError
from mooer.infer import RecognizeOptions, load
from mooer.infer.answering import Answerer
from mooer.infer.longform import Chunk
from mooer.infer.speech_llm import SpeechLLMRecognizer, choose_task, holds_speech_llm
from mooer.models.adapter import AdapterConfig
from mooer.models.llm import LlmConfig, LoraConfig
from mooer.models.load import build, save
from mooer.models.speech_llm import EncoderConfig, ModelConfig

ENCODER = {"width": 16, "num_blocks": 2, "num_heads": 2, "ffn_width": 32}
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("speech-llm")
    save_llm(root / "base")
    torch.manual_seed(1)
    config = ModelConfig(
        encoder=EncoderConfig("sanm", ENCODER),
        llm=LlmConfig(str(root / "base"), lora=LoraConfig(rank=2)),
        adapter=AdapterConfig(hidden_width=16),
    )
    model = build(config).eval()
    with torch.no_grad():
        for name, parameter in model.llm.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.5)
    save(model, root / "mine")
    return root / "mine"


@pytest.fixture(autouse=True)
def small_vad(monkeypatch, tmp_path):
    fetch = mooer.infer.model.fetch
    (tmp_path / "vad.onnx").touch()

    def fetched(name, **options):
        return tmp_path if name == "silero-vad" else fetch(name, **options)

    monkeypatch.setattr(mooer.infer.model, "fetch", fetched)
    monkeypatch.setattr(mooer.infer.model, "SpeechModel", lambda path: LoudnessVad())


def clip(path, seconds=2.0):
    write_wave(path, speech((0.5, 0), (seconds, 0.5), (0.5, 0)))
    return path


def test_a_folder_is_loaded_with_its_lora_merged(folder):
    recognizer = load(str(folder), num_threads=1).recognizer
    assert isinstance(recognizer, SpeechLLMRecognizer)
    assert recognizer.name == "mine"
    assert not hasattr(recognizer.network.model.llm, "peft_config")
    assert {"mooer", "torch", "transformers"} == set(recognizer.versions)


def test_the_command_line_says_what_the_recogniser_says(folder, tmp_path, capsys):
    for name, seconds in (("a", 1.0), ("b", 0.7)):
        clip(tmp_path / f"{name}.wav", seconds)
    scp = tmp_path / "wav.scp"
    scp.write_text(f"one {tmp_path / 'a.wav'}\ntwo {tmp_path / 'b.wav'}\n")
    arguments = [scp, "--model", folder, "--task", "asr_ast", "--beam", 2, "--json"]
    arguments += ["--temperatures", "none", "--threads", 1]
    assert main(["transcribe", *map(str, arguments)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]
    options = RecognizeOptions(task="asr_ast", beam_size=2, temperatures=())
    recognizer = load(str(folder), num_threads=1).recognizer
    for line, name in zip(lines, ("a", "b"), strict=True):
        wanted = recognizer.transcribe(str(tmp_path / f"{name}.wav"), options)
        assert line["segments"] == wanted.to_dict()["segments"]
        assert line["task"] == "ast"
    assert any(line["text"] for line in lines)


@pytest.mark.parametrize("task", ["asr", "ast"])
def test_other_tasks_by_the_command_line(folder, tmp_path, capsys, task):
    arguments = [
        clip(tmp_path / "a.wav", 1.0),
        "--model",
        folder,
        "--task",
        task,
        "--beam",
        "1",
        "--temperatures",
        "",
    ]
    assert main(["transcribe", *map(str, arguments)]) == 0
    capsys.readouterr()
    assert main(["transcribe", *map(str, arguments), "--hotwords", "MooER"]) == 0
    assert main(["transcribe", *map(str, arguments), "--prompt", "MooER"]) == 2
    assert "speech LLM has no use for prompt" in capsys.readouterr().err


def test_streaming_from_a_folder(folder):
    recognizer = load(str(folder), num_threads=1).recognizer
    pieces = list(recognizer.stream(speech((1.5, 0.5)), rate_hz=16_000))
    assert pieces
    assert all(isinstance(piece, str) and piece for piece in pieces)


def test_what_a_folder_is(folder, tmp_path):
    assert holds_speech_llm(folder)
    assert not holds_speech_llm(tmp_path)
    with pytest.raises(ModelError, match=r"no mooer\.yaml"):
        load(str(tmp_path))
    (tmp_path / "asr").mkdir()
    (tmp_path / "asr" / "adapter_project.pt").touch()
    assert holds_speech_llm(tmp_path)
    assert holds_speech_llm(tmp_path / "asr")


def test_a_released_folder_is_asked_for_the_network_of_the_task(tmp_path):
    names = ["asr", "ast", "asr_ast_mtl"]
    assert [choose_task(names, task, tmp_path) for task in ("asr", "ast", "asr_ast")] == names
    assert choose_task(["mine"], "ast", tmp_path) == "mine"
    with pytest.raises(ModelError, match="no network for the task ast: it holds asr"):
        choose_task(["asr"], "ast", tmp_path)


def test_a_released_folder_transcribes_and_translates_in_one_answer(tmp_path, monkeypatch):
    root = tmp_path / "pretrained_models"
    save_mooer(root, ("asr", "asr_ast_mtl"))
    with pytest.raises(ModelError, match="check_md5"):
        load(str(root), task="asr_ast", num_threads=1)
    monkeypatch.chdir(root)
    recognizers = {
        task: load(".", task=task, num_threads=1, check_md5=False).recognizer
        for task in ("asr", "asr_ast")
    }
    adapters = [r.network.model.adapter.state_dict() for r in recognizers.values()]
    assert any(not torch.equal(a, b) for a, b in zip(*(x.values() for x in adapters), strict=True))
    for task, recognizer in recognizers.items():
        assert recognizer.name == "pretrained_models"
        options = RecognizeOptions(task=task, beam_size=1, temperatures=())
        transcript = recognizer.transcribe(speech((1, 0.5), (1, 0)), options, rate_hz=16_000)
        [segment] = transcript.segments
        assert segment.text
        assert segment.avg_logprob < 0


def test_parts_may_lie_elsewhere(tmp_path, capsys):
    root = tmp_path / "pretrained_models"
    save_mooer(root, ("asr",))
    arguments = [clip(tmp_path / "a.wav", 1.0), "--model", root / "asr", "--unchecked"]
    arguments += ["--beam", 1, "--temperatures", "none", "--threads", 1]
    assert main(["transcribe", *map(str, arguments)]) == 0
    beside = capsys.readouterr().out
    (root / "Qwen2-7B-Instruct").rename(tmp_path / "llm")
    (root / "paraformer_encoder").rename(tmp_path / "encoder")
    assert main(["transcribe", *map(str, arguments)]) == 1
    assert "give its folder as encoder" in capsys.readouterr().err
    arguments += ["--part", f"llm={tmp_path / 'llm'}", "--part", f"encoder={tmp_path / 'encoder'}"]
    assert main(["transcribe", *map(str, arguments)]) == 0
    assert capsys.readouterr().out == beside
    for part, words in (("adaptor=x", "unknown part 'adaptor'"), ("lora_alpha=a", "is a number")):
        assert main(["transcribe", *map(str, arguments), "--part", part]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("write", [save_deepspeed, save_zero3])
def test_a_task_that_deepspeed_wrote_transcribes_as_the_released_one(tmp_path, capsys, write):
    root = tmp_path / "models"
    save_mooer(root, ("asr",))
    arguments = [clip(tmp_path / "a.wav", 1.0), "--model", root, "--unchecked", "--beam", 1]
    arguments += ["--temperatures", "", "--threads", 1, "--json"]
    assert main(["transcribe", *map(str, arguments)]) == 0
    wanted = json.loads(capsys.readouterr().out)
    shutil.rmtree(root / "asr")
    write(root / "asr")
    assert main(["transcribe", *map(str, arguments)]) == 1
    assert "does not say LoRA's alpha" in capsys.readouterr().err
    arguments += ["--part", "lora_alpha=16"]
    assert main(["transcribe", *map(str, arguments)]) == 0
    assert json.loads(capsys.readouterr().out)["segments"] == wanted["segments"]
    assert wanted["text"]


def test_an_answer_is_that_of_a_straight_line_through_the_parts(tmp_path):
    """Audio embeddings, then the prompt, then `generate` with the options of MooER's release."""
    root = tmp_path / "pretrained_models"
    save_mooer(root, ("asr_ast_mtl",))
    recognizer = load(str(root), task="asr_ast", num_threads=1, check_md5=False).recognizer
    model = recognizer.network.model
    utterances = [speech((s, 0.4)) for s in (1.7, 0.9)]
    prompt = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "Translate speech to english text. <|im_end|>\n<|im_start|>assistant\n"
    )
    words = model.llm.get_input_embeddings()
    search = SearchOptions(max_new_tokens=30)
    chunks = [Chunk(samples, ((0, len(samples)),), 1.0) for samples in utterances]
    found = Answerer(recognizer.network, "asr_ast", search).answers(chunks)
    for samples, answered in zip(utterances, found, strict=True):
        features = torch.from_numpy(model.encoder.frontend(samples))[None]
        with torch.no_grad():
            hidden, _ = model.encoder(features, torch.tensor([features.shape[1]]))
            pairs = hidden[:, : hidden.shape[1] // 2 * 2].reshape(1, hidden.shape[1] // 2, -1)
            audio = model.adapter.linear2(model.adapter.linear1(pairs).relu())
            embeds = torch.cat([audio, words(torch.tensor([model.tokenizer.encode(prompt)]))], 1)
            said = model.llm.generate(
                inputs_embeds=embeds,
                attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long),
                num_beams=4,
                do_sample=False,
                max_new_tokens=30,
                length_penalty=0.8,
                sequence_bias={(259,): -0.2},
                eos_token_id=259,
                pad_token_id=256,
            )
        ids = [i for i in said[0].tolist() if i not in (256, 259)]
        assert list(answered.hypothesis.tokens) == ids
        assert ids
