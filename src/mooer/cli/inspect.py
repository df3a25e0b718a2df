"""A report on a folder of weights, as lines for people and as values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mooer.models.released import Report

_KINDS = {
    "missing": "missing",
    "unexpected": "unexpected",
    "misshapen": "of a wrong shape",
    "not_finite": "not finite",
}
_MAX_SHOWN = 20


def lines(report: Report) -> Iterator[str]:
    """What the folder is, its parts with their tensors, its files, what is wrong."""
    yield f"{report.folder}: {report.kind}"
    for piece in report.pieces:
        yield ""
        yield f"{piece.name}: {piece.path}"
        yield f"  {piece.says}; {piece.num_parameters:,} parameters"
        comparison = piece.comparison
        counts = [f"{len(comparison.matched)} matched"]
        counts += [f"{len(getattr(comparison, k))} {said}" for k, said in _KINDS.items()]
        yield f"  {', '.join(counts)}"
        if comparison.prefix:
            yield f"  {comparison.prefix}"
        for kind, said in _KINDS.items():
            names = getattr(comparison, kind)
            yield from (f"    {said}: {name}" for name in names[:_MAX_SHOWN])
            if len(names) > _MAX_SHOWN:
                yield f"    and {len(names) - _MAX_SHOWN} more {said}"
    if report.files:
        yield ""
    for file in report.files:
        verdict = "good" if file.good and file.wanted else "none published" if file.good else "BAD"
        yield f"md5 {verdict}: {file.path}"
    yield ""
    yield from (f"note: {note}" for note in report.notes)
    yield from (f"problem: {problem}" for problem in report.problems)
    yield "usable" if report.usable else "not usable as it is"


def as_mapping(report: Report) -> dict[str, Any]:
    """Everything in the report."""
    return {
        "folder": report.folder,
        "kind": report.kind,
        "usable": report.usable,
        "pieces": [
            {
                "name": piece.name,
                "path": piece.path,
                "says": piece.says,
                "parameters": piece.num_parameters,
                "matched": len(piece.comparison.matched),
                **{kind: list(getattr(piece.comparison, kind)) for kind in _KINDS},
                "prefix": piece.comparison.prefix,
            }
            for piece in report.pieces
        ],
        "files": [
            {"path": f.path, "md5": f.md5, "wanted": f.wanted, "good": f.good} for f in report.files
        ],
        "notes": report.notes,
        "problems": report.problems,
    }
