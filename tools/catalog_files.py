"""Print the `files:` of an entry of catalog.yaml, for a model that ships:

python tools/catalog_files.py src/mooer/weights/mini
"""

from __future__ import annotations

import sys
from pathlib import Path

from mooer.store.archive import sha256_of

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print("  files:")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(f"    {path.relative_to(folder).as_posix()}:")
        print(f"      size_bytes: {path.stat().st_size}\n      sha256: {sha256_of(path)}")
