"""Simple indexes: JSON, HTML, folders; and pip's own configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mooer.store.entries import Wheel
from mooer.store.index import Index, fits, parse_html, parse_json
from mooer.store.pipconf import PUBLIC_INDEX, PipConfig, config_files, read_pip_config
from mooer.store.settings import read_settings
from mooer.store.web import SourceError, Web

WHEEL = Wheel("Big-Model", "1.0", "x")
NAME = "big_model-1.0-py3-none-any.whl"


def test_json_page():
    page = {"files": [{"filename": NAME, "url": "../a/" + NAME, "hashes": {"sha256": "ab"}}]}
    (link,) = parse_json(json.dumps(page), "https://i.example/simple/big-model/")
    assert (link.filename, link.sha256) == (NAME, "ab")
    assert link.url == f"https://i.example/simple/a/{NAME}"


@pytest.mark.parametrize("text", ["", "[]", '{"files": [{}]}', '{"files": [[]]}', "<html>"])
def test_page_that_is_none(text):
    with pytest.raises(SourceError, match=r"i\.example sent a page that is no package index"):
        list(parse_json(text, "https://i.example/"))


def test_html_page():
    text = f'<a href="../a/{NAME}#sha256=ab" data-yanked>x</a><a href="b.tar.gz#md5=1">y</a><a>z'
    first, second = parse_html(text, "https://i.example/simple/big-model/")
    assert first.url == f"https://i.example/simple/a/{NAME}"
    assert (first.filename, first.sha256) == (NAME, "ab")
    assert (second.filename, second.sha256) == ("b.tar.gz", None)


@pytest.mark.parametrize(
    ("name", "does"),
    [
        (NAME, True),
        ("Big.Model-1.0-1-py3-none-any.whl", True),
        ("big_model-1.0.1-py3-none-any.whl", False),
        ("big_model_2-1.0-py3-none-any.whl", False),
        ("big_model-1.0.tar.gz", False),
    ],
)
def test_fits(name, does):
    assert fits(name, WHEEL) is does


def find(*indexes: str, links: tuple[str, ...] = ()):
    return Index(Web(), PipConfig(indexes=indexes, find_links=links)).find(WHEEL)


def test_folders_and_absent_folders(tmp_path, home):
    flat = tmp_path / "flat" / "big-model"
    flat.mkdir(parents=True)
    (flat / NAME).touch()
    assert find((tmp_path / "absent").as_uri(), flat.parent.as_uri()).filename == NAME
    assert find(links=(str(tmp_path / "absent"), str(flat))).filename == NAME
    paged = tmp_path / "paged" / "big-model"
    paged.mkdir(parents=True)
    (paged / "index.html").write_text(f'<a href="../../flat/big-model/{NAME}">x</a>')
    assert find(paged.parent.as_uri()).url == (flat / NAME).as_uri()
    with pytest.raises(SourceError, match=r"no index has Big-Model 1\.0"):
        find((tmp_path / "absent").as_uri())


def test_every_index_is_asked_and_named(server, home, fakes):
    server.pages["/one/big-model/"] = fakes.simple_page(
        {"big_model-0.9-py3-none-any.whl": ("", b"")}
    )
    with pytest.raises(SourceError, match=r"has no Big-Model 1\.0; 127.*HTTP 404"):
        find(server.url + "/one", server.url + "/two")
    server.pages["/two/big-model/"] = fakes.simple_page({NAME: ("x", b"")})
    assert find(server.url + "/one", server.url + "/two").filename == NAME


def test_pip_configuration(tmp_path):
    weak, strong = tmp_path / "weak.conf", tmp_path / "strong.conf"
    weak.write_text(
        "[global]\nindex-url = https://a.example/simple\nextra_index_url =\n  https://b.example/s\n"
        "  file:///nowhere\nproxy = http://p.example:1\n"
    )
    strong.write_text("[download]\nindex-url = https://c.example/simple/\n")
    config = read_pip_config({}, (weak, strong, tmp_path / "absent"))
    assert config.indexes == ("https://c.example/simple", "https://b.example/s", "file:///nowhere")
    assert config.proxy == "http://p.example:1"
    env = {"PIP_INDEX_URL": "https://d.example/simple", "PIP_CERT": "/c.pem"}
    config = read_pip_config(env, (weak, strong))
    assert config.indexes[0] == "https://d.example/simple"
    assert config.cert == "/c.pem"


def test_pip_configuration_without_anything(tmp_path):
    broken = tmp_path / "pip.conf"
    broken.write_text("no section = here\n")
    assert read_pip_config({}, (broken,)) == PipConfig(indexes=(PUBLIC_INDEX,))
    assert read_pip_config({"PIP_NO_INDEX": "1"}, ()).indexes == ()
    assert read_pip_config({"PIP_TRUSTED_HOST": "x"}, ()).exotic == ("trusted-host",)


def test_pip_configuration_files(tmp_path):
    assert config_files({"PIP_CONFIG_FILE": "/dev/null"}) == ()
    files = config_files({"PIP_CONFIG_FILE": str(tmp_path / "mine.conf")})
    assert files[-1] == tmp_path / "mine.conf"
    assert Path(files[-2]).name in {"pip.conf", "pip.ini"}


def test_settings():
    settings = read_settings({"XDG_CACHE_HOME": "/cache"})
    assert settings.home == Path("/cache/mooer")
    assert settings.order == ("local", "hf", "modelscope", "wheels", "npm")
    settings = read_settings(
        {"MOOER_HOME": "~/weights", "HF_ENDPOINT": "https://mirror.example/", "MOOER_OFFLINE": "1"}
    )
    assert settings.home == Path.home() / "weights"
    assert settings.hf_endpoint == "https://mirror.example"
    assert settings.offline
