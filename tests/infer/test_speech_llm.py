"""A speech LLM as a recogniser: over scripted hypotheses, and over a small random network."""

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.decoding.talker import talker
from tests.fakes import LoudnessVad, speech
from tests.tiny import ByteTokenizer, TinyEncoder

from mooer.audio.wave import write_wave
from mooer.batch import AUDIO
from mooer.decoding.generation import Hypothesis, SearchOptions
from mooer.decoding.rules import max_tokens
from mooer.errors import AudioError, ConfigError, ModelError
from mooer.infer import RecognizeOptions, answering, speech_llm, torch_network
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.infer.torch_network import TorchNetwork, prompt_batch
from mooer.tasks.templates import Answer

CLIP = speech((0.5, 0), (3, 0.5), (0.5, 0))
LOOP = "we should go on " * 30
ZH, EN = "今天天气很好我们去公园", "The weather is nice, let us go to the park."


class SmallSpeechLLM(torch.nn.Module):
    """As `models.speech_llm.SpeechLLM`, with a linear adapter of stride 4."""

    template = "mooer"
    draft_alone = False

    def __init__(self, *, end: float = 6.0):
        super().__init__()
        self.encoder = TinyEncoder()
        self.llm = talker(end=end)
        self.adapter = torch.nn.Linear(4 * self.encoder.width, 32)
        self.tokenizer = ByteTokenizer()

    def num_embeddings(self, num_samples):
        return num_samples // 160 // 2 // 4

    def embed(self, batch):
        hidden, _ = self.encoder(batch.features, batch.feature_lengths)
        num = hidden.shape[1] // 4
        audio = self.adapter(hidden[:, : 4 * num].reshape(len(hidden), num, -1))
        embeds = self.llm.get_input_embeddings()(batch.ids.clamp(min=0))
        for i, ids in enumerate(batch.ids):
            places = (ids == AUDIO).nonzero()[:, 0]
            embeds[i, places] = audio[i, : len(places)]
        return embeds


@pytest.fixture(scope="module")
def small():
    return SmallSpeechLLM().eval()


class Script:
    """Stands in for `decode`: says `texts` in turn, whatever the embeddings.

    `calls` are (options, limits, embeddings' lengths) of every call.
    """

    def __init__(self, texts, *, logprob=-0.2, ended=True):
        self.texts = iter(texts)
        self.logprob = logprob
        self.ended = ended
        self.calls = []

    def __call__(self, model, embeds, mask, options, *, eos_ids, limits, boost=None):
        self.calls.append(SimpleNamespace(options=options, limits=limits, tokens=mask.sum(1)))
        return [[self.say(next(self.texts)) for _ in range(options.num_best)] for _ in embeds]

    def say(self, text):
        ids = tuple(ByteTokenizer().encode(text))
        return Hypothesis(ids, (self.logprob,) * (len(ids) + 1), self.logprob, self.ended)


def listen(small, monkeypatch, texts, samples=CLIP, *, by=None, **options):
    script = by or Script(texts)
    monkeypatch.setattr(torch_network, "decode", script)
    recognizer = SpeechLLMRecognizer(
        TorchNetwork(small), LoudnessVad(), name="small", versions={"mooer": "0"}
    )
    run = recognizer.run(samples, RecognizeOptions(**options), rate_hz=16_000)
    return run.transcript(run), script


def test_a_transcript(small, monkeypatch):
    transcript, script = listen(small, monkeypatch, ["hello to all"])
    [segment] = transcript.segments
    assert (segment.text, segment.language, segment.translation) == ("hello to all", "en", None)
    assert 0 < segment.start_s < 0.6
    assert 3.4 < segment.end_s < 4.0
    assert segment.avg_logprob == pytest.approx(-0.2)
    assert segment.warnings == ()
    assert (transcript.task, transcript.model) == ("asr", "small")
    assert script.calls[0].options == SearchOptions(max_new_tokens=500)


def test_transcript_and_translation_of_one_answer(small, monkeypatch):
    transcript, script = listen(small, monkeypatch, [f"{ZH}\n{EN}"], task="asr_ast")
    [segment] = transcript.segments
    assert (segment.text, segment.translation, segment.language) == (ZH, EN, "zh")
    assert segment.warnings == ()
    assert transcript.translation == EN
    assert (transcript.task, transcript.translation_language) == ("ast", "en")
    assert script.calls[0].limits == [2 * max_tokens(script_seconds(transcript))]


def script_seconds(transcript):
    [segment] = transcript.segments
    return segment.end_s - segment.start_s


