"""The text of the pages of a PDF, as a process of its own: PDF to standard input, JSON back.

python -m mooer.agent.knowledge.pdf 8388608 < file.pdf

The number is of the characters that are wanted at most.
"""

from __future__ import annotations

import io
import json
import logging
import sys

_MEMORY_BYTES = 2 << 30


def main(max_chars: int) -> int:
    """Write the pages up to so many characters; 1 and a line on standard error if it is no PDF."""
    _limit_memory()
    import pypdf
    from pypdf.errors import PyPdfError

    logging.disable()
    pages: list[str] = []
    try:
        reader = pypdf.PdfReader(io.BytesIO(sys.stdin.buffer.read()))
        for page in reader.pages:
            pages.append(page.extract_text())
            if sum(map(len, pages)) > max_chars:
                break
    # pypdf lets whatever goes wrong in a broken file come through.
    except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        return _refused(f"{type(error).__name__}: {error}")
    except (RecursionError, MemoryError, NotImplementedError, ArithmeticError) as error:
        return _refused(type(error).__name__)
    sys.stdout.buffer.write(json.dumps(pages).encode())
    return 0


def _refused(why: str) -> int:
    sys.stderr.write(" ".join(why.split()) + "\n")
    return 1


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # there is none on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
