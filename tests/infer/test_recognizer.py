"""The recogniser over scripted parts: what is tried, kept, dropped, timed and told."""

from itertools import pairwise

import numpy as np
import pytest
from tests.fakes import LoudnessVad, ScriptedWhisper, speech

from mooer.engines.whisper import Decoded
from mooer.errors import AudioError, ConfigError
from mooer.infer import RecognizeOptions, Recognizer

LOOP = "we should go on " * 30
CLIP = speech((0.5, 0), (3, 0.5), (0.5, 0))


def listen(texts, samples=CLIP, **options):
    engine = ScriptedWhisper(texts, no_speech_prob=options.pop("no_speech_prob", 0.0))
    recognizer = Recognizer(engine, LoudnessVad(), name="fake", versions={"mooer": "0"})
    on_progress = options.pop("on_progress", None)
    run = recognizer.run(
        samples, RecognizeOptions(**options), rate_hz=16_000, on_progress=on_progress
    )
    return run.transcript(run), engine


def test_a_clip_is_transcribed_in_one_short_window():
    transcript, engine = listen(["hello to all of you"])
    assert transcript.text == "hello to all of you"
    assert transcript.language == "en"
    assert transcript.language_probability == 0.9
    assert transcript.duration_s == 4.0
    assert engine.decodings == [(12.0, 0.0, "")]
    [segment] = transcript.segments
    assert 0.0 <= segment.start_s < segment.end_s <= 4.0
    assert segment.words is None
    assert segment.warnings == ()


def test_words_are_kept_when_asked_for():
    transcript, _ = listen(["hello to all"], words=True)
    [segment] = transcript.segments
    assert [w.text for w in segment.words] == ["hello", "to", "all"]
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in pairwise(segment.words))


def test_a_loop_is_decoded_again_in_a_full_window():
    transcript, engine = listen([LOOP, "we should go on"])
    assert transcript.text == "we should go on"
    assert [d[:2] for d in engine.decodings] == [(12.0, 0.0), (30.0, 0.0)]


def test_temperatures_are_tried_until_one_is_clean():
    transcript, engine = listen([LOOP, LOOP, LOOP, "fine now"], temperatures=(0.4, 0.8))
    assert transcript.text == "fine now"
    assert [d[1] for d in engine.decodings] == [0.0, 0.0, 0.4, 0.8]
    assert transcript.segments[0].temperature == 0.8


def test_what_cannot_be_mended_is_said_once_with_a_warning():
    transcript, _ = listen([LOOP] * 4)
    assert transcript.text == "we should go on"
    assert "loops" in transcript.segments[0].warnings


def test_text_over_silence_is_dropped_without_another_try():
    transcript, engine = listen(["Thank you for watching!"], no_speech_prob=0.5)
    assert transcript.segments == ()
    assert len(engine.decodings) == 1


def test_a_prompt_that_leaks_is_taken_away():
    prompt = "Paraformer and SenseVoice and MooER"
    transcript, engine = listen([prompt, "good morning"], prompt=prompt)
    assert transcript.text == "good morning"
    assert [d[2] for d in engine.decodings] == [prompt, ""]


def test_silence_is_not_decoded():
    transcript, engine = listen([], samples=np.zeros(80_000, np.float32))
    assert transcript.segments == ()
    assert transcript.language == "und"
    assert transcript.duration_s == 5.0
    assert engine.decodings == []


