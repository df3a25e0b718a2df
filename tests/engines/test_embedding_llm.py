"""llama.cpp reading embeddings, beside transformers and the searches of `mooer.decoding`."""

import dataclasses
import itertools
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.engines.ggufs import save_lora
from tests.models.folders import save_gguf
from tests.tiny import VOCABULARY, ByteTokenizer, tiny_llm

from mooer.decoding.generation import SearchOptions
from mooer.decoding.search import decode
from mooer.engines.embedding_llm import EmbeddingLLM
from mooer.engines.llama_context import BATCH_ROWS, LlamaContext, Row
from mooer.engines.qwen_onnx import write_onnx
from mooer.engines.token_search import GenerateOptions
from mooer.errors import ConfigError, DecodeError, ModelError
from mooer.models.step_model import step_model
from mooer.store import fetch

WIDTH = 64
END = ByteTokenizer.eos_token_id
OPTIONS = GenerateOptions(max_new_tokens=12, stop_ids=frozenset({END}))


@pytest.fixture(scope="module")
def network():
    """With weights large enough that every one of them is heard."""
    model = tiny_llm(width=WIDTH)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module", params=["llama.cpp", "onnxruntime"])
def path(request, network, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    save_gguf(path, network)
    if request.param == "onnxruntime":
        write_onnx(path.with_suffix(".onnx"), path, None, precision="float32")
    return path


def by_llama(path, **options):
    return EmbeddingLLM(
        path, **{"num_threads": 1, "context_tokens": 1024, "exact": True, **options}
    )


def opened(path, **options):
    onnx = path.with_suffix(".onnx")
    return by_llama(path, onnx=onnx if onnx.exists() else None, **options)


@pytest.fixture(scope="module")
def llm(path):
    with opened(path) as model:
        yield model


def frames(num_rows, seed=0, width=WIDTH):
    return np.random.default_rng(seed).standard_normal((num_rows, width)).astype(np.float32)


def prompts(num=5):
    """A common beginning, speech of unequal length, an end."""
    return [[list(range(10, 30)), frames(7 + 9 * i, seed=i), [5 + i, 40]] for i in range(num)]


@torch.no_grad()
def embedded(network, prompt):
    """The rows [1, L, W] that transformers reads for a prompt."""
    table = network.get_input_embeddings()
    parts = [
        torch.from_numpy(p) if isinstance(p, np.ndarray) else table(torch.tensor(p)) for p in prompt
    ]
    return torch.cat(parts)[None]


@torch.no_grad()
def searched(network, prompt, **options):
    embeds = embedded(network, prompt)
    mask = torch.ones(embeds.shape[:2], dtype=torch.bool)
    asked = SearchOptions(**{"max_new_tokens": 12, "eos_bias": 0.0, **options})
    [[best]] = decode(step_model(network), embeds, mask, asked, eos_ids=[END])
    return best


def assert_same(found, expected, tolerance=1e-3):
    assert found.tokens == expected.tokens
    np.testing.assert_allclose(found.logprobs, expected.logprobs, atol=tolerance)
    assert found.score == pytest.approx(expected.score, abs=tolerance)


def logits(context, embeds):
    rows = [Row(0, i, True) for i in range(len(embeds))]
    try:
        return np.stack(context.evaluate(embeds, rows))
    finally:
        context.remove(0)


@pytest.fixture
def context(path):
    context = LlamaContext(path, num_threads=1, context_tokens=256, exact=True)
    yield context
    context.close()


@torch.no_grad()
def test_logits_are_those_of_transformers(context, network):
    embeds = frames(50)
    expected = network(inputs_embeds=torch.from_numpy(embeds)[None]).logits[0].numpy()
    np.testing.assert_allclose(logits(context, embeds), expected, atol=1e-4)
    ids = list(range(60, 90))
    expected = network(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(logits(context, ids), expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft asks it
@torch.no_grad()
def test_a_lora_is_the_one_of_peft(network, path, tmp_path):
    torch.manual_seed(3)
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    tuned = get_peft_model(
        tiny_llm(width=WIDTH),
        LoraConfig(r=4, lora_alpha=6, target_modules=layers, lora_dropout=0.0),
    )
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    save_gguf(tmp_path / "base.gguf", tiny_llm(width=WIDTH))
    lora = save_lora(tmp_path / "lora.gguf", tuned, alpha=6)
    embeds = frames(20)
    expected = tuned(inputs_embeds=torch.from_numpy(embeds)[None]).logits[0].numpy()
    merged = tuned.merge_and_unload()
    again = merged(inputs_embeds=torch.from_numpy(embeds)[None]).logits[0].numpy()
    options = {"num_threads": 1, "context_tokens": 256, "exact": True}
    with_lora = LlamaContext(tmp_path / "base.gguf", lora=lora, **options)
    bare = LlamaContext(tmp_path / "base.gguf", **options)
    try:
        found = logits(with_lora, embeds)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(found, again, atol=1e-4)
        assert np.abs(found - logits(bare, embeds)).max() > 0.1
    finally:
        with_lora.close()
        bare.close()


def test_greedy_answers_are_those_of_transformers(llm, network):
    found = llm.generate(prompts(), OPTIONS)
    for answer, prompt in zip(found, prompts(), strict=True):
        expected = searched(network, prompt, num_beams=1)
        assert_same(answer, expected)
        assert answer.finish == ("stop" if expected.ended else "length")
    assert len({answer.tokens for answer in found}) > 1


@pytest.mark.parametrize("num_beams", [2, 5])
def test_beams_are_those_of_our_search(path, network, num_beams):
    options = {"num_beams": num_beams, "length_penalty": 0.7, "eos_bias": 2.5}
    with opened(path, num_sequences=2 * num_beams) as llm:
        found = llm.generate(prompts(), dataclasses.replace(OPTIONS, **options))
        for answer, prompt in zip(found, prompts(), strict=True):
            assert_same(answer, searched(network, prompt, **options))
        assert "stop" in {answer.finish for answer in found}


def test_answers_do_not_depend_on_what_is_answered_beside_them(llm):
    alone = [llm.generate([prompt], OPTIONS)[0] for prompt in prompts(11)]
    together = llm.generate(prompts(11), OPTIONS)  # more than there are sequences
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other, tolerance=1e-4)


def test_prompts_that_do_not_fit_together_wait(path):
    with opened(path, context_tokens=256) as llm:
        assert llm.context_tokens == 256
        long = [[frames(200, seed=i), [i]] for i in range(3)]
        found = llm.generate(long, OPTIONS)
        again = [llm.generate([prompt], OPTIONS)[0] for prompt in long]
        assert [a.tokens for a in found] == [a.tokens for a in again]


def test_a_long_prompt_is_read_in_pieces(path, network):
    prompt = [frames(3 * BATCH_ROWS + 5), list(range(100, 100 + BATCH_ROWS + 3)), frames(9, seed=1)]
    with opened(path) as llm:
        assert_same(llm.generate([prompt], OPTIONS)[0], searched(network, prompt, num_beams=1))


class Counted:
    """How many rows llama.cpp reads."""

    def __init__(self, llm, monkeypatch):
        self.num_rows = 0
        evaluate = llm._context.evaluate

        def count(content, rows):
            self.num_rows += len(rows)
            return evaluate(content, rows)

        monkeypatch.setattr(llm._context, "evaluate", count)


def test_a_common_beginning_is_read_once_and_kept(path, monkeypatch):
    start = list(range(20, 60))
    one = dataclasses.replace(OPTIONS, max_new_tokens=1)
    with opened(path) as llm:
        counted = Counted(llm, monkeypatch)
        asked = [[start, frames(5, seed=i), [7]] for i in range(4)]
        first = llm.generate(asked, one)
        assert counted.num_rows == len(start) + 4 * 6
        again = llm.generate(asked, one)
        assert counted.num_rows == len(start) + 2 * 4 * 6
        longer = [[*start, 1, 2, 3], frames(5, seed=0), [7]]
        llm.generate([longer], one)  # goes on from there
        assert counted.num_rows == len(start) + 2 * 4 * 6 + 3 + 6
        llm.generate([[list(range(90, 130))], [list(range(80, 120))]], one)
        last = llm.generate(asked, one)
        for answers in zip(first, again, last, strict=True):
            assert_same(answers[1], answers[0], tolerance=1e-4)
            assert_same(answers[2], answers[0], tolerance=1e-4)
        only_ids = [[*start, 5]]
        before = counted.num_rows
        found = llm.generate([only_ids], one)
        assert counted.num_rows == before + 1
    with opened(path) as fresh:
        assert_same(fresh.generate([only_ids], one)[0], found[0], tolerance=1e-4)


def test_kept_beginnings_give_way(path):
    with opened(path, context_tokens=256) as llm:
        for first in range(6):
            ids = [(first + i) % 200 for i in range(150)]
            full = dataclasses.replace(OPTIONS, max_new_tokens=256 - 160)
            assert llm.generate([[ids, frames(10)]], full)[0].tokens


def test_drawing_is_seeded_and_of_one_prompt(llm):
    hot = dataclasses.replace(OPTIONS, temperature=2.0, seed=5)
    alone = llm.generate([prompts()[2]], hot)[0]
    assert llm.generate(prompts(), hot)[2].tokens == alone.tokens
    others = {llm.generate([prompts()[2]], dataclasses.replace(hot, seed=s))[0] for s in range(4)}
    assert len({answer.tokens for answer in others}) > 1


def test_each_prompt_may_have_its_own_options(llm):
    each = [dataclasses.replace(OPTIONS, max_new_tokens=n) for n in (1, 5, 3)]
    found = llm.generate(prompts(3), each)
    alone = [llm.generate([p], o)[0].tokens for p, o in zip(prompts(3), each, strict=True)]
    assert [answer.tokens for answer in found] == alone
    with pytest.raises(ConfigError, match="3 options for 2 prompts"):
        llm.generate(prompts(2), each)


def test_hooks_and_biases(llm):
    [plain] = llm.generate(prompts(1), OPTIONS)
    for num_beams in (1, 3):
        options = dataclasses.replace(OPTIONS, num_beams=num_beams)
        wished = dataclasses.replace(options, logit_bias={77: 1e4})
        assert set(llm.generate(prompts(1), wished)[0].tokens) == {77}
        seen = []

        def adjust(said, scores, seen=seen):
            seen.append(tuple(said))
            scores[plain.tokens[0]] = -np.inf

        [other] = llm.generate(prompts(1), dataclasses.replace(options, adjust=adjust))
        assert plain.tokens[0] not in other.tokens
        assert seen[0] == ()
        assert max(map(len, seen)) > 1
        stopping = dataclasses.replace(options, guard=lambda said: len(said) >= 3)
        [short] = llm.generate(prompts(1), stopping)
        assert (short.finish, len(short.tokens)) in {("guard", 3), ("stop", len(short.tokens))}
    at_once = dataclasses.replace(OPTIONS, stop_ids=frozenset({plain.tokens[0]}))
    [nothing] = llm.generate(prompts(1), at_once)
    assert (nothing.tokens, nothing.finish, len(nothing.logprobs)) == ((), "stop", 1)
    assert list(llm.stream(prompts(1)[0], at_once)) == []


def test_a_stream_says_the_same_and_can_be_left(llm):
    [prompt] = prompts(1)
    [answer] = llm.generate([prompt], OPTIONS)
    said = list(llm.stream(prompt, OPTIONS))
    assert tuple(token for token, _ in said) == answer.tokens
    np.testing.assert_allclose([p for _, p in said], answer.logprobs[: len(said)], atol=1e-5)
    stream = llm.stream(prompt, OPTIONS)
    next(stream)
    with pytest.raises(DecodeError, match="still being streamed"):
        llm.generate([prompt], OPTIONS)
    stream.close()
    assert llm.generate([prompt], OPTIONS)[0].tokens == answer.tokens
    with pytest.raises(ConfigError, match="one beam"):
        next(llm.stream(prompt, dataclasses.replace(OPTIONS, num_beams=2)))


def test_text_and_ids(llm):
    text = "héllo <|im_end|>\n你好"
    ids = llm.encode(text)
    assert END in ids
    assert llm.decode(ids, special=True) == text
    assert llm.decode(ids) == text.replace("<|im_end|>", "")
    assert END not in llm.encode(text, special=False)
    assert llm.decode(llm.encode(text, special=False)) == text
    assert llm.decode(llm.encode("你")[:2]) == "\ufffd"
    assert llm.encode("") == []
    assert END in llm.stop_ids
    assert (llm.width, llm.vocabulary_size) == (WIDTH, VOCABULARY)


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        ([], DecodeError, "no tokens"),
        ([[], frames(0)], DecodeError, "no tokens"),
        ([[VOCABULARY]], DecodeError, "has 264"),
        ([[-1]], DecodeError, "an id of the prompt is -1"),
        ([frames(3, width=31)], ModelError, r"\[N, 64\], got \[3, 31\]"),
        ([frames(2000)], DecodeError, "2000 tokens, and 12 for the answer, do not fit .* 1024"),
        ([np.full((3, WIDTH), np.nan, np.float32)], DecodeError, "NaN or infinite"),
    ],
)
def test_what_is_no_prompt_is_said_and_the_next_one_is_answered(llm, prompt, error, words):
    with pytest.raises(error, match=words) as caught:
        llm.generate([prompts(1)[0], prompt], OPTIONS)
    assert "\n" not in str(caught.value)
    assert llm.generate(prompts(1), OPTIONS)


