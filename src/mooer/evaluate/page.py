"""A report as one HTML page that needs nothing else: the table, and coloured alignments."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from mooer.evaluate.report import heads, table_rows

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .6rem; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tr { border-bottom: 1px solid #8884; }
.u { border-top: 1px solid #8884; padding: .5rem 0; } .id { color: #888; font-size: .85em; }
del { color: #c62828; } ins { color: #2e7d32; text-decoration: none; border-bottom: 2px solid; }
.s { background: #f9a82540; border-radius: 3px; padding: 0 .15em; }
"""
_LEGEND = (
    '<p><span class="s"><del>said</del> <ins>heard</ins></span> substituted · '
    "<del>missed</del> · <ins>added</ins></p>"
)


def to_html(report: Mapping[str, Any]) -> str:
    """The page; everything that came from a manifest or a model is escaped."""
    title = escape(f"{report['model']} · {report['task']}")
    body = [f"<h1>{title}</h1>", _meta(report), _table(report), _failures(report)]
    for name, rows in report["utterances"].items():
        body.append(f"<h2>{escape(name)}</h2>")
        body.append(_LEGEND if any("ops" in row for row in rows) else "")
        # The worst first: they are what one opens the page for.
        body += [_utterance(row) for row in sorted(rows, key=_badness, reverse=True)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _badness(row: Mapping[str, Any]) -> float:
    return float(row.get("errors", 0) / max(row.get("reference_tokens", 1), 1))


def _meta(report: Mapping[str, Any]) -> str:
    memory = report["peak_memory_mb"]
    facts = [
        str(report["created"]),
        str(report["platform"]),
        "" if memory is None else f"{memory} MB at most",
        ", ".join(f"{k} {v}" for k, v in report["versions"].items()),
        "normalisers: " + ", ".join(f"{k} {v}" for k, v in report["normalizers"].items()),
    ]
    return '<p class="id">' + "<br>".join(escape(fact) for fact in facts if fact) + "</p>"


def _table(report: Mapping[str, Any]) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"

    body = "\n".join(row(cells, "td") for cells in table_rows(report))
    return f"<table>{row(heads(), 'th')}\n{body}</table>"


def _failures(report: Mapping[str, Any]) -> str:
    if not report["failures"]:
        return ""
    rows = "".join(
        f"<li>{escape(str(f['set']))}/{escape(str(f['id']))}: {escape(str(f['error']))}</li>"
        for f in report["failures"]
    )
    return f"<h2>Failed</h2><ul>{rows}</ul>"


def _utterance(row: Mapping[str, Any]) -> str:
    head = f'<div class="id">{escape(row["id"])}'
    language = escape(str(row["language"] or "und"))
    if "ops" not in row:
        text = f"{escape(row['reference'])}<br><ins>{escape(row['hypothesis'])}</ins>"
        return f'<div class="u">{head} · {language}</div>{text}</div>'
    glue = " " if row["metric"] == "wer" else ""
    text = glue.join(_token(*op) for op in row["ops"])
    counts = f"{row['errors']}/{row['reference_tokens']}"
    head = f"{head} · {language} · {counts}</div>"
    return f'<div class="u">{head}<div lang="{language}">{text}</div></div>'


def _token(op: str, reference: str | None, hypothesis: str | None) -> str:
    said, heard = escape(reference or ""), escape(hypothesis or "")
    if op == "=":
        return said
    if op == "D":
        return f"<del>{said}</del>"
    if op == "I":
        return f"<ins>{heard}</ins>"
    return f'<span class="s"><del>{said}</del> <ins>{heard}</ins></span>'
