"""SenseVoice against the numbers of the funasr package, and its released folder with its faults."""

import shutil

import numpy as np
import pytest
import torch
import yaml
from tests.models import sense_voice_folder
from tests.models.sense_voice_folder import TOOL, golden_network, read_golden

from mooer.audio.features import load_cmvn
from mooer.engines.onnx import open_session
from mooer.engines.onnx_file import Graph
from mooer.engines.sense_voice import SenseVoiceOnnx
from mooer.errors import ConfigError, ModelError
from mooer.export.sense_voice import export_onnx, write_onnx
from mooer.models.funasr_folder import ONNX, QUANTISED, network_file, read_frontend
from mooer.models.released import inspect
from mooer.models.sense_voice import FULL, SenseVoice, SenseVoiceConfig, load
from mooer.models.sense_voice_folder import (
    VOCABULARY,
    holds_sense_voice,
    read_settings,
    vocabulary_file,
)
from mooer.models.sense_voice_labels import (
    LANGUAGE_QUERIES,
    RELEASED_SIZE,
    STYLE_QUERIES,
    Vocabulary,
    read_vocabulary,
    runs,
)
from mooer.models.sentencepiece import Piece, SentencePiece
from mooer.models.tensors import shapes_of

UTTERANCES = [TOOL.features()[i, :n] for i, n in enumerate(TOOL.LENGTHS)]


@pytest.fixture(scope="module")
def golden():
    return read_golden()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sense_voice_folder.save(tmp_path_factory.mktemp("sense-voice") / "SenseVoiceSmall")


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(whole, tmp_path / "SenseVoiceSmall")


@pytest.fixture(scope="module")
def vocabulary(whole):
    return read_vocabulary(whole / VOCABULARY)


def rows(language, style):
    return LANGUAGE_QUERIES[language], STYLE_QUERIES[style]


def normal(logits):
    """Log-probabilities."""
    return torch.from_numpy(logits).log_softmax(-1).numpy()


def edit(folder, change):
    """Change config.yaml."""
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    change(settings)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def edit_weights(folder, change):
    tensors = torch.load(folder / "model.pt", weights_only=True)
    (folder / "model.pt").unlink()  # it may be mapped by an earlier test
    change(tensors)
    torch.save(tensors, folder / "model.pt")


# --- the network ------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "style"), TOOL.QUERIES)
def test_it_says_what_funasr_says(golden, whole, vocabulary, language, style):
    network = load(whole)
    assert sorted(network.state_dict()) == golden["keys"].tolist()
    said = [normal(one) for one in network.logits(UTTERANCES, *rows(language, style))]
    wanted = golden[f"log_probs_{language}_{style}"]
    for got, expected, length in zip(said, wanted, TOOL.LENGTHS, strict=True):
        assert got.shape == (4 + length, len(vocabulary))
        np.testing.assert_allclose(got[:, TOOL.CLASSES], expected[: 4 + length], atol=1e-4)
    for banned in (False, True):
        texts = []
        for one in [row.copy() for row in said]:
            if banned:
                one[:, vocabulary.labels["EMO_UNKNOWN"]] = -np.inf
            best = one.argmax(axis=1)
            texts.append(vocabulary.decode(best[runs(best)[0]].tolist()))
        assert texts == golden[f"texts_{language}_{style}_{int(banned)}"].tolist()


def test_the_two_queries_do_something(golden):
    one, two = (golden[f"log_probs_{language}_{style}"] for language, style in TOOL.QUERIES)
    assert np.abs(one - two).max() > 0.1


def test_padding_changes_nothing_even_where_it_is_nan():
    network = golden_network()
    padded = torch.full((2, 30, 560), torch.nan)
    lengths = torch.tensor([len(UTTERANCES[2]), len(UTTERANCES[3])])
    for row, one in zip(padded, UTTERANCES[2:], strict=True):
        row[: len(one)] = torch.from_numpy(one)
    with torch.no_grad():
        out, out_lengths = network(padded, lengths, torch.tensor([3, 3]), torch.tensor([15, 15]))
    assert out_lengths.tolist() == [4 + len(one) for one in UTTERANCES[2:]]
    for row, one in zip(out.numpy(), UTTERANCES[2:], strict=True):
        [alone] = network.logits([one], 3, 15)
        np.testing.assert_allclose(row[: 4 + len(one)], alone, atol=1e-4)


