"""Check the sizes the house allows: 400 lines a file, 60 a function, 8 parameters."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "src"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60  # from `def` to the end, docstring included, decorators not
MAX_PARAMETERS = 8  # without self and cls


def oversizes(path: Path, *, is_command: bool = False) -> Iterator[str]:
    """One line for each thing in a file that is too large.

    The parameters of a command (a module of `cli`) are its options, one line of help each: their
    number is the user's business, and they are not counted.
    """
    text = path.read_text("utf-8")
    num_lines = text.count("\n")
    if num_lines > MAX_FILE_LINES:
        yield f"{path}: {num_lines} lines, at most {MAX_FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        where = f"{path}:{node.lineno}: {node.name}"
        num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if num_lines > MAX_FUNCTION_LINES + (_signature_lines(node) if is_command else 0):
            yield f"{where}: {num_lines} lines, at most {MAX_FUNCTION_LINES}"
        arguments = node.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        num_parameters = len(names) - (names[:1] in (["self"], ["cls"]))
        if num_parameters > MAX_PARAMETERS and not is_command:
            yield f"{where}: {num_parameters} parameters, at most {MAX_PARAMETERS}"


def _signature_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return node.body[0].lineno - node.lineno


def main() -> int:
    """Check all files, print what is too large, and return the exit code."""
    paths = sorted(SOURCES.rglob("*.py"))
    found = [line for path in paths for line in oversizes(path, is_command="cli" in path.parts)]
    print("\n".join(found) if found else f"{len(paths)} files are of a good size")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
