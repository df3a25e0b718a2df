"""A run over manifests, with a fake in the place of a model."""

import json
import re

import pytest

from mooer.errors import AudioError, ConfigError, ManifestError, OutputError
from mooer.evaluate import benchmark
from mooer.evaluate.benchmark import Plan, run
from mooer.evaluate.journal import Journal
from mooer.evaluate.page import to_html
from mooer.evaluate.report import to_json, to_markdown
from mooer.transcript import Segment, Transcript

ROWS = [
    {"id": "en1", "audio": "en1.wav", "text": "Hello, world!", "language": "en", "duration": 2.0},
    {"id": "zh1", "audio": "zh1.wav", "text": "你好世界", "language": "zh", "duration": 4.0},
    {"id": "zh2", "audio": "zh2.wav", "text": "<b>漢語</b>", "language": "zh", "duration": 1.0},
    {"id": "dog", "audio": "dog.wav", "text": None, "language": None},
]
HEARD = {"en1": "hello word", "zh1": "你好世", "zh2": "<i>汉语"}


class Fake:
    """Gives what it was told to, and remembers what it was asked."""

    def __init__(self, heard):
        self.heard = heard
        self.asked = []

    def transcribe(self, source, *, language=None):
        name = re.sub(r".*[\\/]|\.wav$", "", str(source))
        self.asked.append((name, language))
        if name not in self.heard:
            raise AudioError(f"cannot read {name}")
        return Transcript((Segment(0, 1, self.heard[name], "zh"),), "zh", 2.0)

    def translate(self, source, *, to, language=None):
        heard = self.transcribe(source, language=language)
        return Transcript(
            (Segment(0, 1, "x", "zh", translation=heard.text),), "zh", 2.0, translation_language=to
        )


class Batched(Fake):
    def transcribe_many(self, pairs, *, language=None):
        for name, path in reversed(list(pairs)):
            try:
                yield name, self.transcribe(path, language=language)
            except AudioError as error:
                yield name, error