def test_long_audio_comes_in_batches_in_order_with_monotone_times():
    samples = speech(*[(4.6, 0.5), (1.9, 0)] * 40)
    seen = []
    transcript, engine = listen(
        [f"part number {i}" for i in range(40)],
        samples=samples,
        max_chunk_s=6.0,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [s.text for s in transcript.segments] == [f"part number {i}" for i in range(40)]
    times = [t for s in transcript.segments for t in (s.start_s, s.end_s)]
    assert times == sorted(times)
    assert engine.batches[:4] == [1, 2, 4, 4]
    assert seen[-1][0] == pytest.approx(260.0)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_long_audio_runs_on_the_crew_and_only_one_engine_is_in_memory():
    engine, crew = (
        ScriptedWhisper(["short", "short again"]),
        ScriptedWhisper(["long"] * 9, workers=2),
    )
    recognizer = Recognizer(engine, LoudnessVad(), versions={}, make_crew=lambda: crew)
    options = RecognizeOptions(language="en")
    long = np.tile(CLIP, 16)  # 64 s
    loaded = []
    for samples in (CLIP, long, CLIP):
        recognizer.transcribe(samples, options, rate_hz=16_000)
        loaded.append((engine.is_loaded, crew.is_loaded))
    assert loaded == [(True, True), (False, True), (True, False)]
    assert sum(engine.batches) == 2
    assert sum(crew.batches) == 3


class GrowingWhisper(ScriptedWhisper):
    """Its tokens are bytes; it goes on from those it is given, as far as it may."""

    def decode(self, chunks, language, options, max_tokens):
        if not options.prefix:
            self.text = next(self._texts)
        self.options.append(options)
        tokens = tuple(self.text.encode())[: len(options.prefix) + max_tokens]
        text = bytes(tokens).decode(errors="replace")
        return [Decoded(text, tokens, -2.0, self._no_speech_prob) for _ in chunks]


def streamed(texts, samples=CLIP, **options):
    no_speech_prob = options.pop("no_speech_prob", 0.0)
    engine = GrowingWhisper(texts, no_speech_prob=no_speech_prob)
    recognizer = Recognizer(engine, LoudnessVad(), versions={})
    run = recognizer.run(samples, RecognizeOptions(**options), rate_hz=16_000)
    return list(run.streamed()), engine, run


def test_a_text_is_shown_while_it_grows():
    pieces, engine, run = streamed(["hello to all of you"])
    assert pieces == ["hell", "o to all of you"]
    assert [(o.prefix, o.beam_size) for o in engine.options] == [((), 1), (tuple(b"hell"), 1)]
    assert (run.language, run.language_probability) == ("en", 0.9)


def test_no_part_of_a_character_is_shown():
    assert streamed(["歡迎,大家"], language="zh")[0] == ["欢", "迎，大家"]


def test_what_is_streamed_of_two_chunks_is_one_text():
    clip = speech((3, 0.5), (1, 0), (3, 0.5))
    assert streamed(["so.", "good night"], clip, max_chunk_s=4)[0] == ["so.", " good", " night"]


def test_nothing_is_streamed_of_silence_and_no_loop():
    assert streamed(["thank you"], no_speech_prob=0.9)[0] == []
    pieces, _, _ = streamed(["go on " * 8])
    assert pieces == ["go o", "n"]


@pytest.mark.real
def test_an_engine_that_gave_its_weights_back_reads_them_again(model, examples):
    before = model.transcribe(examples / "en.flac").text
    model.recognizer.engine.unload()
    assert model.transcribe(examples / "en.flac").text == before


@pytest.mark.parametrize(
    ("language", "options", "seconds", "window_s", "timestamps"),
    [
        ("zh", {}, 3, 24.0, True),
        ("en", {}, 3, 12.0, False),
        ("zh", {"task": "ast"}, 3, 12.0, False),
        ("zh", {}, 17, 20.0, False),
    ],
)
def test_short_chinese_is_decoded_with_time_tokens_in_a_wide_window(
    language, options, seconds, window_s, timestamps
):
    samples = speech((0.5, 0), (seconds, 0.5))
    _, engine = listen(["a b c d"], samples=samples, language=language, **options)
    assert [d[0] for d in engine.decodings] == [window_s]
    assert [o.timestamps for o in engine.options] == [timestamps]


def test_a_long_input_gets_a_smaller_beam_unless_told():
    long = np.tile(CLIP, 16)
    sizes = [
        listen(["x y"] * 9, samples=samples, **options)[1].options[0].beam_size
        for samples, options in [(CLIP, {}), (long, {}), (long, {"beam_size": 7})]
    ]
    assert sizes == [5, 3, 7]


def test_translation_by_the_recogniser_itself():
    transcript, _ = listen(["welcome to all"], task="ast", language="zh")
    assert transcript.task == "ast"
    assert transcript.translation_language == "en"
    assert transcript.segments[0].translation == "welcome to all"


def test_chinese_is_written_with_its_own_marks():
    transcript, _ = listen(["你好,世界. OK, fine"], language="zh", words=True)
    assert transcript.text == "你好，世界。OK, fine"
    assert transcript.segments[0].words[0].text == "你好，世界。"


def test_whisper_cannot_transcribe_and_translate_at_once():
    with pytest.raises(ConfigError, match="mooer translate"):
        listen(["x"], task="asr_ast")


def test_script_of_chinese():
    assert listen(["開放時間 國家"], language="zh")[0].text == "开放时间 国家"
    assert listen(["开放时间 国家"], language="zh", script="hant")[0].text == "開放時間 國家"


@pytest.mark.parametrize(
    "wrong",
    [{"task": "x"}, {"script": "x"}, {"beam_size": 0}, {"max_chunk_s": 31}, {"batch_size": 0}],
)
def test_options_that_make_no_sense(wrong):
    with pytest.raises(ConfigError, match="must"):
        RecognizeOptions(**wrong)


@pytest.mark.real
def test_real_clips(model, examples):
    zh = model.transcribe(examples / "zh.flac", words=True)
    assert zh.language == "zh"
    assert "公园散步" in zh.text
    assert all(w.end_s >= w.start_s for s in zh.segments for w in s.words)
    en = model.transcribe((examples / "en.flac").read_bytes())
    assert en.language == "en"
    assert "human speech" in en.text
    assert len(en.segments) >= 2


@pytest.mark.real
def test_real_noise_says_nothing_and_real_stream_equals_whole(model, examples):
    noise = np.random.default_rng(0).normal(0, 0.05, 16_000 * 6).astype(np.float32)
    assert model.transcribe(noise, rate_hz=16_000).text == ""
    run = model.stream(examples / "en.flac")
    assert run.transcript(list(run)).text == model.transcribe(examples / "en.flac").text


@pytest.mark.real
def test_real_languages(model):
    assert model.recognizer.engine.check_language("Chinese") == "zh"
    with pytest.raises(ConfigError):
        model.transcribe(np.zeros(16_000, np.float32), rate_hz=16_000, language="klingon")
    with pytest.raises(AudioError):
        model.transcribe("no-such-file.wav")
