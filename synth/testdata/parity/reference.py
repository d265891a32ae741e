#!/usr/bin/env python3
"""Makes reference.json: sizes and places of patches as a plain program with OpenCV draws them.

The program: half a side is int(clip(gamma(2, 0.07) + 0.05, 0.05, 0.2) * size), doubled; the patch is resized by U(0.7, 1.3)
(OpenCV rounds the size to nearest, ties to even), cut to size - 4, its centre even over the places where it fits. Holds the
deciles of 400,000 draws of the box that seamlessClone may change: the patch less two pixels on each side.
Made with numpy 1.26.   usage: reference.py   (writes beside itself)
"""
import json
import os

import numpy as np

N, SIZE = 400000, 112
r = np.random.default_rng(1)


def side():
    return (np.clip(r.gamma(2, 0.07, N) + 0.05, 0.05, 0.2) * SIZE).astype(int) * 2


w, h, s = side(), side(), r.uniform(0.7, 1.3, N)
w, h = np.minimum(np.rint(w * s), SIZE - 4).astype(int), np.minimum(np.rint(h * s), SIZE - 4).astype(int)


def place(p):
    lo, hi = p // 2 + 1, SIZE - p // 2 - 2
    return lo + np.floor(r.random(N) * (hi - lo + 1)).astype(int)


def start(c, p):  # the upper left changed pixel: seamlessClone centres the box of the mask less its frame
    return c - (p - 2) // 2 + 1


ok = (np.minimum(w, h) >= 9)  # seamlessClone shrinks the mask by three pixels more: below nine nothing is pasted
cx, cy = place(w), place(h)
q = np.arange(1, 10) / 10
d = dict(size=SIZE, quantile=[float(round(x, 1)) for x in q])
for name, v in (("width", w - 4), ("height", h - 4), ("left", start(cx, w)), ("top", start(cy, h))):
    d[name] = [float(x) for x in np.quantile(v[ok], q)]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.json"), "w") as f:
    f.write(json.dumps(d) + "\n")