def test_translation_alone(small, monkeypatch):
    transcript, _ = listen(small, monkeypatch, [EN], task="ast", language="Chinese")
    [segment] = transcript.segments
    assert (segment.text, segment.translation, segment.language) == (EN, EN, "zh")
    transcript, _ = listen(small, monkeypatch, [EN], task="ast")
    assert transcript.segments[0].language == "und"


def test_a_translation_that_is_missing_or_wrong_is_asked_for_again_and_told(small, monkeypatch):
    transcript, script = listen(
        small, monkeypatch, [ZH, f"{ZH}\n{EN}"], task="asr_ast", temperatures=()
    )
    assert transcript.segments[0].translation == EN
    assert len(script.calls) == 2
    for wrong, name in ((ZH, "translation_empty"), (f"{ZH}\n{ZH}", "translation_language")):
        transcript, _ = listen(small, monkeypatch, [wrong] * 2, task="asr_ast", temperatures=())
        assert name in transcript.segments[0].warnings
        assert transcript.segments[0].text == ZH


def test_a_loop_is_decoded_in_other_ways_until_one_is_clean(small, monkeypatch):
    texts = [LOOP, LOOP, *[LOOP] * 3, *[LOOP, "we should go", LOOP]]
    transcript, script = listen(small, monkeypatch, texts)
    assert transcript.text == "we should go"
    assert transcript.segments[0].temperature == 0.8
    assert transcript.segments[0].warnings == ()
    ways = [
        (c.options.num_beams, c.options.no_repeat_ngram > 0, c.options.sample) for c in script.calls
    ]
    assert ways == [(4, False, False), (4, True, False), (1, False, True), (1, False, True)]
    assert [c.options.temperature for c in script.calls] == [1.0, 1.0, 0.4, 0.8]


def test_what_cannot_be_mended_is_said_once_with_a_warning(small, monkeypatch):
    transcript, _ = listen(small, monkeypatch, [LOOP] * 2, temperatures=())
    assert transcript.text == "we should go on"
    assert "loops" in transcript.segments[0].warnings


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("I'm sorry, but I cannot transcribe audio.", "refuses"),
        ("Transcribe speech to text.", "leaks_prompt"),
        ("good morning to you all. good morning to you all.", "echoes"),
    ],
)
def test_refusals_leaks_and_echoes_are_doubted(small, monkeypatch, wrong, name):
    transcript, _ = listen(small, monkeypatch, [wrong, "good morning"], temperatures=())
    assert transcript.text == "good morning"
    transcript, _ = listen(small, monkeypatch, [wrong] * 2, temperatures=())
    assert name in transcript.segments[0].warnings


def test_an_answer_that_does_not_end_is_too_long(small, monkeypatch):
    script = Script(["and so on"] * 2, ended=False)
    transcript, _ = listen(small, monkeypatch, [], by=script, temperatures=())
    assert "too_long" in transcript.segments[0].warnings


def test_nothing_said_is_no_segment_and_silence_is_not_decoded(small, monkeypatch):
    transcript, script = listen(small, monkeypatch, [""])
    assert transcript.segments == ()
    assert len(script.calls) == 1
    transcript, script = listen(small, monkeypatch, [], samples=np.zeros(64_000, np.float32))
    assert transcript.segments == ()
    assert script.calls == []


def test_chunks_of_like_length_are_decoded_together_and_come_in_order(small, monkeypatch):
    generator = np.random.default_rng(0)
    lengths = generator.uniform(0.5, 5.5, 30)
    samples = speech(*[pair for s in lengths for pair in ((s, 0.5), (1.9, 0))])
    said = iter(range(1000))

    class Numbered(Script):
        def __call__(self, model, embeds, mask, options, *, eos_ids, limits, boost=None):
            self.calls.append(mask.sum(1).tolist())
            return [[self.say(f"{num} tokens, answer {next(said)}")] for num in self.calls[-1]]

    transcript, script = listen(
        small, monkeypatch, [], samples, by=Numbered([]), max_chunk_s=6.0, batch_size=4
    )
    num = len(transcript.segments)
    assert num >= 25
    assert all(a.end_s <= b.start_s for a, b in pairwise(transcript.segments))
    assert max(map(len, script.calls)) == 4
    assert sum(map(len, script.calls)) == num
    assert all(tokens == sorted(tokens, reverse=True) for tokens in script.calls)
    # what was said of each is where it belongs: a longer chunk has more tokens
    tokens = [int(s.text.split()[0]) for s in transcript.segments]
    seconds = [s.end_s - s.start_s for s in transcript.segments]
    assert np.corrcoef(tokens, seconds)[0, 1] > 0.9
    wasted = sum(len(t) * t[0] - sum(t) for t in script.calls) / sum(map(sum, script.calls))
    assert wasted < 0.15


