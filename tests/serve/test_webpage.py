"""The page: what is served with it, what it may do, and what its scripts make of segments."""

import json
import re
import shutil
import subprocess
from importlib.resources import files

import pytest
from tests.serve.live import serving

from mooer.transcript import Transcript

PAGE = files("mooer.serve").joinpath("page")
SCRIPTS = sorted(file.name for file in PAGE.iterdir() if file.name.endswith(".js"))
NODE = shutil.which("node")


def text_of(name):
    return PAGE.joinpath(name).read_text("utf-8")


def test_the_page_comes_with_a_policy_that_lets_nothing_else_in():
    with serving() as (client, _, _):
        answer = client.get("/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        for path in set(re.findall(r'"(/static/[^"]+)"', answer.text)):
            found = client.get(path)
            assert found.status_code == 200, path
            again = client.get(path, headers={"if-none-match": found.headers["etag"]})
            assert again.status_code == 304
        for path in ("/static/nothing.js", "/static/..%2fsettings.py", "/static/%2e%2e/page"):
            assert client.get(path).status_code == 404
        assert client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_the_page_needs_no_key():
    with serving(settings={"api_key": "secret"}) as (client, _, _):
        assert client.get("/").status_code == 200
        assert client.get("/static/app.js").status_code == 200
        assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_or_calls_elsewhere(name):
    text = text_of(name)
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text
    addresses = re.findall(r"https?://[^\s)\"']*", text)
    names = (
        "http://localhost:{port}",
        "http://www.w3.org/2000/svg",
    )  # in a sentence; of a namespace
    assert all(one.startswith(names) for one in addresses)
    for module in re.findall(r'from "\./([^"]+)"', text):
        assert module in SCRIPTS


def test_nothing_in_the_page_comes_from_elsewhere():
    for name in ("index.html", "style.css"):
        assert "//" not in text_of(name).replace("<!doctype html>", "")
    assert "style=" not in text_of("index.html")
    assert not re.search(r"\son\w+=", text_of("index.html"))


def strings(language):
    block = text_of("strings.js").split(f"  {language}: {{", 1)[1].split("\n  },", 1)[0]
    return set(re.findall(r"(?:^|[,{\s])(\w+): \"", block))


def test_everything_is_said_in_both_languages():
    assert strings("en") == strings("zh")
    shown = set(re.findall(r'data-text="(\w+)"', text_of("index.html")))
    assert shown <= strings("en")
    for name in SCRIPTS:
        used = re.findall(r"(?:say|tell|complain|MicrophoneError)\(\"(\w+)\"", text_of(name))
        assert set(used) <= strings("en"), name


def test_what_the_script_looks_for_is_in_the_page():
    ids = set(re.findall(r'id="([\w-]+)"', text_of("index.html")))
    assert set(re.findall(r'\bat\("([\w-]+)"\)', text_of("app.js"))) <= ids


def run(script):
    """The standard output of a module that stands beside the page's."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", script],
        capture_output=True,
        text=True,
        cwd=str(PAGE),
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SEGMENTS = [
    {
        "start_s": 0.5,
        "end_s": 2.0,
        "text": "Hello <b>you</b> & all.",
        "language": "en",
        "speaker": "S1",
        "emotion": {"name": "happy", "probability": 0.9},
    },
    {"start_s": 3661.25, "end_s": 3663.0, "text": "你好。", "language": "zh", "translation": "Hi."},
    {
        "start_s": 4000.0,
        "end_s": 4001.0,
        "text": "",
        "language": "und",
        "events": [{"start_s": 4000.0, "end_s": 4001.0, "name": "music", "probability": 0.8}],
    },
]


def rendered(format, segments=SEGMENTS):
    given = json.dumps([segments, {"model": "fake", "source": "a.wav", "duration_s": 4001.0}])
    return run(
        f'import {{ render }} from "./exports.js"; const [s, about] = {given};'
        f'process.stdout.write(render("{format}", s, about));'
    )


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize(
    "name", [name for name in SCRIPTS if name not in ("recorder.js", "playback.js")]
)
def test_scripts_can_be_read(name):
    subprocess.run(
        [NODE, "--check", "--input-type=module"],
        input=text_of(name),
        text=True,
        check=True,
        timeout=20,
    )


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_page_writes_subtitles():
    assert rendered("srt") == (
        "1\n00:00:00,500 --> 00:00:02,000\nS1: Hello <b>you</b> & all.\n\n"
        "2\n01:01:01,250 --> 01:01:03,000\n你好。\nHi.\n"
    )
    assert rendered("vtt").startswith(
        "WEBVTT\n\n00:00:00.500 --> 00:00:02.000\nS1: Hello &lt;b&gt;you&lt;/b&gt; &amp; all.\n"
    )
    assert rendered("txt") == "S1: Hello <b>you</b> & all.\n你好。\nHi.\n"


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_page_writes_the_json_of_the_house():
    transcript = Transcript.from_json(rendered("json"))
    assert transcript.duration_s == 4001.0
    assert transcript.segments[1].translation == "Hi."
    assert transcript.segments[2].events[0].name == "music"


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_a_long_sentence_becomes_several_cues_between_words():
    words = [f"word{i}" for i in range(40)]
    segment = {
        "start_s": 0.0,
        "end_s": 20.0,
        "text": " ".join(words) + ".",
        "language": "en",
        "words": [
            {"start_s": i * 0.5, "end_s": i * 0.5 + 0.4, "text": word, "probability": 0.9}
            for i, word in enumerate(words)
        ],
    }
    cues = rendered("srt", [segment]).strip().split("\n\n")
    assert len(cues) > 2
    texts = [cue.split("\n", 2)[2] for cue in cues]
    assert " ".join(texts) == segment["text"]
    assert all(len(text) <= 84 for text in texts)


def placed(text, *words):
    segment = {
        "text": text,
        "words": [{"text": word, "start_s": i, "end_s": i + 1} for i, word in enumerate(words)],
    }
    found = json.loads(
        run(
            'import { placed } from "./exports.js";'
            f"console.log(JSON.stringify(placed({json.dumps(segment)})));"
        )
    )
    return found and [(text[one["begin"] : one["end"]], one["start_s"]) for one in found]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_words_are_found_in_the_text_as_it_is_written():
    assert placed("Yes, we can.", " Yes,", " we", " can.") == [("Yes,", 0), ("we", 1), ("can.", 2)]
    assert placed("It is 25 % of it.", "It", "is", "twenty", "five", "percent", "of", "it.") == [
        ("It", 0),
        ("is", 1),
        ("25 %", 2),
        ("of", 5),
        ("it.", 6),
    ]
    assert placed("共3个。", "共", "三", "个。") == [("共", 0), ("3", 1), ("个。", 2)]
    assert placed("In 1984.", "In", "nineteen", "eighty", "four.") == [("In", 0), ("1984.", 1)]
    assert placed("2 o'clock", "two", "o'clock") == [("2", 0), ("o'clock", 1)]
    assert placed("Atlas", "at") is None  # no part of another word
    assert placed("Quite another text.", "what", "was", "said") is None
