#!/usr/bin/env python3
"""Makes colours.json: what Pillow and torchvision make of a small picture, for jitter.go and augment.go; and perlin.json:
gradient noise computed with NumPy, for lattice.go and Perlin's mask;
and ellipses.json: the NSA article's shapes by its formula, for nsa_shape.go.

Made with Pillow 10, torchvision 0.16.2, numpy 1.26.   usage: colours.py   (writes beside itself)
"""
import json
import math
import os

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 23, 17


def picture():
    """The same formula stands in colours_internal_test.go."""
    y, x = np.mgrid[:H, :W]
    c = [(x * 11 + y * 3) % 256, (40 + x * y) % 256, (200 - 7 * x + 5 * y) % 256]
    return np.stack(c, -1).astype(np.uint8)


a = picture()
p = Image.fromarray(a)
strip = Image.fromarray(a[:14, :5])
turned = strip.convert("RGBA").rotate(-31, expand=True)
out = {
    "brightness": F.adjust_brightness(p, 1.07), "contrast": F.adjust_contrast(p, 0.93), "saturation": F.adjust_saturation(p, 1.08),
    "hue": F.adjust_hue(p, 0.06), "autocontrast": ImageOps.autocontrast(p, cutoff=5), "equalize": ImageOps.equalize(p),
    "sharpness": ImageEnhance.Sharpness(p).enhance(1.6), "solarize": ImageOps.solarize(p, 90), "invert": ImageOps.invert(p),
}
d = {k: np.asarray(v).ravel().tolist() for k, v in out.items()}
d["strip"] = (np.asarray(turned)[..., 3] > 0).astype(int).sum(0).tolist()
d["stripSize"] = list(turned.size)
with open(os.path.join(HERE, "colours.json"), "w") as f:
    f.write(json.dumps(d, separators=(",", ":")) + "\n")

# Noise: rows x cols cells whose gradients point in the directions 2.4*k, over 40x52 pixels, turned by 27 degrees.
rows, cols, h, w, deg, threshold = 4, 8, 40, 52, 27.0, 0.3
ang = 2.4 * np.arange((rows + 1) * (cols + 1)).reshape(rows + 1, cols + 1)
g = np.stack([np.cos(ang), np.sin(ang)], -1)  # along the columns (x is the second index), along the rows
# A point lies turned by deg about the middle; the sine's direction is the one that the Go side draws for "first word of Sincos".
s, c = math.sin(math.radians(deg)), math.cos(math.radians(deg))
noise = np.zeros((h, w))
for y in range(h):
    for x in range(w):
        dx, dy = x - (w - 1) / 2, y - (h - 1) / 2
        sx, sy = dx * c - dy * s + (w - 1) / 2, dx * s + dy * c + (h - 1) / 2
        if sx < 0 or sy < 0 or sx > w - 1 or sy > h - 1:
            continue
        u, v = sy * rows / h, sx * cols / w
        i, j = int(u), int(v)
        fu, fv = u - i, v - j
        dots = {}
        for a0 in (0, 1):
            for b0 in (0, 1):
                gx, gy = g[i + a0, j + b0]
                dots[a0, b0] = gx * (fv - b0) + gy * (fu - a0)
        fade = lambda t: 6 * t**5 - 15 * t**4 + 10 * t**3  # noqa: E731
        top = dots[0, 0] * (1 - fade(fv)) + dots[0, 1] * fade(fv)
        low = dots[1, 0] * (1 - fade(fv)) + dots[1, 1] * fade(fv)
        noise[y, x] = math.sqrt(2) * (top * (1 - fade(fu)) + low * fade(fu))
with open(os.path.join(HERE, "perlin.json"), "w") as f:
    f.write(json.dumps(dict(rows=rows, cols=cols, h=h, w=w, degrees=deg, noise=[round(float(v), 9) for v in noise.ravel()]), separators=(",", ":")) + "\n")

# Shapes: theta, middle and half axes (first dimension, second dimension) on 31x44 pixels, one after the other.
h, w = 31, 44
shapes = [(0.3, 10, 12, 6, 3), (0.785, 20, 30, 4, 5), (1.9, 15, 5, 7, 2), (2.7, 28, 40, 3, 9)]
first, second = np.arange(h).reshape(-1, 1), np.arange(w).reshape(1, -1)
mask = np.zeros((h, w), np.uint8)
for theta, c1, c2, a, b in shapes:
    d1, d2, s, c = first - c1, second - c2, math.sin(theta), math.cos(theta)
    mask |= (((d1 * c + d2 * s) / a) ** 2 + ((d1 * s + d2 * c) / b) ** 2 <= 1).astype(np.uint8)
with open(os.path.join(HERE, "ellipses.json"), "w") as f:
    f.write(json.dumps(dict(h=h, w=w, shapes=shapes, rows=["".join(map(str, r)) for r in mask]), separators=(",", ":")) + "\n")
