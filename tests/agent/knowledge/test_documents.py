"""What is read of files, also of those that are made to do harm."""

import itertools
import os
import socket
import sys
import types
import zipfile
from pathlib import Path

import pytest
from tests.agent.knowledge.shelf import docx, shelf

from mooer.agent.knowledge import documents
from mooer.agent.knowledge.documents import (
    Found,
    Section,
    UnreadableError,
    content_of,
    find_documents,
    read_document,
)
from mooer.agent.knowledge.passages import CutOptions, cut, cut_text, num_words
from mooer.text import is_cjk


def read(name, content):
    return read_document(Path(name), content.encode() if isinstance(content, str) else content)


def damaged(archive: bytes) -> bytes:
    """An archive whose list of files is whole, and whose content is not."""
    begin = archive.index(b"word/document.xml") + len("word/document.xml")
    return archive[:begin] + b"\xff" * 20 + archive[begin + 20 :]


@pytest.mark.parametrize(
    ("name", "content", "sections"),
    [
        ("a.txt", "Hello.", [("", "Hello.")]),
        ("a.txt", "你好".encode("gb18030"), [("", "你好")]),
        ("a.txt", "你好".encode("utf-16"), [("", "你好")]),
        ("a.txt", b"\xef\xbb\xbfhi", [("", "hi")]),
        ("a.txt", " \n", []),
        ("a.md", "x\n# A\ny\n## B\nz\n# C\n", [("", "x"), ("A", "y"), ("A > B", "z")]),
        ("a.md", "# A\n```\n# no heading\n```\n", [("A", "```\n# no heading\n```")]),
        (
            "a.html",
            "<title>t</title><script>bad()</script><h1>A</h1><p>one <b>two</b></p><li>three&amp;",
            [("", "t"), ("A", "one two\nthree&")],
        ),
        ("a.htm", "<p>never closed <script>x", [("", "never closed")]),
        ("a.docx", docx(("Heading1", "A"), ("", "text"), ("2", "B"), ("", "more")), None),
    ],
)
def test_documents_become_sections(name, content, sections):
    expected = [("A", "text"), ("A > B", "more")] if sections is None else sections
    assert [(one.heading, one.text) for one in read(name, content)] == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"MZ\x00\x01\x02", "binary"),
        ("a.md", b"\xff\xfe\xfd", "neither UTF-8"),
        ("a.txt", b"\x81\x20\xff" * 9, "neither UTF-8"),
        ("a.docx", b"PK\x03\x04 no", "no Word document"),
        ("a.docx", docx(document=b"<w:document"), "broken XML"),
        ("a.docx", damaged(docx(("", "words " * 500))), "no Word document"),
        ("a.docx", docx(document=b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "entities"),
        ("a.docx", docx(document=b" " * 40_000_000), "unpacks to more than"),
        ("a.txt", b"a" * 9_000_000, "characters of text"),
    ],
)
def test_hostile_documents_are_left_out(name, content, words):
    with pytest.raises(UnreadableError, match=words):
        read(name, content)


def test_a_docx_without_text_or_with_another_file(tmp_path):
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.xml", "x")
    with pytest.raises(UnreadableError, match="no Word document"):
        read("a.docx", path.read_bytes())


def test_what_is_in_a_folder(tmp_path):
    folder = shelf(tmp_path / "notes", b_md="b", a_txt="a", c_png=b"x")
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    (folder / "link.txt").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.md").write_text("x")
    (folder / "sub").mkdir()
    (folder / "sub" / "d.html").write_text("d")
    os.mkfifo(folder / "pipe.txt")
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(documents.MAX_FILE_BYTES + 1)
    found = {one.name: one.error for one in find_documents(folder)}
    assert found == {
        "a.txt": "",
        "b.md": "",
        "huge.txt": "32 MiB, more than 32",
        "link.txt": "a link, which is not followed",
        "pipe.txt": "no plain file",
        "sub/d.html": "",
        "up": "a link, which is not followed",
    }


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    folder = shelf(tmp_path / "notes", a_md="a")
    (folder / "shut").mkdir()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = {one.name: one.error for one in find_documents(folder)}
    assert found == {"a.md": "", "shut": "Permission denied"}