def test_the_default_has_the_released_size():
    with torch.device("meta"):
        network = SenseVoice(SenseVoiceConfig())
    assert sum(p.numel() for p in network.parameters()) == FULL == 233_999_167
    shapes = shapes_of(network.state_dict())
    assert shapes["ctc.ctc_lo.weight"] == (25_055, 512)
    assert shapes["embed.weight"] == (16, 560)
    assert "encoder.tp_encoders.19.self_attn.fsmn_block.weight" in shapes


# --- the vocabulary ---------------------------------------------------------------------------


def test_pieces_are_written_as_sentencepiece_writes_them(golden, vocabulary):
    assert len(vocabulary) == len(golden["pieces"])
    numbers = [name.removeprefix("ids_") for name in golden if name.startswith("ids_")]
    assert len(numbers) == len(TOOL.DECODED) + len(TOOL.SENTENCES)
    for number in numbers:
        text = vocabulary.decode(golden[f"ids_{number}"].tolist())
        assert text == str(golden[f"decoded_{number}"])


def path_of(vocabulary, golden, *tags, spoken=3):
    """Log-probabilities that say these tags, then the ids of a stored sentence, with blanks."""
    ids = golden[f"ids_{spoken}"].tolist()[3:]
    classes = [vocabulary.labels[tag] if tag else 0 for tag in tags]
    classes += [one for i in ids for one in (i, i, 0)]
    log_probs = np.full((len(classes), len(vocabulary)), 0.2 / (len(vocabulary) - 1), np.float32)
    log_probs[np.arange(len(classes)), classes] = 0.8
    return np.log(log_probs)


def test_labels_and_text_are_read_apart(golden, vocabulary):
    log_probs = path_of(vocabulary, golden, "en", "HAPPY", "Laughter", "withitn")
    rich = vocabulary.read(log_probs)
    assert rich.text == "the quick brown fox jumps over the lazy dog€"
    names = [label.name for label in (rich.language, rich.emotion, rich.event, rich.style)]
    assert names == ["en", "HAPPY", "Laughter", "withitn"]
    assert rich.emotion.probability == pytest.approx(0.8)
    assert rich.avg_logprob == pytest.approx(np.log(0.8))
    assert [token.start for token in rich.tokens] == list(range(0, 3 * len(rich.tokens), 3))
    assert {token.end - token.start for token in rich.tokens} == {2}
    assert "".join(token.text for token in rich.tokens) == rich.text
    shifted = vocabulary.read(3.0 + path_of(vocabulary, golden, "en", "HAPPY", "Laughter", "woitn"))
    assert shifted.emotion.probability == pytest.approx(0.8)  # logits do as well


def test_a_label_in_another_place_is_none(golden, vocabulary):
    rich = vocabulary.read(path_of(vocabulary, golden, "HAPPY", "en", "", "woitn"))
    assert (rich.language, rich.emotion, rich.event) == (None, None, None)
    assert rich.style.name == "woitn"
    assert rich.text.startswith("the quick")


def test_an_unknown_emotion_can_be_banned(golden, vocabulary):
    log_probs = path_of(vocabulary, golden, "en", "EMO_UNKNOWN", "Speech", "woitn")
    log_probs[1, vocabulary.labels["SAD"]] = -3.0
    before = log_probs.copy()
    assert vocabulary.read(log_probs).emotion.name == "EMO_UNKNOWN"
    assert vocabulary.read(log_probs, ban_unknown_emotion=True).emotion.name == "SAD"
    np.testing.assert_array_equal(log_probs, before)


def test_tags_within_the_speech_are_no_text(golden, vocabulary):
    log_probs = path_of(vocabulary, golden, "en", "SAD", "Speech", "woitn")
    log_probs[6, vocabulary.labels["BGM"]] = 0.0
    rich = vocabulary.read(log_probs)
    assert "BGM" not in rich.text
    [tag] = [token for token in rich.tokens if token.id == vocabulary.labels["BGM"]]
    assert tag.text == ""


def test_silence_has_no_text(golden, vocabulary):
    log_probs = path_of(vocabulary, golden, "nospeech", "EMO_UNKNOWN", "BGM", "woitn")[:4]
    rich = vocabulary.read(log_probs)
    assert (rich.text, rich.tokens, rich.avg_logprob) == ("", (), 0.0)
    assert (rich.language.name, rich.event.name) == ("nospeech", "BGM")


def test_another_tokenizer_is_refused(golden):
    pieces = [Piece(text) for text in golden["pieces"].tolist()]
    with pytest.raises(ModelError, match=r"not SenseVoice's tokenizer: it has no piece <\|zh\|>"):
        Vocabulary(SentencePiece([p for p in pieces if p.text != "<|zh|>"]))
    grown = [*pieces, *(Piece(f"piece {i}") for i in range(RELEASED_SIZE - len(pieces)))]
    with pytest.raises(ModelError, match=r"<\|zh\|> is piece 3 instead of 24884"):
        Vocabulary(SentencePiece(grown))


