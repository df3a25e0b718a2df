import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fakes import FakeLLM, LoudnessVad, ScriptedWhisper, speech

from mooer.audio.wave import write_wave
from mooer.data.manifest import Item
from mooer.data.pseudo import FilterOptions
from mooer.errors import AudioError, ConfigError
from mooer.infer import Model, Recognizer, Translator
from mooer.infer.label import Labellers, LabelOptions, label
from mooer.infer.labellers import another_decoding, recognise_by, translate_by
from mooer.infer.utterances import cut, utterances
from mooer.transcript import Segment, Transcript

TEXTS = {
    "good": "今天天气很好我们去公园散步",
    "noisy": "他昨天没有来上班因为孩子病了",
    "unsure": "这部电影比我想象的要好看得多",
    "english": "We went for a walk in the park.",
    "silent": "",
}


class Crew:
    """Stands in for all models; what each was asked is in `asked`."""

    def __init__(self) -> None:
        self.asked: dict[str, list[str]] = {
            "recognise": [],
            "judge": [],
            "hear": [],
            "translate": [],
        }
        self.at = ""

    def recognise(self, path: str) -> Transcript:
        self.at = Path(path).stem
        self.asked["recognise"].append(self.at)
        if self.at == "broken":
            raise AudioError("broken is no sound")
        text = TEXTS[self.at]
        language = "en" if text.isascii() else "zh"
        segments = (Segment(0.2, 3.0, text, language),) if text else ()
        return Transcript(segments, language, 3.2, language_probability=0.97)

    def judge(self, samples) -> float:
        assert len(samples) == 51_200
        self.asked["judge"].append(self.at)
        return 1.2 if self.at == "noisy" else 3.3

    def hear(self, samples, language: str) -> str:
        self.asked["hear"].append(self.at)
        return "完全不同的一句话" if self.at == "unsure" else TEXTS[self.at]

    def translate(self, text: str, language: str) -> str:
        self.asked["translate"].append(text)
        return "The weather is nice today, let us take a walk in the park."

    @property
    def labellers(self) -> Labellers:
        names = {"recogniser": "ears", "translator": "tongue"}
        return Labellers(self.recognise, self.judge, self.hear, self.translate, "en", names)


@pytest.fixture
def items(tmp_path):
    found = []
    for name in TEXTS:
        path = tmp_path / "in" / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        write_wave(path, speech((3.2, 0.3)))
        found.append(Item(name, str(path), {"speaker": f"who-{name}", "text": "not to be used"}))
    return found


def rows_of(out: Path):
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_what_is_not_in_doubt_is_kept_and_the_rest_accounted_for(items, tmp_path):
    crew, out = Crew(), tmp_path / "out" / "labels.jsonl"
    report = label(items, out, crew.labellers, LabelOptions())
    good, english = rows_of(out)
    assert good["id"] == "good"
    assert (out.parent / good["audio"]).resolve() == Path(items[0].path).resolve()
    assert good["text"] == TEXTS["good"]
    assert good["translation"].startswith("The weather")
    assert (good["language"], good["translation_language"]) == ("zh", "en")
    assert (good["duration"], good["dnsmos"], good["agreement"]) == (3.2, 3.3, 1.0)
    assert (good["speaker"], good["text_by"], good["translation_by"]) == (
        "who-good",
        "ears",
        "tongue",
    )
    assert "start" not in good
    assert english["id"] == "english"
    assert "translation" not in english
    told = report.to_dict()
    assert told == {**json.loads((out.parent / "labels.jsonl.report.json").read_text())}
    assert told["candidates"]["num"] == 4
    assert {name: entry["num"] for name, entry in told["dropped"].items()} == {
        "quality": 1,
        "agreement": 1,
    }
    assert told["yield"] == 0.5
    assert told["audio_s"] == 16.0
    assert told["rtf"] > 0


