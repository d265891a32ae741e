#!/usr/bin/env python3
"""Poisson blending against OpenCV, one thread each, in turns.

Square patches in the middle of a 224x224 image: a copy of the image, gradients, solution and writing back. For every size
and mode the two sides run one after the other, ROUNDS times; medians of the rounds' means are printed with their ratio.
needs: Go, opencv-python-headless 4.0 to below 4.10, numpy.   usage: pair.py [ROUNDS=7]
exit status 1 if OpenCV is the faster one at any size.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
PKG = os.path.dirname(os.path.dirname(HERE))
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
cv2.setNumThreads(1)


def formulas():
    """The texture formula, which stands in seamless.py above the part that writes fixtures."""
    text = open(os.path.join(PKG, "testdata", "parity", "seamless.py")).read().split("\nSIDES")[0]
    names = {"__file__": os.path.join(PKG, "testdata", "parity", "seamless.py")}
    exec(text, names)
    return names["texture"]


texture = formulas()
dst = texture(1, 224, 224, 6)
bad = 0
with tempfile.TemporaryDirectory() as tmp:
    binary = os.path.join(tmp, "synth.test")
    subprocess.run(["go", "test", "-c", "-o", binary, "."], cwd=PKG, check=True)
    env = dict(os.environ, GOMAXPROCS="1")
    print(f"OpenCV {cv2.__version__}, {ROUNDS} rounds; microseconds a blend")
    print(f"{'side':>5} {'mode':>7} {'OpenCV':>9} {'here':>9} {'ratio':>6}")
    for side in (25, 51, 77, 102, 128):
        src, mask = texture(2, side, side, 6), np.full((side, side), 255, np.uint8)
        for mode, flag in (("normal", cv2.NORMAL_CLONE), ("mixed", cv2.MIXED_CLONE)):
            n = max(20, 40000 // (side * side))
            ours, theirs = [], []
            for _ in range(ROUNDS):
                out = subprocess.run([binary, "-test.run", "^$", "-test.bench", f"^BenchmarkBlend$/^{side}$/^{mode}$", "-test.benchtime", f"{4 * n}x"],
                                     cwd=PKG, env=env, check=True, capture_output=True, text=True).stdout
                ours.append(float(re.search(r"([\d.]+) ns/op", out).group(1)) / 1e3)
                for _ in range(3):
                    cv2.seamlessClone(src, dst, mask, (112, 112), flag)
                t = time.perf_counter()
                for _ in range(n):
                    cv2.seamlessClone(src, dst, mask, (112, 112), flag)
                theirs.append((time.perf_counter() - t) / n * 1e6)
            a, b = statistics.median(theirs), statistics.median(ours)
            bad |= b >= a
            print(f"{side:5} {mode:>7} {a:9.1f} {b:9.1f} {b / a:6.3f}", flush=True)
sys.exit(bad)