def test_a_chinese_transcript_in_the_script_that_is_wanted(small, monkeypatch):
    assert listen(small, monkeypatch, ["開放時間"])[0].text == "开放时间"
    assert listen(small, monkeypatch, ["开放时间"], script="hant")[0].text == "開放時間"


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"prompt": "so"}, "prompt"),
        ({"words": True}, "words"),
    ],
)
def test_what_a_speech_llm_cannot_do_is_told(small, monkeypatch, wrong, word):
    with pytest.raises(ConfigError, match=word):
        listen(small, monkeypatch, [], **wrong)


def test_a_task_that_the_model_does_not_know_is_told(small, monkeypatch):
    monkeypatch.setattr(small, "template", "slam", raising=False)
    with pytest.raises(ConfigError, match=r"asr_ast.*knows asr"):
        listen(small, monkeypatch, [], task="asr_ast")


def test_a_tokenizer_without_the_end_of_the_template_is_told(small, monkeypatch):
    monkeypatch.setattr(small, "template", "slam", raising=False)
    with pytest.raises(ModelError, match="</s>"):
        listen(small, monkeypatch, [])


# --- the network itself ---------------------------------------------------------------------------


def test_prompts_are_padded_to_the_left_with_their_own_audio(small):
    long, short = CLIP, CLIP[8000:24_000]
    batch = prompt_batch(small, "asr", [long, short])
    assert batch.mask.sum(1).tolist() == [
        (batch.ids[i] == AUDIO).sum().item() + len(ByteTokenizer().encode(text_of(batch.ids[i])))
        for i in range(2)
    ]
    assert (batch.ids[0] == AUDIO).sum() == small.num_embeddings(len(long))
    assert (batch.ids[1] == AUDIO).sum() == small.num_embeddings(len(short))
    assert batch.mask[1].int().diff().min() >= 0
    assert text_of(batch.ids[1]) == text_of(batch.ids[0])
    assert "Transcribe speech to text. <|im_end|>" in text_of(batch.ids[0])


def text_of(ids):
    return ByteTokenizer().decode([i for i in ids.tolist() if i not in (AUDIO, 256)])


def test_a_batch_hears_what_each_hears_alone(small):
    samples = speech(*[(s, v) for t in (0.8, 1.6, 1.0, 0.6, 1.3) for s, v in ((t, 0.5), (1.9, 0))])
    recognizer = SpeechLLMRecognizer(TorchNetwork(small), LoudnessVad(), versions={})
    texts = []
    for batch_size in (1, 4):
        options = RecognizeOptions(max_chunk_s=2.5, batch_size=batch_size, temperatures=())
        found = recognizer.transcribe(samples, options, rate_hz=16_000)
        texts.append(
            [(s.text, s.start_s, pytest.approx(s.avg_logprob, abs=2e-3)) for s in found.segments]
        )
    assert texts[0] == texts[1]
    assert len(texts[0]) >= 4
    assert all(math.isfinite(s.avg_logprob) for s in found.segments)


def test_streamed_pieces_are_the_greedy_answer_bounded_by_the_speech():
    small = SmallSpeechLLM(end=-9.0).eval()
    recognizer = SpeechLLMRecognizer(TorchNetwork(small), LoudnessVad(), versions={})
    pieces = list(recognizer.stream(CLIP, rate_hz=16_000))
    search = SearchOptions(num_beams=1, max_new_tokens=max_tokens(4.0))
    network = TorchNetwork(small)
    [[best]] = network.decode(network.prompts("asr", [CLIP]), search, [search.max_new_tokens])
    assert "".join(pieces) == ByteTokenizer().decode(best.tokens, skip_special_tokens=True)
    assert len(pieces) > 1


def test_only_one_utterance_is_streamed(small):
    recognizer = SpeechLLMRecognizer(TorchNetwork(small), LoudnessVad(), versions={})
    with pytest.raises(AudioError, match="longer than 30 s"):
        recognizer.stream(np.zeros(16_000 * 31, np.float32), rate_hz=16_000)