def test_what_is_dropped_costs_no_more(items, tmp_path):
    crew = Crew()
    label(items, tmp_path / "o.jsonl", crew.labellers, LabelOptions())
    assert crew.asked["judge"] == ["good", "noisy", "unsure", "english"]
    assert crew.asked["hear"] == ["good", "unsure", "english"]
    assert crew.asked["translate"] == [TEXTS["good"]]


def test_a_run_that_was_stopped_goes_on(items, tmp_path):
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    label(items, whole, Crew().labellers, LabelOptions())

    def stop(done, total, seconds):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(items, part, Crew().labellers, LabelOptions(), on_progress=stop)
    assert not part.exists()
    with (tmp_path / "part.jsonl.journal.jsonl").open("a") as file:
        file.write('{"id": "uns')
    crew = Crew()
    report = label(items, part, crew.labellers, LabelOptions())
    assert crew.asked["recognise"] == ["unsure", "english", "silent"]
    assert report.num_before == 2
    assert rows_of(part) == rows_of(whole)


def test_another_threshold_measures_only_what_is_missing(items, tmp_path):
    out = tmp_path / "o.jsonl"
    label(items, out, Crew().labellers, LabelOptions())
    crew = Crew()
    crew.at = "noisy"
    loose = LabelOptions(filters=FilterOptions(min_quality=1.0))
    report = label(items, out, crew.labellers, loose)
    assert crew.asked == {
        "recognise": [],
        "judge": [],
        "hear": ["noisy"],
        "translate": [TEXTS["noisy"]],
    }
    assert [row["id"] for row in rows_of(out)] == ["good", "noisy", "english"]
    assert report.to_dict()["rtf"] is None


def test_a_bad_recording_does_not_end_the_run_and_is_tried_again(items, tmp_path):
    items = [Item("broken", str(tmp_path / "broken.wav")), *items]
    out = tmp_path / "o.jsonl"
    report = label(items, out, Crew().labellers, LabelOptions())
    assert report.failures == [{"id": "broken", "error": "broken is no sound"}]
    assert len(rows_of(out)) == 2
    crew = Crew()
    label(items, out, crew.labellers, LabelOptions())
    assert crew.asked["recognise"] == ["broken"]


def test_another_model_for_the_same_output_is_refused(items, tmp_path):
    out = tmp_path / "o.jsonl"
    label(items, out, Crew().labellers, LabelOptions())
    other = replace(Crew().labellers, names={"recogniser": "other"})
    with pytest.raises(ConfigError, match="recogniser: 'ears' then, 'other' now"):
        label(items, out, other, LabelOptions())


def test_a_translation_may_be_added_later(items, tmp_path):
    crew, out = Crew(), tmp_path / "o.jsonl"
    names = {"recogniser": "ears"}
    label(items, out, Labellers(crew.recognise, crew.judge, crew.hear, names=names), LabelOptions())
    assert "translation" not in rows_of(out)[0]
    crew = Crew()
    label(items, out, crew.labellers, LabelOptions())
    assert crew.asked["recognise"] == crew.asked["hear"] == []
    assert rows_of(out)[0]["translation"].startswith("The weather")


def test_a_recording_that_is_gone_keeps_what_was_measured(items, tmp_path):
    out = tmp_path / "o.jsonl"
    label(items, out, Crew().labellers, LabelOptions())
    Path(items[1].path).unlink()
    loose = LabelOptions(filters=FilterOptions(min_quality=1.0))
    report = label(items, out, Crew().labellers, loose)
    assert [failure["id"] for failure in report.failures] == ["noisy"]
    assert len(rows_of(out)) == 3


def test_measurements_may_be_left_out(items, tmp_path):
    crew = Crew()
    out = tmp_path / "o.jsonl"
    label(items, out, Labellers(crew.recognise), LabelOptions())
    assert [row["id"] for row in rows_of(out)] == ["good", "noisy", "unsure", "english"]
    assert not {"dnsmos", "agreement", "translation", "text_by"} & set(rows_of(out)[0])


