"""The cache of weights: fetch, verify, remove; safe between processes, and quick when filled.

MOOER_HOME/models/<model>/<file>       checked files only: they appear here by renaming
                          .stamp.json  sizes and times of what was checked
                          .parts/      what is on its way, kept for the next attempt
MOOER_HOME/locks/<model>.lock

A model that comes with mooer is never there: its files lie in the package, and are only read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mooer.errors import StoreError
from mooer.store import entries
from mooer.store.entries import Entry, File
from mooer.store.progress import logger, megabytes
from mooer.store.settings import Settings, read_settings

if TYPE_CHECKING:
    from mooer.store.sources import Source

SHIPPED = Path(__file__).resolve().parents[1] / "weights"  # <model>/<file>
STAMP = ".stamp.json"
PARTS = ".parts"
NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
MANY = 12  # files of a model, too many to name
NO_SPACE = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def fetch(name: str | os.PathLike[str], *, offline: bool | None = None) -> Path:
    """Folder with the files of the model called `name`, fetched and checked if need be.

    A path of your own (a folder or file of weights) comes back as it is. offline: use the cache
    and local folders only; None asks MOOER_OFFLINE. StoreError if the model is unknown, if
    no source can give one of its files, or if one that comes with mooer is not whole.
    """
    settings = read_settings()
    name = os.fspath(name)
    if _is_path(name):
        return Path(name).expanduser()
    folder = settings.folder(name)
    if _is_fresh(folder):
        return folder
    if name and name not in entries.catalog() and Path(name).exists():
        return Path(name)
    entry = entries.find(name)
    if entry.shipped:
        if not is_present(name):
            raise StoreError(
                f"{name} comes with mooer, but not all of it is here: install it again"
            )
        return _place(entry, settings)
    offline = settings.offline if offline is None else offline
    try:
        with _locked(settings, name):
            _fill(entry, settings, offline=offline)
    except StoreError:
        raise
    except OSError as error:
        # A volume filled elsewhere and mounted read-only is as good, if slower: no stamp fits it.
        if error.errno in NOT_WRITABLE and is_present(name) and not verify(name):
            return folder
        raise _explained(error, entry, settings) from error
    return folder


def path(name: str) -> Path:
    """Where the files of the model called `name` are or would be."""
    return _place(entries.find(name), read_settings())


def is_present(name: str) -> bool:
    """Whether all files of a model are here; their contents are not read."""
    entry = entries.find(name)
    folder = _place(entry, read_settings())
    return _is_fresh(folder) or all(
        _size_bytes(folder / file.name) == file.size_bytes for file in entry.files
    )


def remove(name: str) -> int:
    """Delete a model from the cache; return how many bytes that freed.

    StoreError if it comes with mooer.
    """
    entry = entries.find(name)
    if entry.shipped:
        raise StoreError(f"{name} comes with mooer and cannot be removed")
    settings = read_settings()
    folder = settings.folder(entry.name)
    if not folder.exists():
        return 0
    try:
        with _locked(settings, name):
            files = [path for path in folder.rglob("*") if path.is_file()]
            freed_bytes = sum(path.stat().st_size for path in files)
            shutil.rmtree(folder)
    except OSError as error:
        raise _explained(error, entry, settings) from error
    return freed_bytes


def verify(name: str) -> list[str]:
    """Read every file of a model again and compare it with the catalog; return what is wrong.

    An empty list is good. Otherwise the model counts as unchecked from now on, so that the next
    `fetch` brings the damaged files again.
    """
    from mooer.store.archive import sha256_of

    entry = entries.find(name)
    folder = _place(entry, read_settings())
    problems = []
    for file in entry.files:
        size_bytes = _size_bytes(folder / file.name)
        if size_bytes is None:
            problems.append(f"{file.name} is missing")
        elif size_bytes != file.size_bytes:
            problems.append(f"{file.name} has {size_bytes} bytes instead of {file.size_bytes}")
        elif sha256_of(folder / file.name) != file.sha256:
            problems.append(f"{file.name} is damaged (its sha256 differs)")
    if problems:
        with contextlib.suppress(OSError):
            (folder / STAMP).unlink()
    return problems


def _place(entry: Entry, settings: Settings) -> Path:
    return SHIPPED / entry.name if entry.shipped else settings.folder(entry.name)


def _fill(entry: Entry, settings: Settings, *, offline: bool) -> None:
    """Bring what is missing, under the lock: another process may just have done it."""
    folder = settings.folder(entry.name)
    if _is_fresh(folder):
        return
    parts = folder / PARTS
    parts.mkdir(parents=True, exist_ok=True)
    stamps = _kept(entry, folder)
    missing = [file for file in entry.files if file.name not in stamps]
    if missing:
        from mooer.store.sources import make_sources

        sources = make_sources(settings)
        _check_space(entry, missing, settings)
        told: set[str] = set()
        for file in missing:
            _bring(entry, file, sources, settings, offline=offline, told=told)
            stamps[file.name] = _stamp_of(folder / file.name, file)
            _write_stamp(folder, stamps, complete=False)
        logger.info("%s: complete in %s", entry.name, folder)
    _write_stamp(folder, stamps, complete=True)
    shutil.rmtree(parts, ignore_errors=True)


def _bring(
    entry: Entry,
    file: File,
    sources: dict[str, Source],
    settings: Settings,
    *,
    offline: bool,
    told: set[str],
) -> None:
    """Put one file in its place from the first source that has the right one.

    `told` holds places that were named already: a package of many files is named once.
    """
    folder = settings.folder(entry.name)
    part = folder / PARTS / f"{file.name}.part"
    reasons: dict[str, str] = {}
    for name, source in sources.items():
        if source.is_remote and offline:
            reasons[name] = "not asked, because of --offline or MOOER_OFFLINE"
            continue
        try:
            where = source.where(entry, file)
        except StoreError as error:
            reasons[name] = str(error)
            continue
        size = megabytes(file.size_bytes)
        level = logging.DEBUG if where in told else logging.INFO
        told.add(where)
        logger.log(level, "%s: %s (%s) from %s: %s", entry.name, file.name, size, name, where)
        try:
            _bring_checked(entry, file, source, part)
        except StoreError as error:
            reasons[name] = str(error)
            logger.info("%s: %s failed: %s", entry.name, name, error)
            continue
        _publish(part, folder / file.name)
        return
    raise StoreError(_nowhere(entry, file, reasons, settings))


def _bring_checked(entry: Entry, file: File, source: Source, part: Path) -> None:
    """Fill `part` and compare; a part that was there before gets one more chance from zero."""
    from mooer.store.archive import sha256_of

    for resumed in (part.exists(), False):
        source.bring(entry, file, part)
        size_bytes = part.stat().st_size
        if size_bytes == file.size_bytes and sha256_of(part) == file.sha256:
            return
        part.unlink()
        if not resumed:
            break
    if size_bytes != file.size_bytes:
        raise StoreError(f"gave {size_bytes} bytes where {file.size_bytes} are expected")
    raise StoreError("gave other contents than expected (its sha256 differs)")


def _publish(part: Path, final: Path) -> None:
    """Let a checked file appear under its name at once, and only when the disk has it."""
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    part.replace(final)


def _kept(entry: Entry, folder: Path) -> dict[str, Any]:
    """Stamps of the files that are in place already; those of unknown state are read once."""
    from mooer.store.archive import sha256_of

    before = _read_stamp(folder).get("files", {})
    stamps = {}
    for file in entry.files:
        final = folder / file.name
        size_bytes = _size_bytes(final)
        if size_bytes is None:
            continue
        now = _stamp_of(final, file)
        if size_bytes == file.size_bytes and (
            before.get(file.name) == now or sha256_of(final) == file.sha256
        ):
            stamps[file.name] = now
        else:
            logger.warning("%s: %s is damaged and is fetched again", entry.name, file.name)
    return stamps


def _is_fresh(folder: Path) -> bool:
    """Whether the stamp is of this catalog and the files still look as they did when checked."""
    stamp = _read_stamp(folder)
    if not stamp.get("complete") or stamp.get("catalog") != _fingerprint():
        return False
    try:
        return all(
            [stat.st_size, stat.st_mtime_ns] == seen[:2]
            for name, seen in stamp["files"].items()
            for stat in [(folder / name).stat()]
        )
    except OSError:
        return False


def _fingerprint() -> str:
    return entries.fingerprint(entries.CATALOG_PATH)


def _stamp_of(path: Path, file: File) -> list[int | str]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, file.sha256]


def _read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / STAMP).read_bytes())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(folder: Path, files: dict[str, Any], *, complete: bool) -> None:
    stamp = {"catalog": _fingerprint(), "complete": complete, "files": files}
    part = folder / (STAMP + ".part")
    part.write_text(json.dumps(stamp), encoding="utf-8")
    part.replace(folder / STAMP)


def _size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _is_path(name: str) -> bool:
    looks_like_one = name.startswith(("~", ".")) or any(mark in name for mark in "/\\")
    return looks_like_one and Path(name).expanduser().exists()


@contextlib.contextmanager
def _locked(settings: Settings, name: str) -> Iterator[None]:
    """Hold the lock of one model; say so if another process has it."""
    from filelock import FileLock, Timeout

    locks = settings.home / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("%s: waiting for another process that is at work on it", name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_space(entry: Entry, missing: list[File], settings: Settings) -> None:
    """Find out before, not after, an hour of downloading that it does not fit."""
    parts = settings.folder(entry.name) / PARTS
    have_bytes = sum(path.stat().st_size for path in parts.rglob("*") if path.is_file())
    need_bytes = sum(file.size_bytes for file in missing) - have_bytes
    if shutil.disk_usage(parts).free < need_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _explained(error: OSError, entry: Entry, settings: Settings) -> StoreError:
    home = settings.home
    if error.errno in NO_SPACE:
        return StoreError(
            f"no space left for {entry.name}: it needs {megabytes(entry.size_bytes)} (twice that "
            f"while wheels are unpacked) in {home}: free some, or set MOOER_HOME to a folder on a "
            "larger disk"
        )
    return StoreError(
        f"cannot write {entry.name} to the cache in {home} ({error}): make that folder writable, "
        "or set MOOER_HOME to another one"
    )


def _nowhere(entry: Entry, file: File, reasons: dict[str, str], settings: Settings) -> str:
    asked = "\n".join(f"  {name}: {reason}" for name, reason in reasons.items())
    files = [file.name for file in entry.files]
    names = ", ".join(files) if len(files) < MANY else f"its {len(files)} files"
    mirror = "NPM_CONFIG_REGISTRY" if file.npm else "HF_ENDPOINT"
    return (
        f"cannot fetch {file.name} of {entry.name} ({megabytes(entry.size_bytes)}); sources asked:"
        f"\n{asked}\n"
        f"Mend it: connect (proxies are taken from HTTPS_PROXY) or set {mirror} to a mirror, "
        f"then run `mooer models fetch {entry.name}` again; or copy {names} from another machine "
        f"into DIR/{entry.name}/ and set MOOER_MODELS_DIR=DIR "
        f"(the folder {settings.folder(entry.name)} of that machine's cache will do)."
    )
