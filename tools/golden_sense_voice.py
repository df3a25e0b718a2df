"""Make tests/golden/sense_voice.npz: what the `funasr` package says of a small SenseVoice.

    pip install funasr torch torchaudio sentencepiece && python tools/golden_sense_voice.py

A vocabulary is trained by SentencePiece on a few sentences, with SenseVoice's labels as pieces of
their own. A small SenseVoiceSmall with weights drawn from a seed (`golden_sanm.weights`) is given
one padded batch of features. Stored are the .bpe.model itself, the log-probabilities, the texts
of its greedy search, with and without EMO_UNKNOWN, and its losses as it learns `TAUGHT`; weights
and features are made by formula.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from golden_sanm import LENGTHS, NUM_TP_BLOCKS, SIZES, Floats, features, weights

TARGET = Path(__file__).parents[1] / "tests" / "golden" / "sense_voice.npz"
SEED = 21
QUERIES = (("auto", "woitn"), ("ja", "withitn"))
LABELS = (
    *("zh", "en", "yue", "ja", "ko", "nospeech"),
    *("HAPPY", "SAD", "ANGRY", "NEUTRAL", "FEARFUL", "DISGUSTED", "SURPRISED", "EMO_UNKNOWN"),
    *("BGM", "Speech", "Applause", "Laughter", "Cry", "Sneeze", "Breath", "Cough"),
    *("withitn", "woitn", "Event_UNK"),
)
SENTENCES = (
    *("the quick brown fox jumps over the lazy dog", "she sells sea shells by the sea shore"),
    *("今天天气很好我们去公园散步", "欢迎大家来体验语音识别模型"),
)
LIKELY = {"<unk>": 1.5, "<|EMO_UNKNOWN|>": 1.5}  # biases, so that a path has blanks, bans matter
CLASSES = slice(None, None, 5)  # of the log-probabilities that are stored
TAUGHT = (  # labels and text of each utterance of the batch, short enough for its frames
    ("en", "HAPPY", "Speech", "withitn", "the quick"),
    ("zh", "SAD", "BGM", "woitn", ""),
    ("yue", "NEUTRAL", "Laughter", "woitn", "今天"),
    ("ja", "ANGRY", "Speech", "withitn", "模型识别"),
)
SMOOTHING = (0.0, 0.1)
DECODED = ([4, 10, 2, 0, 1], [290, 300, 90, 310], list(range(380, 400)))


def vocabulary(folder: Path) -> bytes:
    """A .bpe.model of SentencePiece over `SENTENCES`, with letters that it lacks as bytes."""
    import sentencepiece

    prefix = str(folder / "small.bpe")
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(SENTENCES * 20),
        model_prefix=prefix,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        user_defined_symbols=[f"<|{name}|>" for name in LABELS],
        num_threads=1,
    )
    return Path(f"{prefix}.model").read_bytes()


def parameters(shapes: Mapping[str, tuple[int, ...]], pieces: Sequence[str]) -> dict[str, Floats]:
    """A tensor for every name, by formula."""
    drawn = weights(shapes, SEED)
    for piece, bias in LIKELY.items():
        drawn["ctc.ctc_lo.bias"][list(pieces).index(piece)] += bias
    return drawn


def losses(model: Any, tokenizer: Any) -> dict[str, Floats]:
    """CTC per utterance, divergence per label and share of labels said right, all languages told.

    The ids of labels are set to those of this vocabulary.
    """
    import torch
    from funasr.losses.label_smoothing_loss import LabelSmoothingLoss

    def piece(name: str) -> int:
        return int(tokenizer.sp.PieceToId(f"<|{name}|>"))

    rows = {"zh": 3, "en": 4, "yue": 7, "ja": 11, "ko": 12, "nospeech": 13}
    model.lid_int_dict = {piece(name): row for name, row in rows.items()}
    model.textnorm_int_dict = {piece("withitn"): 14, piece("woitn"): 15}
    ids = [[*map(piece, labels), *tokenizer.encode(text)] for *labels, text in TAUGHT]
    lengths = torch.tensor([len(one) for one in ids])
    text = torch.full((len(ids), int(lengths.max())), -1)
    for row, one in zip(text, ids, strict=True):
        row[: len(one)] = torch.tensor(one)
    found = {}
    for smoothing in SMOOTHING:
        model.criterion_att = LabelSmoothingLoss(model.vocab_size, -1, smoothing, True)
        with torch.no_grad(), patch("torch.rand", torch.ones):
            speech = torch.from_numpy(features())
            _, stats, _ = model(speech, torch.tensor(LENGTHS), text, lengths)
        names = ("loss_ctc", "loss_rich", "acc_rich")
        found[f"losses_{smoothing}"] = np.array([float(stats[name]) for name in names])
    return found


def main() -> None:
    """Write the golden file."""
    import torch
    from funasr.models.sense_voice.model import SenseVoiceSmall
    from funasr.tokenizer.sentencepiece_tokenizer import SentencepiecesTokenizer

    golden = {}
    with tempfile.TemporaryDirectory() as folder:
        content = vocabulary(Path(folder))
        golden["bpe_model"] = np.frombuffer(content, np.uint8)
        tokenizer = SentencepiecesTokenizer(f"{folder}/small.bpe.model")
    num_classes = tokenizer.sp.GetPieceSize()
    golden["pieces"] = np.array([tokenizer.sp.IdToPiece(i) for i in range(num_classes)])
    spelled = [tokenizer.encode(f"<|en|><|Speech|>{text}\u20ac") for text in SENTENCES]
    for i, ids in enumerate([*DECODED, *spelled]):
        golden[f"ids_{i}"], golden[f"decoded_{i}"] = np.array(ids), np.array(tokenizer.decode(ids))

    model = SenseVoiceSmall(
        encoder="SenseVoiceEncoderSmall",
        encoder_conf={
            "output_size": SIZES["width"],
            "attention_heads": SIZES["num_heads"],
            "linear_units": SIZES["ffn_width"],
            "num_blocks": SIZES["num_blocks"],
            "tp_blocks": NUM_TP_BLOCKS,
            "kernel_size": SIZES["kernel"],
            "input_layer": "pe",
        },
        input_size=560,
        vocab_size=num_classes,
    ).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    golden["keys"] = np.array(sorted(shapes))
    drawn = parameters(shapes, golden["pieces"].tolist())
    model.load_state_dict({n: torch.from_numpy(a) for n, a in drawn.items()}, strict=True)

    model.emo_dict["unk"] = tokenizer.sp.PieceToId("<|EMO_UNKNOWN|>")
    said: list[torch.Tensor] = []
    log_softmax = model.ctc.log_softmax

    def noted(hidden: torch.Tensor) -> torch.Tensor:
        said.append(log_softmax(hidden))
        return said[-1].clone()

    model.ctc.log_softmax = noted
    for language, style in QUERIES:
        for banned in (False, True):
            with torch.no_grad():
                results, _ = model.inference(
                    torch.from_numpy(features()),
                    torch.tensor(LENGTHS),
                    key=[str(i) for i in range(len(LENGTHS))],
                    tokenizer=tokenizer,
                    data_type="fbank",
                    device="cpu",
                    language=language,
                    text_norm=style,
                    ban_emo_unk=banned,
                )
            texts = np.array([result["text"] for result in results])
            golden[f"texts_{language}_{style}_{int(banned)}"] = texts
        golden[f"log_probs_{language}_{style}"] = said[-1].numpy()[..., CLASSES]
    golden |= losses(model, tokenizer)
    np.savez_compressed(TARGET, allow_pickle=False, **golden)
    print(f"{TARGET.name}: {len(golden)} arrays, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