def segment(start_s, end_s, text="词语", language="zh", warnings=()):
    return Segment(start_s, end_s, text, language, warnings=warnings)


def test_a_long_recording_is_cut_between_segments():
    spoken = [(0.5, 4.0), (4.2, 9.0), (9.1, 12.0), (15.0, 18.0), (18.1, 18.9)]
    heard = Transcript(tuple(segment(a, b) for a, b in spoken), "zh", 20.0)
    found = utterances("talk", heard, 10.0)
    assert [(one.start_s, one.end_s) for one in found] == [
        (0.3, 9.05),
        (9.05, 12.2),
        (14.8, 19.1),
    ]
    assert [one.id for one in found] == ["talk-0000", "talk-0001", "talk-0002"]
    assert found[0].text == "词语词语"


def test_segments_of_two_languages_are_not_one_utterance():
    heard = Transcript((segment(0, 5), segment(5, 9, "word", "en", ("loops",))), "zh", 40.0)
    one, two = utterances("talk", heard, 20.0)
    assert (one.language, two.language) == ("zh", "en")
    assert (one.warnings, two.warnings) == ((), ("loops",))


def test_a_recording_without_speech_has_no_utterance():
    assert utterances("x", Transcript((), "und", 5.0), 20.0) == []
    assert utterances("x", Transcript((segment(0, 5, " "),), "zh", 50.0), 20.0) == []


def test_stretches_are_cut_to_the_sample(tmp_path):
    samples = (np.arange(35 * 16_000) % 1000 / 2000).astype(np.float32)
    write_wave(tmp_path / "ramp.wav", samples)
    times = [(0.0, 1.0), (0.9, 12.5), (12.5, 13.0), (30.0, 35.0), (34.0, 99.0)]
    for (start_s, end_s), found in zip(times, cut(str(tmp_path / "ramp.wav"), times), strict=True):
        wanted = samples[round(start_s * 16_000) : round(end_s * 16_000)]
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    with pytest.raises(AudioError, match=r"ends at 35\.0 s"):
        list(cut(str(tmp_path / "ramp.wav"), [(40.0, 41.0)]))


def test_the_functions_behind_it_ask_the_models_as_they_should(tmp_path):
    whisper = ScriptedWhisper(["we went home", "we went home"])
    model = Model(Recognizer(whisper, LoudnessVad(), name="ears", versions={}))
    model._translator = Translator(FakeLLM(["我们回家了。"]))
    write_wave(tmp_path / "a.wav", speech((0.5, 0.0), (2.0, 0.3), (0.5, 0.0)))
    heard = recognise_by(model, "en")(str(tmp_path / "a.wav"))
    assert heard.text == "we went home"
    assert another_decoding(model)(speech((2.0, 0.3)), "en") == "we went home"
    translate = translate_by(model, "zh")
    assert translate("we went home", "en") == "我们回家了。"
    assert translate("nous rentrons", "fr") == ""


@pytest.mark.real
def test_clips_are_labelled_by_real_models(examples, tmp_path):
    from mooer.infer.labellers import load_labellers

    items = [Item(name, str(examples / f"{name}.flac")) for name in ("zh", "en")]
    noise = np.random.default_rng(0).normal(0, 0.2, 48_000).astype(np.float32)
    write_wave(tmp_path / "noise.wav", noise)
    items.append(Item("noise", str(tmp_path / "noise.wav")))
    out = tmp_path / "labels.jsonl"
    report = label(items, out, load_labellers(), LabelOptions())
    rows = {row["id"]: row for row in rows_of(out)}
    assert set(rows) == {"zh", "en"}
    assert "天气" in rows["zh"]["text"]
    assert "walk" in rows["zh"]["translation"] or "park" in rows["zh"]["translation"]
    assert "understand human speech" in rows["en"]["text"]
    assert rows["en"]["dnsmos"] > 2.5
    assert report.to_dict()["rtf"] > 0
