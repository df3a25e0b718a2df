"""Make tests/golden/paraformer.npz: what the `funasr` package says of two small Paraformers.

    pip install funasr torch torchaudio && python tools/golden_paraformer.py

Paraformer (CifPredictorV2) and BiCifParaformer (CifPredictorV3), small, with weights drawn from a
seed (`golden_sanm.weights`), are given one utterance after another: in a batch of them, funasr's
convolutions and its LSTM hear what stands behind the end of the shorter ones. Stored are the
log-probabilities of the tokens, the weights that they are timed by, and the words and times that
its own functions make of them; weights and features are made by formula.

`Paraformer.inference` gives the timing function its two arguments in the wrong order (funasr
1.4.16); here they are given as its signature names them, which is how BiCifParaformer does it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from golden_sanm import LENGTHS, SIZES, Floats, features, weights

TARGET = Path(__file__).parents[1] / "tests" / "golden" / "paraformer.npz"
SEED = 31
NAMES = ("Paraformer", "BiCifParaformer")
DECODER = {
    "attention_heads": 4,
    "linear_units": 40,
    "num_blocks": 3,
    "att_layer_num": 2,
    "kernel_size": 11,
    "sanm_shfit": 0,
}
PREDICTOR = {
    "idim": SIZES["width"],
    "threshold": 1.0,
    "l_order": 1,
    "r_order": 1,
    "tail_threshold": 0.45,
}
TIMES = {
    "smooth_factor2": 0.25,
    "noise_threshold2": 0.01,
    "upsample_times": 3,
    "use_cif1_cnn": False,
    "upsample_type": "cnn_blstm",
}
TOKENS = (
    *("<blank>", "<s>", "</s>"),
    *"今天气很好我们去公园散步欢迎大家来体验语音识别模型",
    *("hello", "wor@@", "ld", "spee@@", "ch", "a", "i", "t", "v", "the", "<unk>"),
)


def predictor_conf(name: str) -> dict[str, Any]:
    """That of a released config.yaml, but for the width."""
    return PREDICTOR if name == "Paraformer" else {**PREDICTOR, **TIMES}


def build(name: str) -> Any:
    """One of the two networks, filled."""
    import torch
    from funasr.models.bicif_paraformer import cif_predictor as _v3  # noqa: F401 (registers)
    from funasr.models.bicif_paraformer.model import BiCifParaformer
    from funasr.models.paraformer import cif_predictor as _v2  # noqa: F401
    from funasr.models.paraformer import decoder as _decoder  # noqa: F401
    from funasr.models.paraformer.model import Paraformer
    from funasr.models.sanm import encoder as _encoder  # noqa: F401

    kind = Paraformer if name == "Paraformer" else BiCifParaformer
    model = kind(
        encoder="SANMEncoder",
        encoder_conf={
            "output_size": SIZES["width"],
            "attention_heads": SIZES["num_heads"],
            "linear_units": SIZES["ffn_width"],
            "num_blocks": SIZES["num_blocks"],
            "kernel_size": SIZES["kernel"],
            "sanm_shfit": 0,
            "input_layer": "pe",
            "selfattention_layer_type": "sanm",
        },
        decoder="ParaformerSANMDecoder",
        decoder_conf=DECODER,
        predictor="CifPredictorV2" if name == "Paraformer" else "CifPredictorV3",
        predictor_conf=predictor_conf(name),
        input_size=560,
        vocab_size=len(TOKENS),
        ctc_weight=0.0,
        predictor_bias=1,
    ).eval()
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    drawn = {key: torch.from_numpy(array) for key, array in weights(shapes, SEED).items()}
    model.load_state_dict(drawn, strict=True)
    return model


def say(model: Any, utterance: Floats) -> dict[str, Any]:
    """What a network says of one utterance [F, M], step by step as its `inference` does."""
    import torch
    from funasr.utils.postprocess_utils import sentence_postprocess
    from funasr.utils.timestamp_tools import ts_prediction_lfr6_standard

    speech, lengths = torch.from_numpy(utterance)[None], torch.tensor([len(utterance)])
    hidden, lengths = model.encode(speech, lengths)
    sounds, counts, alphas, peaks = model.calc_predictor(hidden, lengths)[:4]
    counts = counts.round().long()
    found: dict[str, Any] = {"count": np.array(int(counts)), "alphas": alphas[0].numpy()}
    if int(counts) < 1:
        return found
    log_probs, _ = model.cal_decoder_with_predictor(hidden, lengths, sounds, counts)
    found["log_probs"] = log_probs[0, : int(counts)].numpy()
    ids = [i for i in found["log_probs"].argmax(-1).tolist() if i not in (0, 1, 2)]
    names = [TOKENS[i] for i in ids]
    rate = 1
    if hasattr(model, "calc_predictor_timestamp"):
        _, _, alphas, peaks = model.calc_predictor_timestamp(hidden, lengths, counts)
        found["us_alphas"], rate = alphas[0].numpy(), TIMES["upsample_times"]
    _, times = ts_prediction_lfr6_standard(
        alphas[0].clone(), peaks[0].clone(), copy.copy(names), upsample_rate=rate
    )
    found["times_ms"] = np.array(times).reshape(-1, 2)
    text, word_times, words = sentence_postprocess(names, times)
    found["text"], found["words"] = np.array(text), np.array(words)
    found["word_times_ms"] = np.array(word_times).reshape(-1, 2)
    return found


def main() -> None:
    """Write the golden file."""
    import torch

    golden: dict[str, Any] = {}
    for name in NAMES:
        model = build(name)
        golden[f"{name}_keys"] = np.array(sorted(model.state_dict()))
        for i, (row, length) in enumerate(zip(features(), LENGTHS, strict=True)):
            with torch.no_grad():
                for key, value in say(model, row[:length]).items():
                    golden[f"{name}_{i}_{key}"] = value
    np.savez_compressed(TARGET, allow_pickle=False, **golden)
    print(f"{TARGET.name}: {len(golden)} arrays, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