@pytest.mark.parametrize("content", [b"", b"\x0a\xff\x01abc", b"\x07", b"\xff" * 12, b"{}"])
def test_a_damaged_vocabulary_is_named(tmp_path, content):
    (tmp_path / VOCABULARY).write_bytes(content)
    with pytest.raises(ModelError, match=r"bpe\.model"):
        read_vocabulary(tmp_path / VOCABULARY)


# --- the folder -------------------------------------------------------------------------------


def test_a_folder_is_recognised_and_found_whole(whole):
    assert holds_sense_voice(whole)
    report = inspect(whole)
    assert report.kind == "SenseVoiceSmall"
    assert report.usable, report.problems
    [piece] = report.pieces
    assert "3 + 2 blocks of width 32, 400 classes (not the released size)" in piece.says


def test_a_folder_of_another_model_is_not(folder):
    edit(folder, lambda settings: settings.update(model="Paraformer"))
    assert not holds_sense_voice(folder)
    with pytest.raises(ModelError, match="of 'Paraformer', not of SenseVoiceSmall"):
        read_settings(folder)


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_weights_may_lie_beside_the_state_of_their_training(folder, wrapper):
    tensors = torch.load(folder / "model.pt", weights_only=True)
    torch.save({wrapper: tensors, "epoch": 3, "optimizer": {}}, folder / "model.pt")
    assert inspect(folder).usable
    for name, tensor in load(folder).state_dict().items():
        assert torch.equal(tensor, tensors[name])


def test_weights_that_end_early_are_seen(folder):
    def cut(tensors):
        for name in [n for n in tensors if n.startswith("encoder.tp_encoders.1.")]:
            del tensors[name]

    edit_weights(folder, cut)
    with pytest.raises(ModelError, match=r"missing: 13, encoder\.tp_encoders\.1\."):
        load(folder)
    assert not inspect(folder).usable


def test_a_tensor_too_many_and_one_that_is_not_finite_are_seen(folder):
    def spoil(tensors):
        tensors["decoder.weight"] = torch.zeros(3)
        tensors["embed.weight"][2, 5] = torch.nan

    edit_weights(folder, spoil)
    with pytest.raises(ModelError, match=r"unexpected: 1, decoder.*not finite: 1, embed.weight"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [("am.mvn", "am.mvn is missing"), (VOCABULARY, "bpe.model is missing: fetch it")],
)
def test_a_missing_file_is_a_problem(folder, name, words):
    (folder / name).unlink()
    report = inspect(folder)
    assert (report.kind, report.usable) == ("SenseVoiceSmall", False)
    assert any(words in problem for problem in report.problems)


def test_a_vocabulary_of_another_size_is_a_problem(folder):
    def widen(tensors):
        tensors["ctc.ctc_lo.weight"] = torch.zeros(401, TOOL.SIZES["width"])
        tensors["ctc.ctc_lo.bias"] = torch.zeros(401)

    edit_weights(folder, widen)
    [problem] = inspect(folder).problems
    assert "has 400 pieces, but the network 401 classes" in problem


def test_cmvn_of_another_width_is_refused(folder):
    edit(folder, lambda settings: settings["frontend_conf"].update(lfr_m=5))
    with pytest.raises(ModelError, match="560 values, but the front end makes 400"):
        read_frontend(folder, read_settings(folder).front)


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("encoder_conf", "attention_heads", "four", "attention_heads as a whole number"),
        ("encoder_conf", "sanm_shfit", 5, "shifts the memory"),
        ("frontend_conf", "fs", 8000, "8000 Hz"),
        ("frontend_conf", "n_mels", None, "n_mels as a whole number"),
    ],
)
def test_settings_that_are_not_read(folder, section, key, value, words):
    edit(folder, lambda settings: settings[section].update({key: value}))
    with pytest.raises(ModelError, match=words):
        read_settings(folder)


def test_the_vocabulary_may_have_another_name_if_it_is_the_only_one(folder):
    (folder / VOCABULARY).rename(folder / "mine.bpe.model")
    assert vocabulary_file(folder).name == "mine.bpe.model"
    shutil.copy(folder / "mine.bpe.model", folder / "other.bpe.model")
    with pytest.raises(ModelError, match="is missing"):
        vocabulary_file(folder)