# --- many inputs --------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    """Paths of short recordings, one long one, and three that cannot be read, mixed."""
    generator = np.random.default_rng(3)
    paths = []
    for i, seconds in enumerate(generator.uniform(0.6, 4.0, 14)):
        pattern = [(0.4, 0), (seconds, 0.1 + 0.05 * i), (0.4, 0)] * (12 if i == 8 else 1)
        write_wave(tmp_path / f"{i}.wav", speech(*pattern))
        paths.append(str(tmp_path / f"{i}.wav"))
    (tmp_path / "text.wav").write_text("no sound")
    whole = Path(paths[3]).read_bytes()
    (tmp_path / "header.wav").write_bytes(whole[:44])
    paths.insert(0, str(tmp_path / "gone.wav"))
    paths.insert(5, str(tmp_path / "text.wav"))
    paths.append(str(tmp_path / "header.wav"))
    return paths


def counted(monkeypatch):
    calls, decode = [], torch_network.decode

    def counting(model, embeds, *args, **kwargs):
        calls.append(len(embeds))
        return decode(model, embeds, *args, **kwargs)

    monkeypatch.setattr(torch_network, "decode", counting)
    return calls


def test_many_inputs_give_the_same_texts_in_fewer_batches(small, many, monkeypatch):
    calls = counted(monkeypatch)
    recognizer = SpeechLLMRecognizer(TorchNetwork(small), LoudnessVad(), name="small", versions={})
    recognizer.search = SearchOptions(num_beams=1, max_new_tokens=12)
    options = RecognizeOptions(temperatures=(), max_chunk_s=5.0)
    alone = []
    for path in many:
        try:
            alone.append(recognizer.transcribe(path, options))
        except AudioError as error:
            alone.append(error)
    num_alone, num_rows = len(calls), sum(calls)
    calls.clear()
    together = list(recognizer.transcribe_all(many, options))
    assert [type(one) for one in together] == [type(one) for one in alone]
    assert sum(isinstance(one, AudioError) for one in together) == 3
    for one, other in zip(together, alone, strict=True):
        assert str(one) == str(other) if isinstance(one, AudioError) else one.text == other.text
        if not isinstance(one, AudioError):
            assert (one.source, one.duration_s) == (other.source, other.duration_s)
            assert [s.start_s for s in one.segments] == [s.start_s for s in other.segments]
    assert sum(calls) == num_rows
    assert len(calls) < 0.7 * num_alone


def test_an_input_longer_than_the_window_is_decoded_as_it_is_read(small, many, monkeypatch):
    recognizer = SpeechLLMRecognizer(TorchNetwork(small), LoudnessVad(), name="small", versions={})
    recognizer.search = SearchOptions(num_beams=1, max_new_tokens=4)
    options = RecognizeOptions(temperatures=(), max_chunk_s=5.0, batch_size=1)
    wanted = [recognizer.transcribe(many[i], options).text for i in (9, 10, 11)]
    monkeypatch.setattr(speech_llm, "_TOGETHER", 3)
    found = recognizer.transcribe_all([many[i] for i in (9, 10, 11)], options)
    assert [one.text for one in found] == wanted


def test_what_fails_in_decoding_is_of_one_input(small, many, monkeypatch):
    recognizer = SpeechLLMRecognizer(TorchNetwork(small), LoudnessVad(), name="small", versions={})
    options = RecognizeOptions(temperatures=())
    lengths = []

    def failing(answerer, chunks, drafts=()):
        lengths.append([len(chunk.samples) for chunk in chunks])
        if bad in lengths[-1]:
            raise AudioError("too few for one embedding")
        return [fine] * len(chunks)

    fine = answering.Answered(Answer(transcript="hello"), Hypothesis((1,), (-0.2,), -0.2, True), ())
    bad = -1
    monkeypatch.setattr(answering.Answerer, "answers", failing)
    good = [many[i] for i in (1, 2, 3, 4)]
    assert [one.text for one in recognizer.transcribe_all(good, options)] == ["hello"] * 4
    bad = sorted(n for batch in lengths for n in batch)[0]
    found = list(recognizer.transcribe_all(good, options))
    assert sum(isinstance(one, AudioError) for one in found) == 1
    assert [one.text for one in found if not isinstance(one, AudioError)] == ["hello"] * 3


def test_what_fails_for_all_is_raised(small, many):
    recognizer = SpeechLLMRecognizer(TorchNetwork(small), LoudnessVad(), name="small", versions={})
    with pytest.raises(ConfigError, match="no use for prompt"):
        next(recognizer.transcribe_all(many, RecognizeOptions(prompt="so")))
