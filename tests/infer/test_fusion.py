"""Recognisers with language models: the CTC search, Whisper's n-best, domains, and priors."""

import logging
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from tests.fakes import LetterCtc, LoudnessVad, ScriptedWhisper, speech

from mooer.audio.wave import read_wave
from mooer.decoding.fusion import FusionOptions
from mooer.decoding.lm.load import write_ngram
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.nbest import NBest
from mooer.engines.whisper import Decoded, DecodeOptions, Whisper
from mooer.errors import ConfigError, ModelError
from mooer.infer import RecognizeOptions, Recognizer
from mooer.infer.candidates import (
    candidates,
    fusions_for_tuning,
    graphs_for_tuning,
    grid_for,
    nbest_of,
)
from mooer.infer.ctc_recognizer import CtcRecognizer, load_ctc
from mooer.infer.domain import (
    DomainSettings,
    as_method,
    build_lm,
    compose,
    read_domain,
    write_settings,
)
from mooer.infer.fusion import Fusion, estimate_prior, load_fusion, read_prior, save_prior
from mooer.infer.language_models import load_language_model
from mooer.store import fetch
from mooer.text.units import Units

needs_kaldi = pytest.mark.skipif(
    not find_spec("kaldifst") or not find_spec("kaldi_decoder"), reason="needs mooer[wfst]"
)


class Speller(LetterCtc):
    """Letters as units; sure of the last but one letter of 今天气 only by half."""

    change_cost = 0.0
    letters = LetterCtc.letters
    units = Units(
        tuple(LetterCtc.letters),
        (None,) * len(LetterCtc.letters),
        ("",) * len(LetterCtc.letters),
    )

    def log_probs(self, samples):
        rows = super().log_probs(samples)
        sky, air = (self.letters.index(c) + 1 for c in "天年")
        heard = rows[:, sky] > -1.0  # 天 sounds a little more like 年
        rows[heard, air] = np.log(0.5)
        rows[heard, sky] = np.log(0.4)
        return rows


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    path = tmp_path_factory.mktemp("lm") / "lm.bin"
    texts = ["今天天气很好", "今天很好", "你好世界"] * 2
    write_ngram(train_ngram(texts, TrainOptions(3)).tables, path)
    return path


@pytest.fixture
def recognizer():
    return CtcRecognizer(Speller(), LoudnessVad(), name="letters", versions={})


def sound(words):
    return Speller().say([0.5, *words, 0.5], unit_frames=2)[0]


def said(recognizer, samples, **options):
    """The text of what is heard at once: a VAD would cut between the frames of the letters."""
    [heard] = recognizer.hear_as([samples], RecognizeOptions(**options))
    return "".join(word.text for word in heard.words).strip()


@pytest.mark.parametrize("method", ["shallow", "rescore", "ilme", "density", "lodr"])
def test_a_language_model_mends_what_ctc_mishears(method, lm, recognizer, tmp_path):
    samples = sound(["今天", "很好"])
    assert said(recognizer, samples) == "今年很好"
    save_prior(tmp_path / "prior.npy", np.full(len(Speller.letters) + 1, 0.01))
    source = tmp_path / "source.bin"
    write_ngram(train_ngram(["今年很好", "是的"], TrainOptions(2)).tables, source)
    options = FusionOptions(method, lm_weight=0.8)
    if method in ("density", "lodr"):
        options = replace(options, source_weight=0.2)
    if method == "ilme":
        options = replace(options, ilm_weight=0.2)
    fusion = load_fusion(options, lm=lm, source=source, prior=tmp_path / "prior.npy")
    assert said(recognizer, samples, fusion=fusion) == "今天很好"
    [heard] = recognizer.hear_as([samples], RecognizeOptions(fusion=fusion))
    assert [word.text.strip() for word in heard.words] == ["今", "天", "很", "好"]
    assert heard.words[0].start_s == pytest.approx(0.52, abs=0.021)
    assert heard.language == "zh"


