"""Stand-ins for retrieval: an embedder of letters, and documents in a folder."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from mooer.agent.knowledge.index import Index, terms_of

WIDTH = 64


class LetterEmbedder:
    """Texts are near that share terms; counts what it embeds. Stands in for `Embedder`."""

    width = WIDTH

    def __init__(self, name="letters", *, breaks_after=None):
        self.name = name
        self.embedded: list[str] = []
        self._breaks_after = breaks_after

    def queries(self, texts):
        return self._vectors(texts)

    def passages(self, texts):
        for text in texts:
            if self._breaks_after is not None and len(self.embedded) >= self._breaks_after:
                raise KeyboardInterrupt
            self.embedded.append(text)
        return self._vectors(texts)

    def _vectors(self, texts):
        found = np.full((len(texts), WIDTH), 0.01, np.float32)
        for i, text in enumerate(texts):
            for term in terms_of(text):
                found[i, sum(map(ord, term)) % WIDTH] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def index(path, embedder=None):
    embedder = embedder or LetterEmbedder()
    return Index(path, model=embedder.name, width=embedder.width)


def shelf(folder, **texts):
    """Files of these names (a_md: a.md) and texts."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / f"{stem}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def docx(*paragraphs, document=None):
    """A Word file of (style, text)."""
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    content = document or f"<w:document {space}><w:body>{body}</w:body></w:document>".encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", content)
    return file.getvalue()