def test_a_file_that_became_something_else_is_not_read(tmp_path):
    real = tmp_path / "real.txt"
    real.write_text("x")
    (tmp_path / "link.txt").symlink_to(real)
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UnreadableError):
        content_of(Found("link.txt", tmp_path / "link.txt"))
    with pytest.raises(UnreadableError, match="no plain file"):
        content_of(Found("pipe.txt", tmp_path / "pipe.txt"))
    with pytest.raises(UnreadableError, match="No such file"):
        content_of(Found("gone.txt", tmp_path / "gone.txt"))
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "s.txt"))
        with pytest.raises(UnreadableError):
            content_of(Found("s.txt", tmp_path / "s.txt"))


def fake_pypdf(folder, body):
    """A package of that name, which the process of its own finds."""
    package = folder / "pypdf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(body)
    (package / "errors.py").write_text("class PyPdfError(Exception): pass")
    return folder


PAGES = """
class Page:
    def extract_text(self): return "page text"
class PdfReader:
    def __init__(self, file):
        data = file.read()
        if b"loop" in data:
            while True: pass
        if b"bad" in data: raise ValueError("bad xref")
        self.pages = [Page(), Page()]
"""


def test_a_pdf_is_read_in_a_process_of_its_own(tmp_path, monkeypatch):
    folder = fake_pypdf(tmp_path / "site", PAGES)
    monkeypatch.setattr(documents, "PDF_S", 1.0)
    monkeypatch.setattr(documents, "find_spec", lambda name: types.SimpleNamespace())
    paths = [
        str(folder),
        str(Path(documents.__file__).parents[3]),
        os.environ.get("PYTHONPATH", ""),
    ]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setattr(documents, "PDF_S", 20.0)
    assert read("a.pdf", b"%PDF") == [
        Section("page 1", "page text"),
        Section("page 2", "page text"),
    ]
    with pytest.raises(UnreadableError, match="ValueError: bad xref"):
        read("a.pdf", b"bad")
    monkeypatch.setattr(documents, "PDF_S", 1.0)
    with pytest.raises(UnreadableError, match="takes more than 1 s"):
        read("a.pdf", b"loop")


def test_a_pdf_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(documents, "find_spec", lambda name: None)
    with pytest.raises(UnreadableError, match=r"pip install 'mooer\[knowledge\]'"):
        read("a.pdf", b"%PDF")
    assert "pypdf" not in sys.modules


TEXT = {
    "en": "".join(f"This is sentence {i} of many. Here comes {i}! Is it {i}? " for i in range(40)),
    "zh": "".join(
        f"这是第{i}句话，后面还有。又来{i}句！这是{i}吗？“引用{i}也算。”" for i in range(30)
    ),
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_passages_are_whole_sentences_with_overlap(language):
    options = CutOptions(max_words=60, overlap_words=15)
    found = list(cut_text(TEXT[language], options))
    assert len(found) > 5
    assert all(num_words(one) <= 60 for one in found)
    assert all(one[-1] in ".!?。！？”" for one in found)
    for one, following in itertools.pairwise(found):
        shared = next(size for size in range(len(one), 0, -1) if following.startswith(one[-size:]))
        assert 0 < num_words(one[-shared:]) <= 15
    bare = "".join(TEXT[language].split())
    assert "".join(found[0].split()) == bare[: len("".join(found[0].split()))]
    assert bare.endswith("".join(found[-1].split()))


@pytest.mark.parametrize(
    "text", ["字" * 1000, "word " * 1000, "x" * 9000, "a。" * 500, "| - " * 900]
)
def test_a_text_without_sentences_is_cut_all_the_same(text):
    options = CutOptions(max_words=50, overlap_words=10)
    found = list(cut_text(text, options))
    assert max(map(len, found)) <= 12 * 50
    assert max(map(num_words, found)) <= 50
    assert all(char in "".join(found) for char in set(text) - {" "})
    if is_cjk(text[0]):
        assert sum(map(len, found)) == 1000


def test_headings_stay_with_their_passages():
    (one, two) = cut([Section("A", "x."), Section("A > B", "y.")])
    assert (one.heading, two.heading, two.text) == ("A", "A > B", "y.")