@needs_kaldi
def test_a_graph_divides_frames_by_their_prior(lm, recognizer):
    rows = recognizer.model.log_probs(sound(["今天", "很好"]))
    prior = np.exp(rows).mean(axis=0)
    options = FusionOptions("wfst", 0.5, ilm_weight=0.7)
    graph, _ = compose(lm, recognizer, options)
    fusion = Fusion(options, prior=prior, graph=graph)
    search = recognizer.search(RecognizeOptions(fusion=fusion))
    assert recognizer.spelling.text(search.units(rows)) == "今天很好"
    # The formula of a text's own best path: what the graph finds is the best by it.
    lists = candidates(
        recognizer,
        sound(["今天", "很好"]),
        prior=prior,
        fusions=graphs_for_tuning(recognizer, lm, prior),
    )
    scorer = Fusion(FusionOptions("shallow"), load_language_model(lm))
    [best, *_] = scorer.scored(NBest("", tuple(lists)), None).ranked(options.weights)
    assert best.text == "今天很好"
    [walk] = graph.decode(rows)
    again = search.walked(walk.units, walk.path, rows, prior)
    assert again.logprob == pytest.approx(walk.logprob, abs=1e-3)
    frames = np.log(np.maximum(prior, 1e-4))[list(walk.path)].sum()
    assert again.scores["frames"] == pytest.approx(frames, rel=1e-5)
    by_itself = search.first(rows, prior)
    assert (by_itself.text, by_itself.logprob) == (
        "今年很好",
        pytest.approx(rows.max(axis=1).sum(), rel=1e-5),
    )
    with pytest.raises(ConfigError, match="needs the prior"):
        Fusion(options, graph=graph)
    with pytest.raises(ConfigError, match="estimate it with this model"):
        Fusion(options, graph=graph, prior=prior[1:])


@needs_kaldi
def test_hotwords_choose_among_what_a_graph_finds(tmp_path, recognizer):
    path = tmp_path / "lm.bin"
    write_ngram(train_ngram(["今天很好", "今年很好"] * 2, TrainOptions(2)).tables, path)
    options = FusionOptions("wfst", 0.05)
    fusion = Fusion(options, graph=compose(path, recognizer, options)[0])
    samples = sound(["今天", "很好"])
    assert said(recognizer, samples, fusion=fusion) == "今年很好"
    assert said(recognizer, samples, fusion=fusion, hotwords="今天") == "今天很好"
    assert said(recognizer, samples, fusion=fusion, hotwords="天气") == "今年很好"


def test_hotwords_add_to_the_language_model(lm, recognizer):
    samples = sound(["今天"])
    fusion = load_fusion(FusionOptions(lm_weight=0.05), lm=lm)
    assert said(recognizer, samples, fusion=fusion) == "今年"
    assert said(recognizer, samples, fusion=fusion, hotwords="今天") == "今天"


def test_a_recording_is_heard_chunk_by_chunk(lm, recognizer):
    level = 0.1 + 0.005 * (Speller.letters.index("好") + 1)  # of one letter, however frames are cut
    samples = np.concatenate([np.full(n, v, np.float32) for n, v in [(8000, 0), (8000, level)] * 2])
    samples = np.concatenate([samples, np.zeros(8000, np.float32)])
    fusion = load_fusion(FusionOptions(lm_weight=0.1), lm=lm)
    for options in (RecognizeOptions(), RecognizeOptions(fusion=fusion)):
        found = recognizer.transcribe(samples, options, rate_hz=16_000)
        assert "好" in found.text
        assert found.language == "zh"


def test_what_a_ctc_head_cannot_do_is_told(recognizer):
    with pytest.raises(ConfigError, match="no use for prompt"):
        recognizer.transcribe(sound(["好"]), RecognizeOptions(prompt="x"))
    with pytest.raises(ConfigError, match="does not translate"):
        recognizer.transcribe(sound(["好"]), RecognizeOptions(task="ast"))
    silent = Speller()
    silent.units = None
    with pytest.raises(ModelError, match="no speller"):
        CtcRecognizer(silent, LoudnessVad(), name="letters", versions={})