# --- ONNX -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(whole, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "SenseVoiceSmall"
    export_onnx(whole, out, ("float32", "int8"))
    return out


@pytest.mark.parametrize(("language", "style"), TOOL.QUERIES)
def test_the_exported_network_says_what_funasr_says(golden, exported, language, style):
    engine = SenseVoiceOnnx(exported / ONNX)
    assert engine.num_classes == len(golden["pieces"])
    said = engine.logits(UTTERANCES, *rows(language, style))
    wanted = golden[f"log_probs_{language}_{style}"]
    for got, expected, length in zip(said, wanted, TOOL.LENGTHS, strict=True):
        assert got.shape[0] == 4 + length
        np.testing.assert_allclose(normal(got)[:, TOOL.CLASSES], expected[: 4 + length], atol=1e-4)


def test_in_int8_it_says_nearly_the_same(exported):
    exact = SenseVoiceOnnx(exported / ONNX).logits(UTTERANCES, 0, 15)
    packed = SenseVoiceOnnx(exported / QUANTISED).logits(UTTERANCES, 0, 15)
    for one, other in zip(exact, packed, strict=True):
        away = np.abs(normal(one) - normal(other))
        assert away.max() < 1.0  # of log-probabilities that spread over tens
        assert away.mean() < 0.1


def test_an_exported_folder_is_whole_without_the_weights(exported):
    assert sorted(path.name for path in exported.iterdir()) == sorted(
        [ONNX, QUANTISED, "config.yaml", "am.mvn", "tokens.txt", VOCABULARY]
    )
    assert inspect(exported).usable


def test_the_file_is_chosen_by_its_precision(exported, tmp_path):
    assert network_file(exported).name == QUANTISED
    assert network_file(exported, "float32").name == ONNX
    assert network_file(tmp_path) is None
    with pytest.raises(ConfigError, match=r"holds no model_quant\.onnx, the network in int8"):
        network_file(tmp_path, "int8")


def test_the_file_says_what_sherpa_onnx_asks_for(golden, exported):
    notes = open_session(exported / ONNX).get_modelmeta().custom_metadata_map
    assert notes["vocab_size"] == str(len(golden["pieces"]))
    assert (notes["lang_yue"], notes["with_itn"], notes["normalize_samples"]) == ("7", "14", "0")
    shift = np.array(notes["neg_mean"].split(","), np.float32)
    np.testing.assert_array_equal(shift, load_cmvn(exported / "am.mvn").shift)
    tokens = (exported / "tokens.txt").read_text("utf-8").splitlines()
    assert tokens[3].split() == [str(golden["pieces"][3]), "3"]


def test_a_folder_that_is_not_whole_is_not_exported(folder, tmp_path):
    (folder / "am.mvn").unlink()
    with pytest.raises(ModelError, match=r"am\.mvn is missing"):
        export_onnx(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_other_exporters_are_taken_and_other_networks_refused(tmp_path):
    def save(name, output, names=("speech", "speech_lengths", "language", "textnorm")):
        graph = Graph()
        speech = graph.input(names[0], np.float32, ["batch", "frames", 3])
        lengths = graph.input(names[1], np.int32, ["batch"])
        graph.input(names[2], np.int32, ["batch"])
        graph.input(names[3], np.int32, ["batch"])
        graph.output(speech, output, np.float32, ["batch", "frames", "classes"])
        graph.output(lengths, "encoder_out_lens", np.int32, ["batch"])
        graph.write(tmp_path / name)
        return tmp_path / name

    features = [np.float32([[1, 2, 3], [4, 4, 4]]), np.float32([[0, 1, 9]])]
    sherpa = ("x", "x_length", "language", "text_norm")
    for path in (save("ours.onnx", "ctc_logits"), save("sherpa.onnx", "logits", sherpa)):
        engine = SenseVoiceOnnx(path)
        for got, one in zip(engine.logits(features, 0, 15), features, strict=True):
            np.testing.assert_array_equal(got, one)
    with pytest.raises(ModelError, match="is no SenseVoice: it reads speech"):
        SenseVoiceOnnx(save("other.onnx", "pitch"))
    (tmp_path / "broken.onnx").write_bytes(b"no")
    with pytest.raises(ModelError, match="not a usable ONNX file"):
        SenseVoiceOnnx(tmp_path / "broken.onnx")


def test_a_file_that_onnx_cannot_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mooer.engines.onnx_file._MAX_BYTES", 1000)
    with pytest.raises(ModelError, match=r"an ONNX file holds 1000"):
        write_onnx(golden_network(), tmp_path / ONNX)
    assert not (tmp_path / ONNX).exists()
