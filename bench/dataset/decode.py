"""Decoding, resizing and packing of grey PNG: this library against Pillow, the same files, in turns.

    python bench/dataset/decode.py [--images 24] [--size 1024] [--rounds 5]

Needs Go, Pillow and NumPy. Both sides read every file, resize the shorter side to 256 with Lanczos, cut out the centre of 224x224
and write float32 of three channels, (v/255 - mean)/std, rows by columns by channels. Pillow works in
two processes, once as torchvision's loaders do (RGB, then resized) and once resizing the single grey channel, the library in
two goroutines (GOMAXPROCS=2). The sides take turns, so that other work on the machine meets both; the figure is the median over the
rounds of the ratio of one round. Starting processes and compiling is not counted: Pillow's pool is warm, and the Go program times itself.
"""
import argparse
import multiprocessing
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
ROOT = pathlib.Path(__file__).resolve().parents[2]


def picture(size, seed):
    """A grey surface with a gradient, a weave and sensor noise, which compresses like a photograph of a product (to about 60 %)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    g = 90 + 60 * x + 30 * y + 18 * np.sin(60 * x) * np.sin(45 * y) + rng.normal(0, 3, (size, size))
    return np.clip(g, 0, 255).astype(np.uint8)


def grey_first(path):
    """For grey files alone: one channel is resized instead of three."""
    return one(path, "L")


def one(path, mode="RGB"):
    img = Image.open(path).convert(mode)
    w, h = img.size
    n = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    img = img.resize(n, Image.LANCZOS)
    x, y = round((n[0] - 224) / 2), round((n[1] - 224) / 2)
    a = np.asarray(img.crop((x, y, x + 224, y + 224)).convert("RGB"), np.float32) / np.float32(255)
    return float(((a - MEAN) / STD)[0, 0, 0])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--images", type=int, default=24)
    p.add_argument("--size", type=int, default=1024)
    p.add_argument("--rounds", type=int, default=5)
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(tmp, "pictures", "grey")
        folder.mkdir(parents=True)
        for i in range(o.images):
            Image.fromarray(picture(o.size, i)).save(folder / f"{i:03}.png")
        files = sorted(map(str, folder.glob("*.png")))
        binary = str(pathlib.Path(tmp, "dataset.test"))
        subprocess.run(["go", "test", "-c", "-o", binary, "./dataset"], cwd=ROOT, check=True)
        env = dict(os.environ, GOTAB_PICTURES=str(folder.parent), GOMAXPROCS="2")
        go = [binary, "-test.run", "^$", "-test.bench", "^BenchmarkFolder$", "-test.benchtime", "1x"]
        rates, ratios = ([], [], []), ([], [])
        with multiprocessing.Pool(2) as pool:
            pool.map(one, files)
            for _ in range(o.rounds):
                theirs = []
                for work in (one, grey_first):
                    start = time.perf_counter()
                    pool.map(work, files, chunksize=1)
                    theirs.append(time.perf_counter() - start)
                out = subprocess.run(go, cwd=ROOT / "dataset", env=env, check=True, capture_output=True, text=True).stdout
                ours = o.images / float(re.search(r"([\d.]+) images/s", out).group(1))
                rates[0].append(o.images / ours)
                for i, t in enumerate(theirs):
                    ratios[i].append(ours / t)
                    rates[i + 1].append(o.images / t)
        size = sum(os.path.getsize(f) for f in files) / len(files)
        print(f"{o.images} grey PNG of {o.size}x{o.size}, {size / 1e3:.0f} kB each, {o.rounds} rounds")
        print(f"this library, 2 goroutines: {statistics.median(rates[0]):.1f} images/s")
        for i, what in enumerate(("RGB", "one channel")):
            print(f"Pillow, 2 processes, {what}: {statistics.median(rates[i + 1]):.1f} images/s; time of this library / Pillow "
                  f"{statistics.median(ratios[i]):.2f} (smallest {min(ratios[i]):.2f}, largest {max(ratios[i]):.2f})")


if __name__ == "__main__":
    main()