class ManyMinded(ScriptedWhisper):
    """Finds three texts, the wrong one first; without the sound it likes the short one."""

    def hypotheses(self, chunks, language, options, max_tokens):
        self.options.append(options)
        texts = [("今年很好", -1.0), ("今天很好", -1.5), ("好", -2.0)]
        found = []
        for _ in chunks:
            each = []
            for text, logprob in texts[: options.num_best]:
                tokens = tuple(map(ord, text))
                self._said[tokens] = text
                each.append(Decoded(text, tokens, logprob / 5, 0.0, logprob))
            found.append(each)
        return found

    def habits(self, chunk, texts, language):
        return [-4.0 if len(tokens) > 1 else -0.5 for tokens in texts]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (FusionOptions("rescore", 0.5), "今天很好"),
        (FusionOptions("rescore", 0.0), "今年很好"),
        (FusionOptions("rescore", 0.0, length_bonus=-5.0), "好"),
    ],
)
def test_whispers_n_best_is_weighed_by_the_formula(options, text, lm):
    whisper = ManyMinded([])
    recognizer = Recognizer(whisper, LoudnessVad(), versions={})
    fusion = load_fusion(options, lm=lm)
    wanted = RecognizeOptions(language="zh", fusion=fusion)
    assert recognizer.transcribe(speech((2.0, 0.5)), wanted, rate_hz=16_000).text == text
    assert whisper.options[0].num_best == whisper.options[0].beam_size == 8


def test_whisper_refuses_what_its_search_cannot_do():
    recognizer = Recognizer(ManyMinded([]), LoudnessVad(), versions={})
    wanted = RecognizeOptions(fusion=Fusion(FusionOptions("wfst"), graph=object()))
    with pytest.raises(ConfigError, match="searched through no graph"):
        recognizer.transcribe(speech((1.0, 0.5)), wanted, rate_hz=16_000)


def test_lists_for_tuning_hold_what_several_searches_find(lm, recognizer):
    samples = sound(["今天", "天气"])
    plain = candidates(recognizer, samples)
    assert plain[0].text == "今年年气"
    fusion = load_fusion(FusionOptions(lm_weight=1.0), lm=lm)
    joined = candidates(recognizer, samples, fusions=[fusion])
    assert "今天天气" in [one.text for one in joined]
    assert len({one.text for one in joined}) == len(joined)
    heard = {one.text: one.logprob for one in plain}
    for one in joined:
        assert one.logprob == pytest.approx(heard.get(one.text, one.logprob), abs=1e-3)
    whisper = Recognizer(ManyMinded([]), LoudnessVad(), versions={})
    found = candidates(whisper, speech((2.0, 0.5)), language="zh", ilm=True)
    assert [one.scores["ilm"] for one in found] == [-4.0, -4.0, -0.5]


def test_whispers_lists_hold_what_its_own_search_finds(lm, monkeypatch):
    class Joined:
        def __init__(self, engine, fusion):
            self.logprob = -1.4 if fusion.options.lm_weight < 0.5 else -1.7

        def hypotheses(self, chunks, language, options, max_tokens):
            texts = ("今天天气", -1.8), ("今天很好", self.logprob)
            return [[Decoded(t, tuple(map(ord, t)), p / 5, 0.0, p) for t, p in texts]]

    monkeypatch.setattr("mooer.infer.guarded.JoinedWhisper", Joined)
    whisper = Recognizer(ManyMinded([]), LoudnessVad(), versions={})
    fusions = [Fusion(FusionOptions(lm_weight=w), load_language_model(lm)) for w in (0.2, 0.6)]
    found = candidates(whisper, speech((2.0, 0.5)), language="zh", ilm=True, fusions=fusions)
    assert [(one.text, one.logprob) for one in found] == [
        ("今年很好", -1.0),
        ("今天很好", -1.4),
        ("今天天气", -1.8),
        ("好", -2.0),
    ]
    assert [one.scores["ilm"] for one in found] == [-4.0, -4.0, -4.0, -0.5]


def test_each_kind_of_recogniser_is_searched_at_its_own_weights(lm, recognizer):
    model = load_language_model(lm)
    whisper = Recognizer(ManyMinded([]), LoudnessVad(), versions={})
    ctc, own = (fusions_for_tuning(one, model) for one in (recognizer, whisper))
    assert len(ctc) == 2
    assert max(one.options.lm_weight for one in own) < min(one.options.lm_weight for one in ctc)
    for one, fusions in ((recognizer, ctc), (whisper, own)):  # no more is tried than was searched
        most = max(fusion.options.lm_weight for fusion in fusions)
        assert max(grid_for(one).lm_weight) == most


def test_what_is_too_long_for_a_list_is_left_out(recognizer, caplog):
    class Row:
        id, fields = "long", {"text": "好", "language": "zh"}

    with caplog.at_level(logging.WARNING):
        assert not list(nbest_of(recognizer, [Row()], lambda item: np.zeros(31 * 16_000)))
    assert "long is longer than 30 s" in caplog.text


