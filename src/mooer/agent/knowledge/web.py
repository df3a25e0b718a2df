"""Search the web through a service of the user's choice: Serper (Google) or a SearXNG server.

What comes back are the snippets that the service itself has; no page is fetched, so nothing that a
page names is ever connected to.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from mooer.agent.events import Source
from mooer.agent.exchange import Request, Service, document
from mooer.agent.language import script_of
from mooer.errors import AgentError, ConfigError

SERPER_URL = "https://google.serper.dev"
_MAX_QUERY_CHARS = 300
_MAX_TEXT_CHARS = 600
_TAG = re.compile(r"<[^>]*>")


class Serper:
    """Google's results by serper.dev, for which a key is needed. ConfigError without one."""

    def __init__(self, key: str, *, url: str = SERPER_URL, timeout_s: float = 4.0) -> None:
        if not key:
            raise ConfigError("Serper needs a key: make one at serper.dev, or use a SearXNG server")
        self._service = _bounded(Service(url, key), timeout_s)

    def search(self, text: str, num: int) -> list[Source]:
        """The best `num` results. AgentError in one sentence if the service fails."""
        query = _query(text)
        if not query or num < 1:
            return []
        place = {"gl": "cn", "hl": "zh-cn"} if script_of(query) == "zh" else {}
        headers = {"X-API-KEY": self._service.key}
        request = Request("/search", {"q": query, "num": num, **place}, headers)
        found = _table(document(self._service, request), self._service)
        rows = [*_direct(found), *_rows(found.get("organic"), "link", "snippet")]
        return rows[:num]


class SearXNG:
    """A SearXNG server, one's own or a friend's, which must allow the format json."""

    def __init__(self, url: str, *, timeout_s: float = 4.0) -> None:
        self._service = _bounded(Service(url), timeout_s)

    def search(self, text: str, num: int) -> list[Source]:
        """The best `num` results. AgentError in one sentence if the server fails."""
        query = _query(text)
        if not query or num < 1:
            return []
        language = "zh-CN" if script_of(query) == "zh" else "en"
        asked = {"q": query, "format": "json", "language": language}
        try:
            answer = document(self._service, Request(f"/search?{urlencode(asked)}"))
        except AgentError as error:
            if " answers 403" not in str(error):
                raise
            raise AgentError(
                f"{self._service.host} gives no JSON: add json to search.formats of its settings"
            ) from None
        found = _table(answer, self._service)
        return list(_rows(found.get("results"), "url", "content"))[:num]


def _bounded(service: Service, timeout_s: float) -> Service:
    """The same with so much time for all: a talk cannot wait for a search."""
    return replace(service, first_s=timeout_s, pause_s=timeout_s, total_s=timeout_s)


def _query(text: str) -> str:
    return " ".join(text.encode(errors="replace").decode().split())[:_MAX_QUERY_CHARS]


def _table(answer: Any, service: Service) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise AgentError(f"{service.host} answers with no search results: look at the address")
    return answer


def _direct(found: Mapping[str, Any]) -> Iterable[Source]:
    """What Google itself answers, above the pages."""
    box = found.get("answerBox")
    if isinstance(box, Mapping):
        text = box.get("answer") or box.get("snippet")
        yield from _rows([{**box, "snippet": text}], "link", "snippet")


def _rows(rows: Any, address: str, content: str) -> Iterable[Source]:
    """Sources of what is a result among the rows, in their order."""
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, Mapping):
            continue
        place, title, text = (_plain(row.get(key)) for key in (address, "title", content))
        if text or title:
            whole = f"{title}: {text}" if title and text else title or text
            yield Source(place or "web", whole[:_MAX_TEXT_CHARS])


def _plain(value: Any) -> str:
    text = html.unescape(_TAG.sub("", value)) if isinstance(value, str) else ""
    return " ".join(text.split())
