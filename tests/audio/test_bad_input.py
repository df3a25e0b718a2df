"""What people hand in by mistake or by malice: sound, or one clear sentence."""

import contextlib
import io
import socket
import struct
import subprocess
import sys
import threading

import av
import numpy as np
import pytest
from tests.audio.sounds import encode, tone

from mooer.audio.wave import open_wave, read_wave, write_wave
from mooer.errors import AudioError, OutputError


def wav(data, *, claimed=None, rate_hz=16_000, channels=1, bits=16, tag=1):
    """A wav file built by hand, so that its header can lie."""
    block = channels * bits // 8
    size = len(data) if claimed is None else claimed
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", min(size + 36, 2**32 - 1), b"WAVE", b"fmt ", 16, tag,
        channels, rate_hz, (rate_hz * block) % 2**32, block % 2**16, bits, b"data", size,
    )  # fmt: skip
    return head + data


def pcm(seconds=1.0, rate_hz=16_000):
    return (tone(seconds, rate_hz) * 32767).astype("<i2").tobytes()


def read_noting(source):
    with open_wave(source) as wave:
        return np.concatenate(list(wave.blocks())), wave.warnings


def complaint(source, **options):
    with pytest.raises(AudioError) as caught:
        read_wave(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


# ---------------------------------------------------------------- not a sound


def test_a_missing_file_is_a_file_not_found_too(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.wav does not exist: check the path"):
        open_wave(tmp_path / "gone.wav")
    assert "does not exist" in complaint(str(tmp_path / "gone.wav"))


def test_a_folder(tmp_path):
    assert "is a folder" in complaint(tmp_path)


@pytest.mark.parametrize("address", ["http://127.0.0.1/a.wav", "https://x/y.mp3", "rtsp://cam"])
def test_an_address_is_never_opened(address):
    assert "is an address, not a file" in complaint(address)


@pytest.mark.parametrize("name", ["file:{}", "concat:{}|{}", "subfile,,start,0,end,99,,:{}"])
def test_ffmpeg_protocols_are_plain_names_here(tmp_path, name):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(pcm()))
    assert "does not exist" in complaint(name.format(path, path))


def test_a_name_no_file_can_have():
    assert "cannot be opened" in complaint("a\0b.wav")


def test_an_empty_file(tmp_path):
    (tmp_path / "e.wav").touch()
    assert complaint(tmp_path / "e.wav").endswith(
        "is empty, it holds no bytes: copy or record it again"
    )


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"Dear diary, today I renamed a file. " * 99, "text"),
        ("今天天气很好。".encode() * 700, "text"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"PK\x03\x04" + bytes(200), "a zip archive"),
        (b"%PDF-1.7\n" + bytes(200), "a PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "a picture"),
        (bytes(100_000), "zero bytes"),
        (b"RIFF\x10\0\0\0WAVE", "a damaged wav"),
    ],
)
def test_other_things_renamed_wav(tmp_path, data, kind):
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    message = complaint(path)
    assert kind in message
    assert "give a wav, flac, mp3" in message


@pytest.mark.parametrize("source", [3, None, ["a.wav"], 2.5])
def test_things_that_are_no_source(source):
    assert "given as a path, bytes, an open file or a numpy array" in complaint(source)


def test_an_open_text_file():
    assert "binary mode" in complaint(io.StringIO("hello"))
    assert "binary mode" in complaint(io.TextIOWrapper(io.BytesIO(b"hello")))


def test_a_video_without_sound():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for i in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), i, np.uint8), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert "has no sound, only pictures" in complaint(buffer.getvalue())


# ---------------------------------------------------------------- scripts in disguise


