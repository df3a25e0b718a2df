"""Sounds made on the spot, in whatever containers and codecs the PyAV wheel can write."""

import io

import av
import numpy as np

# container: (suffix, FFmpeg's name of the format, encoder, sample format, rate in Hz or None: any)
CONTAINERS = {
    "wav-s16": ("wav", "wav", "pcm_s16le", "s16", None),
    "wav-u8": ("wav", "wav", "pcm_u8", "u8", None),
    "wav-s24": ("wav", "wav", "pcm_s24le", "s32", None),
    "wav-s32": ("wav", "wav", "pcm_s32le", "s32", None),
    "wav-f32": ("wav", "wav", "pcm_f32le", "flt", None),
    "wav-f64": ("wav", "wav", "pcm_f64le", "dbl", None),
    "wav-s64": ("wav", "wav", "pcm_s64le", "s64", None),
    "wav-alaw": ("wav", "wav", "pcm_alaw", "s16", 8000),
    "wav-mulaw": ("wav", "wav", "pcm_mulaw", "s16", 8000),
    "wav-adpcm": ("wav", "wav", "adpcm_ms", "s16", None),
    "w64": ("w64", "w64", "pcm_s16le", "s16", None),
    "aiff": ("aiff", "aiff", "pcm_s16be", "s16", None),
    "caf": ("caf", "caf", "pcm_s16le", "s16", None),
    "caf-alac": ("caf", "caf", "alac", "s16p", None),
    "au": ("au", "au", "pcm_s16be", "s16", None),
    "flac": ("flac", "flac", "flac", "s16", None),
    "flac-s24": ("flac", "flac", "flac", "s32", None),
    "mp3": ("mp3", "mp3", "libmp3lame", "s16p", 44100),
    "mp2": ("mp2", "mp2", "mp2", "s16", 44100),
    "m4a": ("m4a", "ipod", "aac", "fltp", 44100),
    "m4a-alac": ("m4a", "ipod", "alac", "s16p", None),
    "aac": ("aac", "adts", "aac", "fltp", 44100),
    "ogg-vorbis": ("ogg", "ogg", "vorbis", "fltp", 44100),
    "ogg-opus": ("opus", "ogg", "libopus", "s16", 48000),
    "ogg-flac": ("oga", "ogg", "flac", "s16", None),
    "webm": ("webm", "webm", "libopus", "s16", 48000),
    "mkv": ("mkv", "matroska", "aac", "fltp", 44100),
    "mp4": ("mp4", "mp4", "aac", "fltp", 44100),
    "mov": ("mov", "mov", "pcm_s16le", "s16", None),
    "3gp-amr": ("3gp", "3gp", "libopencore_amrnb", "s16", 8000),
    "amr": ("amr", "amr", "libopencore_amrnb", "s16", 8000),
    "wma": ("wma", "asf", "wmav2", "fltp", 44100),
    "wavpack": ("wv", "wv", "wavpack", "s16p", None),
    "tta": ("tta", "tta", "tta", "s16", None),
    "ac3": ("ac3", "ac3", "ac3", "fltp", 48000),
    "eac3": ("eac3", "eac3", "eac3", "fltp", 48000),
    "ts": ("ts", "mpegts", "aac", "fltp", 44100),
    "avi": ("avi", "avi", "libmp3lame", "s16p", 44100),
    "flv": ("flv", "flv", "libmp3lame", "s16p", 44100),
}


def tone(seconds, rate_hz, hz=440.0, level=0.5):
    """A sine [T] in float64."""
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def encode(kind, samples, rate_hz, *, options=None, audio_tracks=1):
    """Bytes of a file of `kind` that holds `samples`, [T] or [T, C] in [-1, 1]."""
    _, container, codec, sample_format, _ = CONTAINERS[kind]
    samples = samples[:, None] if samples.ndim == 1 else samples
    channels = samples.shape[1]
    layout = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    name = layout.get(channels, f"{channels}c")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options or {}) as out:
        for track in range(audio_tracks):
            stream = out.add_stream(codec, rate=rate_hz)
            stream.layout, stream.format = name, sample_format
            stream.codec_context.options = {"strict": "experimental"}  # for vorbis
            if codec.startswith("wma"):
                stream.bit_rate = 128_000
            stream.metadata["title"] = f"track {track}"
        for stream in out.streams.audio:
            step = stream.codec_context.frame_size or 4096
            for start in range(0, len(samples), step):
                piece = np.ascontiguousarray(samples[start : start + step], np.float32)
                frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), "flt", name)
                frame.sample_rate, frame.pts = rate_hz, start
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return buffer.getvalue()
