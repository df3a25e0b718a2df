"""Reads damaged sounds, one after another, in a process of its own: a crash is then a result.

    python fuzz_worker.py SEEDS FIRST LAST

SEEDS is a folder of whole files; numbers FIRST to LAST each make one damaged file of it, always
the same. The file at hand lies in SEEDS/current, so that what a crash leaves can be studied.
Prints one line of JSON.
"""

import faulthandler
import io
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from mooer.audio.wave import open_wave
from mooer.errors import AudioError

MAX_S, HANG_S = 20.0, 20.0


class Pipe(io.BytesIO):
    """Bytes that cannot be sought."""

    def seekable(self):
        return False


def flip(data, rng, first=0):
    for _ in range(rng.choice([1, 2, 8, 64, 500])):
        data[rng.randrange(first, len(data))] ^= 1 << rng.randrange(8)


def edit_header(data, rng):
    """Numbers that a header would not hold, where headers are."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(min(len(data) - 8, rng.choice([64, 256, 1024])))
        size = rng.choice([1, 2, 4, 8])
        number = rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1])
        order = rng.choice(["little", "big"])
        data[at : at + size] = (number % 256**size).to_bytes(size, order)


def truncate(data, rng):
    del data[rng.randrange(1, len(data)) :]


def remove(data, rng):
    at = rng.randrange(len(data))
    del data[at : at + rng.choice([1, 3, 100, 5_000])]


def fill(data, rng):
    at = rng.randrange(len(data))
    size = min(len(data) - at, rng.choice([4, 64, 1_000]))
    data[at : at + size] = rng.choice([bytes(size), b"\xff" * size, rng.randbytes(size)])


def repeat(data, rng):
    at, size = rng.randrange(len(data)), rng.choice([16, 400, 3_000])
    data[at:at] = data[at : at + size] * rng.choice([1, 2, 20])


def mutant(number, seeds):
    """Name and bytes of damaged file `number`."""
    rng = random.Random(number)
    names = sorted(seeds)
    name = names[number % len(names)]
    data = bytearray(seeds[name])
    if rng.random() < 0.1:
        other = seeds[rng.choice(names)]
        data = data[: rng.randrange(1, len(data))] + other[rng.randrange(len(other)) :]
        name += "+splice"
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        change = rng.choice([flip, flip, edit_header, edit_header, truncate, remove, fill, repeat])
        name += "+" + change.__name__
        if len(data) > 16:
            change(data, rng)
    return name, bytes(data), rng.random() < 0.15


def read(data, as_pipe):
    """Samples, or None for an `AudioError`; anything else flies out."""
    total = 0
    try:
        with open_wave(Pipe(data) if as_pipe else data) as wave:
            for block in wave.blocks(1.0):
                assert block.dtype == np.float32
                assert np.isfinite(block).all()
                assert np.abs(block).max() <= 1
                total += len(block)
                if total > MAX_S * 16_000:
                    break
            assert all(note.isprintable() for note in wave.warnings)
    except AudioError as error:
        message = str(error)
    else:
        return total
    assert len(message.splitlines()) == 1, repr(message)
    return None


def main(folder, first, last):
    seeds = {p.name: p.read_bytes() for p in Path(folder, "seeds").iterdir()}
    process, slowest = psutil.Process(), (0.0, "")
    heard = refused = 0
    for data in seeds.values():
        read(data, False)
    before = process.memory_info().rss
    for number in range(first, last):
        name, data, as_pipe = mutant(number, seeds)
        Path(folder, "current").write_bytes(data)
        Path(folder, "current.name").write_text(f"{number} {name} pipe={as_pipe}")
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        start = time.perf_counter()
        if read(data, as_pipe) is None:
            refused += 1
        else:
            heard += 1
        slowest = max(slowest, (time.perf_counter() - start, f"{number} {name}"))
    faulthandler.cancel_dump_traceback_later()
    growth_mib = (process.memory_info().rss - before) / 2**20
    result = {"heard": heard, "refused": refused, "slowest": slowest, "growth_mib": growth_mib}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    faulthandler.enable()
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
