"""Opening MixedWM38 at full size: this library against numpy.load, the same files, in turns.

    python bench/dataset/mixedwm38.py [--folder FOLDER] [--rounds 3]

Needs Go and NumPy. FOLDER (default a temporary one) gets two files of 38,015 maps of 52x52 int32 and as many labels, drawn from a seed:
stored.npz (numpy.savez, 412 MB) and deflate.npz (numpy.savez_compressed); files that are there already are used. NumPy reads both arrays;
the library opens the file ("open"), opens it and reads a thousand maps in a jumble ("random"), and opens it and reads all of them in a
jumble ("all"). The file cache is warm for both sides. Times are medians; memory is the largest resident size of the process.
"""
import argparse
import multiprocessing
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
N = 38015
LOAD = "import sys,time,numpy\nt=time.perf_counter()\nz=numpy.load(sys.argv[1])\na,b=z['arr_0'],z['arr_1']\nprint(time.perf_counter()-t)"


def make(folder):
    if all((folder / f).exists() for f in ("stored.npz", "deflate.npz")):
        return
    rng = np.random.default_rng(38)
    y, x = np.mgrid[0:52, 0:52]
    disc = (y - 25.5) ** 2 + (x - 25.5) ** 2 < 26 ** 2
    maps = np.empty((N, 52, 52), np.int32)
    for i in range(0, N, 1000):
        part = rng.random((min(1000, N - i), 52, 52), np.float32) < rng.uniform(0.05, 0.3, (min(1000, N - i), 1, 1))
        maps[i:i + 1000] = np.where(disc, 1 + part, 0)
    labels = (rng.random((N, 8)) < 0.3).astype(np.int32)
    np.savez(folder / "stored.npz", maps, labels)
    np.savez_compressed(folder / "deflate.npz", maps, labels)


def run(args, **kw):
    """The output of a program and its largest resident size in MB."""
    with tempfile.TemporaryFile("w+") as out:
        p = subprocess.Popen(args, stdout=out, **kw)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if p.returncode != 0:
        raise SystemExit(f"{args[0]} failed:\n{text}")
    return text, usage.ru_maxrss / 1e3


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--folder")
    p.add_argument("--rounds", type=int, default=3)
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder = pathlib.Path(o.folder or tmp)
        folder.mkdir(parents=True, exist_ok=True)
        # A process of its own: what a program is started from counts into its largest resident size.
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(folder,))
        maker.start()
        maker.join()
        if maker.exitcode != 0:
            raise SystemExit("the files could not be made")
        binary = str(pathlib.Path(tmp, "dataset.test"))
        subprocess.run(["go", "test", "-c", "-o", binary, "./dataset"], cwd=ROOT, check=True)
        for name in ("stored.npz", "deflate.npz"):
            at = str((folder / name).resolve())
            print(f"{name}, {os.path.getsize(at) / 1e6:.0f} MB, {o.rounds} rounds")
            results = {}
            for _ in range(o.rounds):
                text, mb = run([sys.executable, "-c", LOAD, at])
                results.setdefault("numpy.load", []).append((float(text) * 1e3, mb))
                for case in ("open", "random", "all"):
                    text, mb = run([binary, "-test.run", "^$", "-test.bench", f"^BenchmarkMixedWM38$/^{case}$", "-test.benchtime", "1x"],
                                   cwd=ROOT / "dataset", env=dict(os.environ, GOTAB_MIXEDWM38=at))
                    results.setdefault(case, []).append((float(re.search(r"([\d.]+) ns/op", text).group(1)) / 1e6, mb))
            for case, r in results.items():
                print(f"  {case:10} {statistics.median(t for t, _ in r):9.1f} ms {max(m for _, m in r):7.0f} MB")


if __name__ == "__main__":
    main()