def test_a_prior_is_the_mean_posterior(tmp_path):
    model = Speller()
    prior = estimate_prior(model, [sound(["你好"]), sound(["世界"])])
    assert prior.sum() == pytest.approx(1.0, abs=1e-5)
    assert prior.argmax() == 0
    save_prior(tmp_path / "p.npy", prior)
    assert (read_prior(tmp_path / "p.npy") == prior).all()
    (tmp_path / "q.npy").write_bytes(b"x")
    with pytest.raises(ModelError, match="estimate it again"):
        read_prior(tmp_path / "q.npy")
    with pytest.raises(ConfigError, match="needs speech"):
        estimate_prior(model, [])


def test_a_domain_is_built_and_read(tmp_path):
    (tmp_path / "text.txt").write_text("今天天气很好\n你好世界\n", "utf-8")
    (tmp_path / "hotwords.txt").write_text("世界\t2\n", "utf-8")
    settings = DomainSettings("rich-mini", 3, fusion=FusionOptions("shallow", 0.7))
    assert len(build_lm(tmp_path, settings)) == 3
    domain = read_domain(tmp_path)
    assert domain.settings == settings
    assert [one.phrase for one in domain.hotwords] == ["世界"]
    assert domain.fusion().options.lm_weight == 0.7
    with pytest.raises(ConfigError, match="needs a graph"):
        domain.fusion(FusionOptions("wfst"))
    write_settings(tmp_path, replace(settings, fusion=FusionOptions("rescore", 0.1)))
    assert read_domain(tmp_path).settings.fusion.method == "rescore"


def test_a_folder_that_is_no_domain_is_told(tmp_path):
    with pytest.raises(ConfigError, match="mooer domain build"):
        read_domain(tmp_path)
    with pytest.raises(ConfigError, match=r"holds no text\.txt"):
        build_lm(tmp_path, DomainSettings())
    (tmp_path / "text.txt").write_text("好\n", "utf-8")
    (tmp_path / "hotwords.txt").write_text("\n", "utf-8")
    with pytest.raises(ConfigError, match="lists no hotwords"):
        build_lm(tmp_path, DomainSettings())


def test_weights_go_with_another_method_where_it_takes_them():
    given = FusionOptions("density", 0.5, source_weight=0.3, length_bonus=1.0)
    assert as_method(given, "lodr") == replace(given, method="lodr")
    assert as_method(given, "rescore") == FusionOptions("rescore", 0.5, length_bonus=1.0)


@pytest.mark.real
def test_real_whisper_has_an_n_best_and_habits(examples):
    engine = Whisper(fetch("whisper-base"), num_threads=1)
    encoded = engine.encode(read_wave(examples / "en.flac")[: 16_000 * 5])
    [found] = engine.hypotheses([encoded], "en", DecodeOptions(num_best=4), 60)
    assert len({one.text for one in found}) == len(found) == 4
    [best] = engine.decode([encoded], "en", DecodeOptions(), 60)
    assert best.text in [one.text for one in found]
    for one in found:
        assert one.logprob <= 0
        assert one.avg_logprob == pytest.approx(one.logprob / (len(one.tokens) + 1), rel=0.2)
    said, nonsense = "how are you", "you how ear"
    habits = engine.habits(encoded, [engine.tokens(" " + t) for t in (said, nonsense)], "en")
    assert habits[1] < habits[0] < 0


@pytest.mark.real
def test_real_rich_mini_hears_and_takes_a_language_model(examples, tmp_path):
    vad = LoudnessVad()
    recognizer = load_ctc(fetch("rich-mini"), vad, num_threads=1)
    samples = read_wave(examples / "en.flac")[: 16_000 * 5]
    [plain] = recognizer.hear_as([samples], RecognizeOptions())
    text = "".join(word.text for word in plain.words)
    assert len(text.split()) > 3
    path = tmp_path / "lm.bin"
    write_ngram(train_ngram([text, "zero one two"], TrainOptions(2)).tables, path)
    strong = load_fusion(FusionOptions("shallow", 1.0), lm=path)
    search = recognizer.search(RecognizeOptions(fusion=strong))
    log_probs = recognizer.model.log_probs(samples)
    free = recognizer.search(RecognizeOptions()).nbest(log_probs, 1)[0].text
    drawn = recognizer.spelling.text(search.units(log_probs))
    assert strong.lm.logprobs([drawn])[0] >= strong.lm.logprobs([free])[0]
