"""Blocks, pipes, long files, holes between timestamps."""

import io
import os
import subprocess
import sys
import threading
import wave as stdlib_wave

import av
import numpy as np
import pytest
from tests.audio.sounds import CONTAINERS, encode, tone

from mooer.audio.wave import open_wave, read_wave

READ_PIPE = """
import sys, numpy as np
from mooer.audio.wave import open_wave
with open_wave("-") as wave:
    samples = np.concatenate(list(wave.blocks()))
print(len(samples), float(np.sqrt(2 * np.mean(samples ** 2))), wave.name)
"""
READ_LONG = """
import sys, numpy as np, psutil
from mooer.audio.wave import open_wave
process, peak, total = psutil.Process(), 0, 0
with open_wave(sys.argv[1]) as wave:
    for i, block in enumerate(wave.blocks(10.0)):
        total += len(block)
        if i == 2:
            before = process.memory_info().rss
        if i >= 2:
            peak = max(peak, process.memory_info().rss)
print(total, (peak - before) / 2 ** 20)
"""


@pytest.mark.parametrize("block_s", [0.01, 0.1, 0.37, 1.0, 3.0, 60.0])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_blocks_are_the_whole_in_pieces(block_s, rate_hz):
    data = encode("flac", tone(3.2, rate_hz), rate_hz)
    with open_wave(data) as wave:
        blocks = list(wave.blocks(block_s))
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * 16_000)}
    assert 0 < len(blocks[-1]) <= round(block_s * 16_000)
    np.testing.assert_array_equal(np.concatenate(blocks), read_wave(data))


@pytest.mark.parametrize("max_s", [0.0, 0.01, 0.5, 1.0, 99.0])
def test_max_s_is_a_prefix(max_s):
    data = encode("wav-s16", tone(2.0, 44_100), 44_100)
    samples = read_wave(data, max_s=max_s)
    assert len(samples) == min(32_000, round(max_s * 16_000))
    np.testing.assert_array_equal(samples, read_wave(data)[: len(samples)])


def test_an_array_is_streamed_too():
    with open_wave(tone(25.0, 8_000), rate_hz=8_000) as wave:
        assert wave.duration_s == 25.0
        assert [len(block) for block in wave.blocks()] == [160_000, 160_000, 80_000]


@pytest.mark.parametrize(
    "kind",
    ["wav-s16", "flac", "mp3", "ogg-opus", "webm", "aac", "amr", "m4a", "caf", "aiff", "wma"],
)
def test_standard_input(kind):
    rate_hz = CONTAINERS[kind][4] or 44_100
    data = encode(kind, tone(3.0, rate_hz), rate_hz)
    done = subprocess.run(
        [sys.executable, "-c", READ_PIPE], input=data, capture_output=True, check=True, timeout=60
    )
    length, level, name = done.stdout.decode().split(maxsplit=2)
    assert int(length) / 16_000 == pytest.approx(3.0, abs=0.06)
    assert float(level) == pytest.approx(0.5, abs=0.09)
    assert name.strip() == "standard input"
    assert done.stderr == b""


def test_standard_input_from_a_file(tmp_path):
    path = tmp_path / "a.m4a"
    path.write_bytes(encode("m4a", tone(1.0, 44_100), 44_100))
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", READ_PIPE], stdin=file, capture_output=True, check=True
        )
    assert int(done.stdout.split()[0]) > 15_900


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_that_comes_in_drops(tmp_path):
    path, data = tmp_path / "pipe", encode("wav-s16", tone(0.5, 16_000), 16_000)
    os.mkfifo(path)

    def drip():
        with path.open("wb", buffering=0) as pipe:
            for start in range(0, len(data), 777):
                pipe.write(data[start : start + 777])

    thread = threading.Thread(target=drip)
    thread.start()
    assert len(read_wave(path)) == 8_000
    thread.join()


def test_blocks_come_before_the_pipe_ends():
    data = encode("wav-s16", tone(8.0, 16_000), 16_000)
    source, sink = os.pipe()
    heard = threading.Event()

    def speak():
        with os.fdopen(sink, "wb", buffering=0) as pipe:
            pipe.write(data[:100_000])  # FFmpeg looks at 64 KiB before it begins
            assert heard.wait(30)
            pipe.write(data[100_000:])

    thread = threading.Thread(target=speak)
    thread.start()
    with os.fdopen(source, "rb") as pipe, open_wave(pipe) as wave:
        blocks = wave.blocks(0.5)
        assert len(next(blocks)) == 8_000
        heard.set()
        assert sum(map(len, blocks)) == 15 * 8_000
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_three_hours_take_no_more_memory_than_a_minute(tmp_path, rate_hz):
    path = tmp_path / "long.wav"
    with stdlib_wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(b"")
    num_bytes = 3 * 3600 * rate_hz * 2
    with path.open("r+b") as file:  # a sparse file: zeros that take no room
        file.truncate(44 + num_bytes)
        for at, size in ((4, num_bytes + 36), (40, num_bytes)):
            file.seek(at)
            file.write(size.to_bytes(4, "little"))
    done = subprocess.run(
        [sys.executable, "-c", READ_LONG, path], capture_output=True, check=True, timeout=300
    )
    total, growth_mib = done.stdout.split()
    assert int(total) == 3 * 3600 * 16_000
    assert float(growth_mib) < 30


def with_pictures(start_s, hole=None):
    """An mkv of 4 s of pictures whose sound begins late, or lacks the seconds of `hole`."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        video, audio = out.add_stream("mpeg4", rate=5), out.add_stream("pcm_s16le", rate=16_000)
        video.width = video.height = 32
        audio.layout = "mono"
        for i in range(20):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            out.mux(video.encode(picture))
            for part in range(2):
                at_s = i * 0.2 + part * 0.1
                if at_s < start_s or (hole and hole[0] <= at_s < hole[1]):
                    continue
                samples = np.full((1, 1_600), 8_000, np.int16)
                frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
                frame.sample_rate, frame.pts = 16_000, round(at_s * 16_000)
                packets = audio.encode(frame)
                out.mux(packets)
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("start_s", "hole"), [(0.0, None), (0.7, None), (0.0, (1.0, 2.5)), (0.5, (2.0, 3.0))]
)
def test_times_are_those_of_the_video(start_s, hole):
    with open_wave(with_pictures(start_s, hole)) as wave:
        samples = np.concatenate(list(wave.blocks()))
        notes = wave.warnings
    expected = np.full(64_000, 8_000 / 32_768, np.float32)
    expected[: round(start_s * 16_000)] = 0
    if hole:
        expected[round(hole[0] * 16_000) : round(hole[1] * 16_000)] = 0
    assert abs(len(samples) - len(expected)) < 200
    num = min(len(samples), len(expected))
    assert np.mean(samples[:num] != expected[:num]) < 0.01
    assert len(notes) == (start_s > 0) + (hole is not None)
