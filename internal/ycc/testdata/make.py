#!/usr/bin/env python3
"""Writes small JPEG files and, as PNG, the pixels that Pillow has of them: NAME.jpg, NAME.1.png, and NAME.2.png to NAME.8.png for those
decoded at a half, a quarter and an eighth (Image.draft).

usage: python3 make.py  (writes beside itself)
needs: pillow numpy
"""
import io, os
import numpy as np, PIL
from PIL import Image, features

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 43, 29
rng = np.random.default_rng(3)
y, x = np.mgrid[0:H, 0:W]
soft = np.stack([40 + 4 * x, 220 - 5 * y, 90 + 2 * x + 3 * y], 2) + rng.normal(0, 6, (H, W, 3))
soft = np.clip(soft, 0, 255).astype(np.uint8)
wild = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
CASES = {
    "grey": (soft[:, :, 0], dict(quality=90)), "grey-wild": (wild[:, :, 0], dict(quality=97)), "grey-coarse": (wild[:, :, 0], dict(quality=8)),
    "grey-optimized": (soft[:, :, 0], dict(quality=75, optimize=True)), "grey-restart": (soft[:, :, 0], dict(quality=90, restart_marker_blocks=2)),
    "444": (soft, dict(quality=92, subsampling=0)), "422": (soft, dict(quality=92, subsampling=1)), "420": (soft, dict(quality=92, subsampling=2)),
    "420-wild": (wild, dict(quality=95, subsampling=2)), "420-restart": (soft, dict(quality=80, subsampling=2, restart_marker_rows=1)),
    "flat": (np.full((H, W, 3), (200, 30, 90), np.uint8), dict(quality=90)),
}


def shared(a, h, v):
    """A baseline file in which h by v pixels share colours, as Pillow writes none, with the tables of one that Pillow wrote."""
    b = io.BytesIO()
    Image.fromarray(a).save(b, "JPEG", quality=90, subsampling=0)
    data, at, quants, codes = b.getvalue(), 2, {}, {}
    out, frame, scan = [data[:2]], b"", b""
    while not scan:
        marker, body = data[at + 1], data[at + 4:at + 2 + int.from_bytes(data[at + 2:at + 4], "big")]
        segment = data[at:at + 4 + len(body)]
        at += len(segment)
        if marker == 0xDB:
            for k in range(0, len(body), 65):
                quants[body[k]] = np.frombuffer(body[k + 1:k + 65], np.uint8).astype(float)
        if marker == 0xC4:
            while body:
                counts, code, k = body[1:17], 0, 17
                table = codes.setdefault(body[0], {})
                for length, count in enumerate(counts, 1):
                    for _ in range(count):
                        table[body[k]] = format(code, f"0{length}b")
                        code, k = code + 1, k + 1
                    code <<= 1
                body = body[k:]
        if marker == 0xC0:
            segment = segment[:11] + bytes([h << 4 | v]) + segment[12:]
        if marker == 0xDA:
            scan = segment
        out.append(segment)
    H, W = a.shape[:2]
    down, across = -(-H // (8 * v)), -(-W // (8 * h))
    full = np.pad(a.astype(float), ((0, down * 8 * v - H), (0, across * 8 * h - W), (0, 0)), "edge")
    y = full @ [0.299, 0.587, 0.114]
    planes = [y - 128] + [((full[:, :, c] - y) * f).reshape(down * 8, v, across * 8, h).mean((1, 3)) for c, f in ((2, 1 / 1.772), (0, 1 / 1.402))]
    k = np.arange(8)
    dct = np.cos((2 * k[None] + 1) * k[:, None] * np.pi / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)[:, None]
    zigzag = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
    text, last = [], [0, 0, 0]

    def number(x):
        n = abs(x).bit_length()
        return n, format(x if x > 0 else x + (1 << n) - 1, f"0{n}b") if n else ""

    def block(c, by, bx):
        q, dc, ac = quants[min(c, 1)], codes[min(c, 1)], codes[16 + min(c, 1)]
        f = dct @ planes[c][8 * by:8 * by + 8, 8 * bx:8 * bx + 8] @ dct.T
        z = [int(round(f.flat[i] / q[k])) for k, i in enumerate(zigzag)]
        n, bits = number(z[0] - last[c])
        last[c] = z[0]
        text.append(dc[n] + bits)
        run = 0
        for x in z[1:]:
            if x == 0:
                run += 1
                continue
            text.extend([ac[0xF0]] * (run // 16))
            n, bits = number(x)
            text.append(ac[run % 16 << 4 | n] + bits)
            run = 0
        if run:
            text.append(ac[0])

    for my in range(down):
        for mx in range(across):
            for c, (ch, cv) in enumerate(((h, v), (1, 1), (1, 1))):
                for by in range(cv):
                    for bx in range(ch):
                        block(c, my * cv + by, mx * ch + bx)
    bits = "".join(text)
    bits += "1" * (-len(bits) % 8)
    packed = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\x00")
    return b"".join(out) + packed + b"\xff\xd9"


for name, (h, v) in {"440": (1, 2), "411": (4, 1), "410": (4, 2)}.items():
    CASES[name] = (shared(soft, h, v), None)
for name, (a, how) in CASES.items():
    path = os.path.join(HERE, name)
    if how is None:
        with open(path + ".jpg", "wb") as f:
            f.write(a)
    else:
        Image.fromarray(a).save(path + ".jpg", **how)
    for shrink in (1, 2, 4, 8):
        im = Image.open(path + ".jpg")
        if shrink > 1:
            im.draft(None, (W // shrink, H // shrink))
        assert im.size == (-(-W // shrink), -(-H // shrink)), (name, shrink, im.size)
        im.load()
        im.save(f"{path}.{shrink}.png", optimize=True)
print("Pillow", PIL.__version__, "libjpeg-turbo", features.version("libjpeg_turbo"))
