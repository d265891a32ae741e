#!/usr/bin/env python3
"""The generators of package synth against their twins in NumPy and OpenCV (twins.py), one thread each, in turns.

224x224, the same formula for the pictures, textures and settings. For every generator the two sides run one after the other, ROUNDS times; medians of
the rounds' microseconds a draw are printed with their ratio and its bar: at most half for NSA, less than one for the others.
"new" gives every draw memory of its own, as NumPy does, and is what the bar is held against; "reuse" writes into that of the
draw before.
needs: Go, numpy, opencv-python-headless 4.0 to below 4.10.   usage: pair.py [ROUNDS=5 [DRAWS=300]]
exit status 1 if a bar is missed.
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

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import twins  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
DRAWS = int(sys.argv[2]) if len(sys.argv) > 2 else 300
cv2.setNumThreads(1)


def material(w, h, seed):
    """A woven surface as in the package's tests."""
    r = np.random.default_rng(seed)
    fx, fy = r.integers(3, 12, 2)
    y, x = np.mgrid[:h, :w]
    v = 90 + 40 * ((x // fx + y // fy) % 2) + (x + 2 * y) * 40 // (w + 2 * h) + r.integers(0, 9, (h, w))
    return np.stack([v, v - 20, v // 2], -1).astype(np.uint8)


dst, src = material(224, 224, 1), material(224, 224, 2)
twins.TEXTURES = [material(300, 300, 10 + i) for i in range(4)]
missed = False
with tempfile.TemporaryDirectory() as tmp:
    binary = os.path.join(tmp, "synth.test")
    subprocess.run(["go", "test", "-c", "-o", binary, "./synth"], cwd=ROOT, check=True)
    env = dict(os.environ, GOMAXPROCS="1")
    print(f"OpenCV {cv2.__version__}, NumPy {np.__version__}, {ROUNDS} rounds of {DRAWS} draws; microseconds a draw")
    print(f"{'generator':>10} {'Python':>9} {'new':>9} {'reuse':>9} {'new/Python':>11} {'bar':>5}")
    for name, twin in twins.TWINS.items():
        theirs, ours = [], {"new": [], "reuse": []}
        for k in range(ROUNDS):
            r = np.random.default_rng(k)
            twin(dst, src, r)
            t = time.perf_counter()
            for _ in range(DRAWS):
                twin(dst, src, r)
            theirs.append((time.perf_counter() - t) / DRAWS * 1e6)
            out = subprocess.run([binary, "-test.run", "^$", "-test.bench", f"^BenchmarkGenerators$/^{name}$", "-test.benchtime", f"{DRAWS}x"],
                                 cwd=os.path.join(ROOT, "synth"), env=env, check=True, capture_output=True, text=True).stdout
            for how in ours:
                ours[how].append(float(re.search(rf"/{how}\S*\s+\d+\s+([\d.]+) ns/op", out).group(1)) / 1e3)
        a, b, c = statistics.median(theirs), statistics.median(ours["new"]), statistics.median(ours["reuse"])
        bar = 0.5 if name == "nsa" else 1.0
        ok = b / a <= bar if name == "nsa" else b < a
        missed |= not ok
        print(f"{name:>10} {a:9.1f} {b:9.1f} {c:9.1f} {b / a:11.3f} {bar:5.1f} {'' if ok else 'missed'}", flush=True)
sys.exit(missed)
