"""Decoding, resizing and packing of grey PNG: this library against Pillow, the same files, in turns.

    python bench/dataset/decode.py [--images 24] [--size 1024] [--rounds 5]

Needs Go, Pillow and NumPy. Both sides read every file, make RGB of it, resize the shorter side to 256 with Lanczos, cut out the
centre of 224x224 and write float32 (v/255 - mean)/std, rows by columns by channels. Pillow works in two processes, the library in
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


def one(path):
    img = Image.open(path).convert("RGB")
    w, h = img.size
    n = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    img = img.resize(n, Image.LANCZOS)
    x, y = round((n[0] - 224) / 2), round((n[1] - 224) / 2)
    a = np.asarray(img.crop((x, y, x + 224, y + 224)), np.float32) / np.float32(255)
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
        rates, ratios = ([], []), []
        with multiprocessing.Pool(2) as pool:
            pool.map(one, files)
            for _ in range(o.rounds):
                start = time.perf_counter()
                pool.map(one, files, chunksize=1)
                pillow = time.perf_counter() - start
                out = subprocess.run(go, cwd=ROOT / "dataset", env=env, check=True, capture_output=True, text=True).stdout
                ours = o.images / float(re.search(r"([\d.]+) images/s", out).group(1))
                ratios.append(ours / pillow)
                rates[0].append(o.images / ours)
                rates[1].append(o.images / pillow)
        size = sum(os.path.getsize(f) for f in files) / len(files)
        print(f"{o.images} grey PNG of {o.size}x{o.size}, {size / 1e3:.0f} kB each, {o.rounds} rounds")
        print(f"this library, 2 goroutines: {statistics.median(rates[0]):.1f} images/s")
        print(f"Pillow, 2 processes:        {statistics.median(rates[1]):.1f} images/s")
        print(f"time, this library / Pillow: {statistics.median(ratios):.2f} (smallest {min(ratios):.2f}, largest {max(ratios):.2f})")


if __name__ == "__main__":
    main()
