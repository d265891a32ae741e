#!/usr/bin/env python3
"""Writes small JPEG files and, as PNG, the pixels that Pillow has of them: NAME.jpg, NAME.1.png, and NAME.2.png to NAME.8.png for those
decoded at a half, a quarter and an eighth (Image.draft).

usage: python3 make.py  (writes beside itself)
needs: pillow numpy
"""
import os
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
for name, (a, how) in CASES.items():
    path = os.path.join(HERE, name)
    Image.fromarray(a).save(path + ".jpg", **how)
    for shrink in (1, 2, 4, 8):
        im = Image.open(path + ".jpg")
        if shrink > 1:
            im.draft(None, (W // shrink, H // shrink))
        assert im.size == (-(-W // shrink), -(-H // shrink)), (name, shrink, im.size)
        im.load()
        im.save(f"{path}.{shrink}.png", optimize=True)
print("Pillow", PIL.__version__, "libjpeg-turbo", features.version("libjpeg_turbo"))