def test_nan_in_the_cache_is_written_over(context):
    rows = [Row(0, i, True) for i in range(4)]
    context.evaluate(np.full((4, WIDTH), np.nan, np.float32), rows)
    context.remove(0)
    assert np.isnan(logits(context, frames(3))).any()  # it spreads to whoever comes after
    context.clear()
    assert np.isfinite(logits(context, frames(3))).all()


def test_an_error_leaves_nothing_behind(llm):
    def refuse(said, scores):
        raise DecodeError("stop here")

    [before] = llm.generate(prompts(1), OPTIONS)
    with pytest.raises(DecodeError, match="stop here"):
        llm.generate(prompts(), dataclasses.replace(OPTIONS, adjust=refuse))
    assert_same(llm.generate(prompts(1), OPTIONS)[0], before, tolerance=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_beams": 6}, "from 1 to 5"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"temperature": -1.0}, "at least 0"),
        ({"temperature": 1.0, "num_beams": 2}, "one beam"),
    ],
)
def test_options_that_make_no_sense(options, words):
    with pytest.raises(ConfigError, match=words):
        GenerateOptions(**options)


def test_more_beams_than_sequences(path):
    with opened(path, num_sequences=2) as llm, pytest.raises(ConfigError, match="raise num_seq"):
        llm.generate(prompts(1), dataclasses.replace(OPTIONS, num_beams=3))