SCRIPTS = {
    "m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1.0,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio {port} RTP/AVP 0\na=rtpmap:0 PCMU/8000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
    "pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
}


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m3u8", "txt"])
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("scheme", ["", "file:", "http"])
def test_no_script_opens_another_file_or_the_network(tmp_path, script, scheme, suffix):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(pcm()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        port = server.getsockname()[1]
        target = f"http://127.0.0.1:{port}/s.wav" if scheme == "http" else f"{scheme}{secret}"
        path = tmp_path / f"script.{suffix}"
        path.write_text(SCRIPTS[script].format(target=target, port=port))
        complaint(path)
        complaint(path.read_bytes())
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_quicktime_reference_is_not_followed(tmp_path):
    (tmp_path / "secret.wav").write_bytes(wav(pcm()))
    movie = encode("mov", tone(1.0, 44_100), 44_100)
    # The data reference of a self-contained movie is made to name a file instead.
    at = movie.rindex(b"url \x00\x00\x00\x01")
    crafted = movie[:at] + b"url \x00\x00\x00\x00" + movie[at + 8 :]
    with contextlib.suppress(AudioError):
        read_wave(crafted)


def test_xhe_aac_is_refused_before_it_can_harm_pyav():
    # Its decoder may make channel layouts that PyAV 18.1 frees twice.
    movie = encode("m4a", tone(1.0, 44_100), 44_100)
    at = movie.rindex(b"\x12\x08")  # AudioSpecificConfig: AAC-LC, 44.1 kHz, mono
    crafted = movie[:at] + b"\xf9\x48" + movie[at + 2 :]  # object type 42
    assert "xHE-AAC" in complaint(crafted)


def test_no_standard_input_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in complaint("-")


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("kind", ["mp3", "flac", "wav-s16", "ogg-opus", "webm", "aiff"])
def test_a_truncated_file_gives_what_is_there(kind):
    rate_hz = 48_000 if kind in ("ogg-opus", "webm") else 44_100
    whole = encode(kind, tone(10.0, rate_hz), rate_hz)
    samples, notes = read_noting(whole[: len(whole) * 32 // 100])
    assert 2.5 < len(samples) / 16_000 < 3.7
    if kind in ("mp3", "flac", "wav-s16", "aiff"):
        assert any(
            note.startswith(("ends early: 2.", "ends early: 3.")) and "of 10.0 s" in note
            for note in notes
        )


def test_an_m4a_without_its_index_cannot_be_read():
    whole = encode("m4a", tone(2.0, 44_100), 44_100)
    assert "damaged mp4 or m4a" in complaint(whole[: len(whole) // 2])


def test_damage_in_the_middle_costs_only_the_middle():
    whole = bytearray(encode("mp3", tone(10.0, 44_100), 44_100))
    middle = len(whole) // 2
    whole[middle : middle + 2_000] = b"\x55" * 2_000
    samples, _ = read_noting(bytes(whole))
    assert len(samples) / 16_000 > 8.5


def test_a_header_that_claims_ten_hours():
    samples, notes = read_noting(wav(pcm(), claimed=10 * 3600 * 32_000))
    assert len(samples) == 16_000
    assert notes == ["ends early: 1.0 s of 36000.0 s could be read"]


def test_a_header_that_claims_less_is_taken_at_its_word():
    samples, _ = read_noting(wav(pcm(2.0), claimed=32_000))
    assert len(samples) == 16_000


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_recorder_that_never_wrote_the_length(claimed):
    samples, notes = read_noting(wav(pcm(2.0), claimed=claimed))
    assert len(samples) == 32_000
    assert notes == []


@pytest.mark.parametrize("seconds", [0.0])
def test_no_samples(seconds):
    assert "holds no sound" in complaint(wav(pcm(seconds)))
    assert "holds no sound" in complaint(np.zeros(0, np.float32), rate_hz=16_000)


def test_one_sample():
    assert len(read_wave(wav(pcm()[:2]))) == 1
    assert len(read_wave(wav(pcm()[:2], rate_hz=8_000))) == 2
    assert "not one sample" in complaint(wav(pcm()[:2], rate_hz=44_100))  # a third of one


# ---------------------------------------------------------------- odd sounds


@pytest.mark.parametrize("bits", [32, 64])
def test_nan_and_infinity_become_silence(bits):
    sound = tone(1.0, 16_000).astype(f"f{bits // 8}")
    sound[[5, 500, 5_000]] = np.nan, np.inf, -np.inf
    samples, notes = read_noting(wav(sound.tobytes(), bits=bits, tag=3))
    assert np.isfinite(samples).all()
    assert samples[[5, 500, 5_000]].tolist() == [0, 0, 0]
    assert np.abs(samples - np.nan_to_num(sound, posinf=0, neginf=0)).max() < 1e-6
    assert notes == ["3 samples were not numbers and were set to 0"]


def test_nan_in_one_channel_does_not_silence_the_other():
    sound = np.stack([tone(1.0, 16_000), np.full(16_000, np.nan)], axis=1)
    samples = read_wave(sound, rate_hz=16_000)
    np.testing.assert_allclose(samples, tone(1.0, 16_000) / 2, atol=1e-6)


@pytest.mark.parametrize("huge", [32767.0, 3e38, 1e300])
def test_floats_far_beyond_one_are_cut_and_told(huge):
    sound = np.sign(tone(1.0, 48_000)) * huge
    samples, notes = read_noting(wav(sound.tobytes(), rate_hz=48_000, bits=64, tag=3))
    assert np.abs(samples).max() <= 1
    assert "beyond ±1 were cut" in notes[0]


def test_clipping_and_offset_pass_unharmed():
    square = np.sign(tone(1.0, 44_100)) * 0.5 + 0.5
    samples = read_wave(square, rate_hz=44_100)
    assert np.abs(samples).max() <= 1
    assert samples.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("channels", [9, 100, 255])
def test_a_hundred_channels(channels):
    data = np.repeat((tone(0.2, 16_000) * 32767).astype("<i2"), channels).tobytes()
    samples = read_wave(wav(data, channels=channels))
    np.testing.assert_allclose(samples, tone(0.2, 16_000), atol=1e-4)


@pytest.mark.parametrize("rate_hz", [0, 1, 999, 2_000_000, 2**31, 2**32 - 1])
def test_absurd_sample_rates(rate_hz):
    message = complaint(wav(pcm(), rate_hz=rate_hz))
    assert "sample rate" in message or "cannot be read" in message


@pytest.mark.parametrize("rate_hz", [1_000, 6_000, 384_000, 768_000])
def test_unusual_sample_rates(rate_hz):
    assert abs(len(read_wave(wav(pcm(1.0, rate_hz), rate_hz=rate_hz))) - 16_000) <= 1


def test_the_rate_changes_in_mid_stream():
    both = encode("mp3", tone(1.0, 44_100), 44_100) + encode("mp3", tone(1.0, 22_050), 22_050)
    samples, notes = read_noting(both)
    assert any("change in mid-stream" in note for note in notes)
    assert len(samples) / 16_000 == pytest.approx(2.0, abs=0.2)
    tail = np.abs(np.fft.rfft(samples[-12_000:-4_000]))
    assert tail.argmax() * 2 == pytest.approx(440, abs=4)


@pytest.mark.parametrize(
    ("array", "rate_hz", "words"),
    [
        (np.zeros(9, np.float32), None, "give rate_hz"),
        (np.zeros(9, np.int64), 16_000, "int64"),
        (np.zeros(9, np.complex64), 16_000, "complex64"),
        (np.zeros(9, bool), 16_000, "bool"),
        (np.array(["a"]), 16_000, "no known range"),
        (np.zeros((2, 3, 4), np.float32), 16_000, "shape"),
        (np.zeros((2, 16_000), np.float32), 16_000, "transpose"),
        (np.zeros((9, 0), np.float32), 16_000, "transpose"),
        (np.float32(1), 16_000, "no source"),
        (np.zeros(9, np.float32), 0, "sample rate"),
        (np.zeros(9, np.float32), -5, "sample rate"),
    ],
)
def test_arrays_that_cannot_be_meant(array, rate_hz, words):
    if words == "no source":
        array, words = np.asarray(array), "shape"
    assert words in complaint(array, rate_hz=rate_hz)


def test_a_rate_for_a_file_is_a_mistake():
    assert "rate_hz is for arrays" in complaint(wav(pcm()), rate_hz=8_000)


def test_a_wave_is_read_once():
    with open_wave(wav(pcm())) as wave:
        list(wave.blocks())
        with pytest.raises(AudioError, match="open it again"):
            list(wave.blocks())


def test_a_failing_disk_is_named():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 100_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    assert "Input/output error" in complaint(Failing(wav(pcm(10.0))))


def test_ctrl_c_while_reading_is_not_swallowed():
    class Interrupted(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 100_000:
                raise KeyboardInterrupt
            return super().read(size)

    with pytest.raises(KeyboardInterrupt):
        read_wave(Interrupted(wav(pcm(10.0))))


def test_the_callers_file_stays_open_and_may_start_in_the_middle():
    file = io.BytesIO(b"preface" + wav(pcm()))
    file.seek(7)
    assert len(read_wave(file)) == 16_000
    assert not file.closed


@pytest.mark.parametrize("name", ["a.mp3", "a", "missing/a.wav"])
def test_what_cannot_be_written(tmp_path, name):
    with pytest.raises(OutputError, match="cannot be written"):
        write_wave(tmp_path / name, np.zeros(9, np.float32))


def test_nothing_of_ffmpeg_reaches_the_terminal(tmp_path):
    damaged = bytearray(encode("mp3", tone(3.0, 44_100), 44_100))
    damaged[5_000:7_000] = bytes(2_000)
    path = tmp_path / "damaged.mp3"
    path.write_bytes(damaged[:-700])
    code = (
        "import sys; from mooer.audio.wave import open_wave\n"
        "with open_wave(sys.argv[1]) as w: print(sum(map(len, w.blocks())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) > 30_000
    assert done.stderr == ""


def test_several_threads_may_read_at_once():
    data = encode("flac", tone(5.0, 44_100), 44_100)
    lengths = []
    threads = [
        threading.Thread(target=lambda: lengths.append(len(read_wave(data)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [80_000] * 8
