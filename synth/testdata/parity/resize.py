#!/usr/bin/env python3
"""Makes resize.json: OpenCV's 8-bit INTER_LINEAR on images from the formula in seamless.py.

Holds for each case the CRC-32 of the result (rows of RGB bytes) and its first 24 bytes.
Made with opencv-python-headless 4.9.0 and numpy 1.26.   usage: resize.py   (writes beside itself)
"""
import json
import os
import zlib

import cv2

HERE = os.path.dirname(os.path.abspath(__file__))
import numpy as np


def mix(n):
    n = np.asarray(n, np.uint64) & 0xFFFFFFFF
    n ^= n >> 16
    n = n * 0x85EBCA6B & 0xFFFFFFFF
    n ^= n >> 13
    n = n * 0xC2B2AE35 & 0xFFFFFFFF
    n ^= n >> 16
    return n


def image(seed, w, h):
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    return np.stack([(mix((seed * 7919 + x * 73856093 + y * 19349663 + c * 83492791).astype(np.uint64)) & 255) for c in range(3)], 2).astype(np.uint8)


out = []
for i in range(60):
    sw, sh = 3 + (i * 37) % 91, 3 + (i * 53) % 87
    im = image(i, sw, sh)
    if i % 2:  # a factor, as resize(p, None, fx, fy)
        f = 0.5 + (i * 29 % 151) / 100
        r = cv2.resize(im, None, fx=f, fy=f)
        c = dict(factor=f)
    else:
        dw, dh = 1 + (i * 41) % 113, 1 + (i * 59) % 109
        r = cv2.resize(im, (dw, dh))
        c = dict(factor=0)
    b = r.tobytes()
    out.append(dict(seed=i, src=[sw, sh], dst=[r.shape[1], r.shape[0]], **c, crc=zlib.crc32(b), head=list(b[:24])))
with open(os.path.join(HERE, "resize.json"), "w") as f:
    f.write(json.dumps(dict(opencv=cv2.__version__, cases=out)).replace('}, {"seed"', '},\n {"seed"') + "\n")