def manifest(tmp_path, rows=ROWS, name="mixed.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("kind", [Fake, Batched])
def test_a_set_of_several_languages(tmp_path, kind):
    seen = []
    plan = Plan((manifest(tmp_path),), "fake")
    report = run(plan, kind(HEARD), on_progress=lambda *x: seen.append(x))
    numbers = report["sets"]["mixed"]
    assert seen[-1] == (3, 3)
    assert numbers["num_utterances"] == 3
    assert numbers["num_skipped"] == 1
    assert numbers["language"] is None
    assert numbers["wer"] == 0.5  # of the English alone
    assert numbers["metric"] == "mixed"
    by_language = numbers["by_language"]
    assert by_language["zh"]["wer"] is None
    assert by_language["zh"]["metric"] == "cer"
    assert by_language["en"]["mer"] is None
    assert by_language["en"]["reference_tokens"] == 2
    assert by_language["zh"]["reference_tokens"] == 8  # tags are text here: b漢語b
    assert numbers["rtf"] == pytest.approx(numbers["processing_s"] / 6)
    assert numbers["bleu"] is None
    assert report["normalizers"] == {"en": "english/1", "zh": "chinese/1"}
    assert report["failures"] == []
    assert report["peak_memory_mb"] > 1
    assert [row["id"] for row in report["utterances"]["mixed"]] == ["en1", "zh1", "zh2"]
    assert report["utterances"]["mixed"][1]["ops"][-1] == ("D", "界", None)
    assert json.loads(to_json(report))["schema"] == "mooer.evaluation/1"


def test_one_language_has_intervals(tmp_path):
    report = run(Plan((manifest(tmp_path, ROWS[1:3], "zh.jsonl"),), "fake", seed=5), Fake(HEARD))
    numbers = report["sets"]["zh"]
    assert numbers["language"] == "zh"
    low, high = numbers["intervals"]["cer"]
    assert low <= numbers["cer"] <= high
    assert "by_language" not in numbers
    assert report["seed"] == 5


@pytest.mark.parametrize("kind", [Fake, Batched])
def test_what_fails_is_listed_and_not_scored(tmp_path, kind):
    report = run(Plan((manifest(tmp_path),), "fake"), kind({"zh1": "你好世界"}))
    assert [f["id"] for f in report["failures"]] == ["en1", "zh2"]
    assert report["failures"][0]["error"] == "cannot read en1"
    numbers = report["sets"]["mixed"]
    assert (numbers["num_failed"], numbers["num_utterances"], numbers["cer"]) == (2, 1, 0.0)
    assert "cannot read en1" in to_html(report)
    assert numbers["by_language"]["en"]["wer"] is None


def test_a_batch_that_forgets_one(tmp_path):
    class Forgetful(Fake):
        def transcribe_many(self, pairs, *, language=None):
            name, path = next(iter(pairs))
            yield name, self.transcribe(path)

    report = run(Plan((manifest(tmp_path),), "fake"), Forgetful(HEARD))
    assert [f["error"] for f in report["failures"]] == ["the model gave no result for it"] * 2


def test_languages_are_told_on_request(tmp_path):
    path = manifest(tmp_path)
    for plan, told in [
        (Plan((path,), "m"), [None, None, None]),
        (Plan((path,), "m", language="zh"), ["zh", "zh", "zh"]),
        (Plan((path,), "m", use_language=True), ["en", "zh", "zh"]),
    ]:
        fake = Fake(HEARD)
        run(plan, fake)
        assert [language for _, language in fake.asked] == told


def test_translation_is_scored_by_bleu(tmp_path):
    rows = [
        {
            "audio": "a.wav",
            "text": "你好世界",
            "language": "zh",
            "translation": "Hello to the whole world.",
        },
        {
            "audio": "b.wav",
            "text": "好",
            "language": "zh",
            "translation": ["It is good.", "Good it is."],
        },
        {"audio": "c.wav", "text": "无", "language": "zh"},
    ]
    fake = Fake({"a": "Hello to the whole world.", "b": "It is good."})
    report = run(Plan((manifest(tmp_path, rows, "t.jsonl"),), "m", task="ast"), fake)
    numbers = report["sets"]["t"]
    assert numbers["bleu"] == pytest.approx(100)
    assert numbers["chrf"] == pytest.approx(100)
    assert "tok:13a" in numbers["bleu_signature"]
    assert numbers["wer"] is None
    assert numbers["num_skipped"] == 1
    assert "Hello to the whole" in to_html(report)
    with pytest.raises(ManifestError, match="translation"):
        run(Plan((manifest(tmp_path, rows, "t.jsonl"),), "m", task="ast", to="de"), fake)


def test_limit_and_same_names(tmp_path):
    first = manifest(tmp_path)
    (tmp_path / "other").mkdir()
    second = manifest(tmp_path / "other")
    report = run(Plan((first, second), "m", limit=1), Fake(HEARD))
    assert {name: s["num_utterances"] for name, s in report["sets"].items()} == {
        "mixed": 1,
        "mixed-2": 1,
    }


def test_an_interrupted_run_goes_on(tmp_path):
    plan = Plan((manifest(tmp_path),), "fake")
    path = tmp_path / "r.json.partial.jsonl"

    class Interrupted(Fake):
        def transcribe(self, source, *, language=None):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().transcribe(source, language=language)

    with pytest.raises(KeyboardInterrupt), Journal(path, plan.head()) as journal:
        run(plan, Interrupted(HEARD), journal=journal)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"set": "mixed", "id": "zh2", "hyp')  # cut by a crash
    fake = Fake(HEARD)
    with Journal(path, plan.head()) as journal:
        assert len(journal.finished) == 2
        report = run(plan, fake, journal=journal)
        journal.discard()
    assert [name for name, _ in fake.asked] == ["zh2"]
    assert report["sets"]["mixed"]["num_utterances"] == 3
    assert not path.exists()


def test_another_run_is_not_mixed_in(tmp_path):
    path = tmp_path / "p.jsonl"
    with Journal(path, Plan(("m",), "one").head()) as journal:
        journal.add({"set": "s", "id": "i"})
    other = Plan(("m",), "two").head()
    with pytest.raises(ConfigError, match="--force"):
        Journal(path, other)
    with Journal(path, other, force=True) as journal:
        assert journal.finished == {}
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path / "gone" / "p", other)


def test_plans_that_cannot_be_run(tmp_path):
    with pytest.raises(ConfigError, match="did you mean asr"):
        Plan(("m",), "m", task="asrr")
    with pytest.raises(ConfigError, match="choose one"):
        Plan(("m",), "m", language="zh", use_language=True)
    with pytest.raises(ConfigError, match="at least 1"):
        Plan(("m",), "m", limit=0)
    with pytest.raises(ManifestError, match="needs JSONL manifests"):
        run(Plan((manifest(tmp_path, ROWS[3:]),), "m"), Fake({}))


def test_the_page_is_escaped(tmp_path):
    rows = [{"id": "<script>", "audio": "x.wav", "text": "<b>&", "language": 'fr"><x>'}]
    plan = Plan((manifest(tmp_path, rows, "a&b.jsonl"),), "<model>")
    page = to_html(run(plan, Fake({"x": "b <u>"})))
    assert not re.search(r"<(script|b|u|x|model)>", page)
    assert "&lt;model&gt;" in page
    assert "a&amp;b" in page


def test_the_page_colours_alignments(tmp_path):
    page = to_html(run(Plan((manifest(tmp_path),), "m"), Fake(HEARD)))
    assert '<span class="s"><del>world</del> <ins>word</ins></span>' in page
    assert "<del>界</del>" in page
    assert "http" not in page  # it needs nothing else


def test_the_table(tmp_path):
    report = run(Plan((manifest(tmp_path),), "m"), Fake(HEARD))
    lines = to_markdown(report).splitlines()
    assert lines[0].startswith("| set | language | utterances | WER % |")
    assert lines[2].startswith("| mixed | several | 3 | 50.0 |")
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1


def test_memory_is_known_only_where_the_system_says(monkeypatch):
    monkeypatch.setattr(benchmark.sys, "platform", "win32")
    assert benchmark.peak_memory_mb() is None