def test_files_that_do_not_load(path, tmp_path, capfd):
    whole = path.read_bytes()
    other = tmp_path / "other.gguf"
    for content, words in [
        (whole[: len(whole) // 2], "damaged"),
        (b"GGUF\x03\x00\x00\x00" + bytes(range(256)) * 10, "damaged"),
        (whole.replace(b"qwen2", b"qwen9"), "unknown model architecture: 'qwen9'"),
    ]:
        other.write_bytes(content)
        with pytest.raises(ModelError, match=words) as caught:
            opened(other)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="cannot read"):
        opened(tmp_path / "none.gguf")
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_a_lora_of_another_model_is_refused(path, tmp_path):
    wide = get_peft_model(tiny_llm(width=128), LoraConfig(r=4, target_modules=["q_proj"]))
    with pytest.raises(ModelError, match=r"not a LoRA of tiny\.gguf \(.*: use the one"):
        by_llama(path, lora=save_lora(tmp_path / "wide.gguf", wide, alpha=4))
    with pytest.raises(ModelError, match="not a LoRA"):
        by_llama(path, lora=path)


def test_a_model_without_a_tokenizer_reads_ids(path, tmp_path):
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(path.read_bytes().replace(b"gpt2", b"none"))
    with by_llama(bare) as llm, by_llama(path) as whole:
        with pytest.raises(ModelError, match="no tokenizer"):
            llm.encode("a")
        assert llm.generate(prompts(2), OPTIONS) == whole.generate(prompts(2), OPTIONS)


def test_closed_is_said(path):
    with opened(path) as llm:
        pass
    for use in (lambda: llm.generate(prompts(1), OPTIONS), lambda: llm.encode("a")):
        with pytest.raises(ModelError, match="closed"):
            use()
    llm.close()


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """So wide that a batch takes a while."""
    path = tmp_path_factory.mktemp("gguf") / "wide.gguf"
    save_gguf(path, tiny_llm(width=1024, num_layers=6))
    with opened(path, context_tokens=4096) as model:
        yield model


def test_closing_and_interrupts_stop_inside_a_prompt(slow):
    long = [frames(3900, width=1024)]
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        slow.generate([long], OPTIONS)
    timer.join()
    assert slow.generate([[[1, 2, 3]]], OPTIONS)[0].tokens  # it goes on
    timer = threading.Timer(0.3, slow.close)
    timer.start()
    start = time.monotonic()
    with pytest.raises((DecodeError, ModelError), match="closed"):
        slow.generate([long], OPTIONS)
    timer.join()
    assert time.monotonic() - start < 10


@pytest.mark.real
def test_answers_of_a_released_model(capfd):
    with EmbeddingLLM(fetch("qwen2.5-0.5b"), context_tokens=1024) as llm:
        asked = [
            [llm.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")]
            for text in ("What is the capital of France?", "What is the capital of Italy?")
        ]
        options = GenerateOptions(max_new_tokens=16)
        found = [llm.decode(answer.tokens) for answer in llm.generate(asked, options)]
        assert "Paris" in found[0]
        assert "Rome" in found[1]
        some = list(itertools.islice(llm.stream(asked[0], options), 3))
        assert all(p <= 0 for _, p in some)
        assert llm.encode("<|im_end|>") == [151645]
        assert {151643, 151645} <= llm.stop_ids
    assert capfd.readouterr() == ("", "")
