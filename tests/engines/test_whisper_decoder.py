"""Whisper's decoder in numpy beside transformers' and CTranslate2's."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.models.test_encoder_whisper import THEIRS, random_model, write_ct2

from mooer.audio.wave import read_wave
from mooer.engines.whisper import DecodeOptions, Whisper
from mooer.engines.whisper_decoder import WhisperDecoder
from mooer.errors import DecodeError, ModelError
from mooer.store import fetch
from mooer.store.ct2 import pack_ct2, read_ct2

PROMPT = [1, 7, 4]


@pytest.fixture(scope="module")
def theirs():
    config = type(THEIRS)(**{**THEIRS.to_dict(), "decoder_layers": 2})
    return random_model(config=config)


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    write_ct2(theirs, folder / "model.bin")
    return folder


@pytest.fixture
def decoder(folder):
    return WhisperDecoder(folder)


@pytest.fixture
def frames():
    return np.random.default_rng(0).standard_normal((11, 16)).astype(np.float32)


@torch.no_grad()
def their_logits(theirs, frames, tokens):
    hidden = theirs.model.decoder(
        input_ids=torch.tensor([tokens]),
        encoder_hidden_states=torch.from_numpy(frames)[None],
    )[0]
    return theirs.proj_out(hidden)[0].numpy()


def test_logits_are_those_of_transformers(theirs, decoder, frames):
    expected = their_logits(theirs, frames, [*PROMPT, 9, 3])
    state = decoder.start(frames)
    for tokens, place in (PROMPT, 2), ([9], 3), ([3], 4):
        found = decoder.step(state, [tokens], [0])
        np.testing.assert_allclose(found[0], expected[place], atol=1e-4)


def test_rows_go_on_from_their_parents(theirs, decoder, frames):
    state = decoder.start(frames)
    decoder.step(state, [PROMPT], [0])
    decoder.step(state, [[9], [3], [5]], [0, 0, 0])
    found = decoder.step(state, [[6], [2]], [2, 0])
    for row, said in enumerate(([5, 6], [9, 2])):
        expected = their_logits(theirs, frames, [*PROMPT, *said])
        np.testing.assert_allclose(found[row], expected[-1], atol=1e-4)


@torch.no_grad()
def test_without_frames_the_context_is_zero(theirs, decoder):
    """As if each cross-attention attended to nothing: only the bias after it remains."""

    def nothing(module, args, output):
        return module.out_proj(torch.zeros_like(output[0])), *output[1:]

    hooks = [
        layer.encoder_attn.register_forward_hook(nothing) for layer in theirs.model.decoder.layers
    ]
    expected = their_logits(theirs, np.ones((3, 16), np.float32), PROMPT)
    for hook in hooks:
        hook.remove()
    found = decoder.step(decoder.start(None), [PROMPT], [0])
    np.testing.assert_allclose(found[0], expected[-1], atol=1e-4)


def test_beyond_its_positions(decoder, frames):
    with pytest.raises(DecodeError, match="knows 8 tokens"):
        decoder.step(decoder.start(frames), [list(range(9))], [0])


@pytest.mark.parametrize("change", [{"specification": "TransformerSpec"}, {}])
def test_other_models_are_refused(folder, tmp_path, change):
    model = read_ct2(folder / "model.bin")
    model.arrays["decoder/activation"] = np.int8(0) if not change else np.int8(3)
    (tmp_path / "model.bin").write_bytes(
        pack_ct2(
            dataclasses.replace(
                model, arrays={n: np.asarray(a) for n, a in model.arrays.items()}, **change
            )
        )
    )
    with pytest.raises(ModelError, match=r"not a Whisper model|another kind"):
        WhisperDecoder(tmp_path)


@pytest.mark.real
def test_probabilities_are_those_of_ctranslate2(examples):
    folder = fetch("whisper-base")
    whisper = Whisper(folder, compute_type="float32", num_threads=1)
    encoded = whisper.encode(read_wave(examples / "zh.flac"))
    tokens = whisper.tokens("欢迎使用")
    [result] = whisper._model.align(
        encoded.output, whisper._task_ids("zh", "transcribe"), [list(tokens)], [300]
    )
    decoder = WhisperDecoder(folder)
    state = decoder.start(np.asarray(encoded.output)[0])
    prompt = whisper.prompt("zh", DecodeOptions())
    found = []
    logits = decoder.step(state, [prompt], [0])[0]
    for token in tokens:
        text = logits[: whisper.special_ids["endoftext"]]  # what CTranslate2 counts when it aligns
        found.append(float(np.exp(logits[token] - text.max()) / np.exp(text - text.max()).sum()))
        logits = decoder.step(state, [[token]], [0])[0]
    np.testing.assert_allclose(found, result.text_token_probs, atol=1e-4)
