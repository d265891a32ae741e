"""Decoding, resizing and packing of pictures: this library against Pillow and against another checkout of itself, the same files, in turns.

    python bench/dataset/decode.py [--images 24] [--size 1024] [--rounds 5] [--kinds grey.png,rgb.png,...] [--against FOLDER] [--json FILE]

Needs Go, or GOTAB_DATASET_TEST, the tests of package dataset as a program, besides Pillow and NumPy. All sides read every file, resize the shorter side to 256 with Lanczos, cut out the centre of 224x224
and write float32 of three channels, (v/255 - mean)/std, rows by columns by channels. Pillow works in
two processes, as torchvision's loaders do (RGB, then resized) and, of grey files, also resizing the single grey channel; the library in
two goroutines (GOMAXPROCS=2). --against names a checkout of this library whose BenchmarkFolder takes turns too. Shown are wall time, which
other work on the machine disturbs, and processor time; figures are medians over the rounds, ratios the medians of the ratios of one
round. A kind is grey or rgb, for TIFF a compression of Pillow's (raw, lzw, deflate), and an ending: rgb.lzw.tif. Compiling is not counted. Pillow's pool is warm; the Go program times its own wall, and its processor time holds its start.
"""
import argparse
import functools
import json
import multiprocessing
import os
import pathlib
import re
import resource
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


def picture_of(kind, size, seed):
    """Grey, or three surfaces that differ little, as colours of one material do."""
    g = picture(size, seed)
    if kind == "grey":
        return Image.fromarray(g)
    rest = [np.clip(g.astype(np.int16) * 3 // 4 + picture(size, seed + 1000 * c) // 4, 0, 255).astype(np.uint8) for c in (1, 2)]
    return Image.fromarray(np.dstack([g, *rest]))


def one(job):
    """Reads one file; returns the processor time that it took."""
    path, mode = job
    start = time.process_time()
    img = Image.open(path).convert(mode)
    w, h = img.size
    n = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    img = img.resize(n, Image.LANCZOS)
    x, y = round((n[0] - 224) / 2), round((n[1] - 224) / 2)
    a = np.asarray(img.crop((x, y, x + 224, y + 224)).convert("RGB"), np.float32) / np.float32(255)
    assert np.isfinite(((a - MEAN) / STD)[0, 0, 0])
    return time.process_time() - start


def pillow(pool, files, mode):
    """Wall and processor seconds for all files."""
    start = time.perf_counter()
    busy = sum(pool.map(one, [(f, mode) for f in files], chunksize=1))
    return time.perf_counter() - start, busy


def library(binary, checkout, folder, images):
    env = dict(os.environ, GOTAB_PICTURES=str(folder), GOMAXPROCS="2")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([binary, "-test.run", "^$", "-test.bench", "^BenchmarkFolder$", "-test.benchtime", "1x"],
                         cwd=checkout / "dataset", env=env, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = images / float(re.search(r"([\d.]+) images/s", out).group(1))
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--images", type=int, default=24)
    p.add_argument("--size", type=int, default=1024)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--kinds", default="grey.png,rgb.png,grey.jpg,rgb.jpg,grey.bmp,rgb.bmp,grey.raw.tif,rgb.raw.tif,grey.lzw.tif,rgb.lzw.tif,grey.deflate.tif,rgb.deflate.tif")
    p.add_argument("--against", type=pathlib.Path)
    p.add_argument("--json", type=pathlib.Path, help="file for the rounds of all sides: seconds of wall and of processor time")
    o = p.parse_args()
    everything = {}
    with tempfile.TemporaryDirectory() as tmp, multiprocessing.Pool(2) as pool:
        checkouts = {"this library": ROOT}
        if o.against:
            checkouts["the other checkout"] = o.against.resolve()
        binaries = {}
        for i, (name, checkout) in enumerate(checkouts.items()):
            binaries[name] = os.environ.get("GOTAB_DATASET_TEST") if i == 0 else None
            if binaries[name]:
                continue
            binaries[name] = str(pathlib.Path(tmp, f"dataset{i}.test"))
            subprocess.run(["go", "test", "-c", "-o", binaries[name], "./dataset"], cwd=checkout, check=True)
        for kind in o.kinds.split(","):
            colours, *compression, ending = kind.split(".")
            how = {"quality": 90} if ending == "jpg" else {}
            if compression:
                how = {"compression": {"raw": "raw", "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate"}[compression[0]]}
            folder = pathlib.Path(tmp, kind, "pictures")
            folder.mkdir(parents=True)
            for i in range(o.images):
                picture_of(colours, o.size, i).save(folder / f"{i:03}.{ending}", **how)
            files = sorted(map(str, folder.iterdir()))
            sides = {name: functools.partial(library, binary, checkouts[name], folder.parent, o.images) for name, binary in binaries.items()}
            sides["Pillow, RGB"] = functools.partial(pillow, pool, files, "RGB")
            if colours == "grey":
                sides["Pillow, one channel"] = functools.partial(pillow, pool, files, "L")
            times = {name: [] for name in sides}
            for side in sides.values():
                side()  # warm
            for _ in range(o.rounds):
                for name, side in sides.items():
                    times[name].append(side())
            kb = sum(os.path.getsize(f) for f in files) / len(files) / 1e3
            everything[kind] = {name: {"wall": [w / o.images for w, _ in t], "processor": [c / o.images for _, c in t]} for name, t in times.items()}
            print(f"{o.images} {kind} of {o.size}x{o.size}, {kb:.0f} kB each, {o.rounds} rounds")
            ours = times["this library"]
            for name, t in times.items():
                line = f"  {name}: {o.images / statistics.median(w for w, _ in t):.1f} images/s, {1e3 * statistics.median(c for _, c in t) / o.images:.1f} ms of processor time an image"
                if t is not ours:
                    for k, what in enumerate(("wall", "processor")):
                        r = [a[k] / b[k] for a, b in zip(ours, t)]
                        line += f"; this library / it, {what}: {statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})"
                print(line, flush=True)
    if o.json:
        o.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
