#!/usr/bin/env python3
"""Fits and scores one class with every detector, with examples/evaluate and with a PyTorch program of the same method, in turns.

usage: detectors.py EVALUATE WEIGHTS ROOT TARGET OTHER[,OTHER...] [-rounds N] [-methods NAME,...] [-epochs N] [-cores N]
EVALUATE is the built program, WEIGHTS a ResNet-18 (.safetensors), ROOT a folder of classes in MVTec AD's layout. RegAD trains on the
OTHERs and is shown four images of TARGET; the rest is fitted on TARGET alone. -epochs is for the methods that train (2). Both sides
get -cores threads (all there are) and the caller's environment; each class and method has a process of its own.
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
Prints a Markdown table of medians: images a second in fit (in a training an image counts once an epoch; RegAD's queries and support
images each) and in scoring, and peak memory; the ratios are medians of those of the rounds. Exit status 1 where ours is slower.
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
for name in ("evaluate", "weights", "root", "target", "others"):
    ap.add_argument(name)
ap.add_argument("-rounds", type=int, default=3)
ap.add_argument("-methods", default="padim,patchcore,rd4ad,simplenet,regad")
ap.add_argument("-epochs", type=int, default=2)
ap.add_argument("-cores", type=int, default=len(os.sched_getaffinity(0)))
A = ap.parse_args()
OTHERS = A.others.split(",")
SHOTS, ENV = 4, dict(os.environ, GOMAXPROCS=str(A.cores), OMP_NUM_THREADS=str(A.cores), THREADS=str(A.cores))


def ours(method, root):
    args = [A.evaluate, "-data", root, "-class", A.target, "-weights", A.weights, "-method", method]
    if method in ("rd4ad", "simplenet"):
        args += ["-epochs", str(A.epochs)]
    if method == "regad":
        args += ["-epochs", "1", "-shots", str(SHOTS)]
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(args + ["-json", d + "/r.jsonl"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENV)
        r = json.loads(open(d + "/r.jsonl").readline())
    fit = r["fit_images_per_second"]
    if method == "regad":  # everything that went through the network, over training and fit
        queries = sum(len(os.listdir(f"{root}/{c}/train/good")) for c in OTHERS)
        fit = (queries * (1 + SHOTS) + 22 * SHOTS) / (r["train_seconds"] + r["fit_seconds"])
    return fit, r["score_images_per_second"], r["peak_rss_bytes"] / 2**20


def theirs(method, root):
    folder = f"{root}/{A.target}"
    args = {"padim": [A.weights, folder], "patchcore": [A.weights, folder], "rd4ad": [A.weights, str(A.epochs), folder],
            "simplenet": ["-epochs", str(A.epochs), A.weights, folder],
            "regad": [A.weights, root, A.target, "-epochs", "1", "-shots", str(SHOTS)]}[method]
    out = subprocess.run([sys.executable, f"{HERE}/ref_{method}.py"] + args, check=True, capture_output=True, text=True, env=ENV).stdout
    fit, score, rss = map(float, re.search(r"fit +([\d.]+) img/s +score +([\d.]+) img/s +rss (\d+) MB", out).groups())
    if method == "regad":
        train = float(re.search(r"train.*?([\d.]+) img", out).group(1))
        queries = sum(len(os.listdir(f"{root}/{c}/train/good")) for c in OTHERS)
        images = queries * (1 + SHOTS)
        fit = (images + 22 * SHOTS) / (images / train + SHOTS / fit)
    return fit, score, rss


slower = []
print("| method | fit, images/s: here / PyTorch | ratio | scoring, images/s: here / PyTorch | ratio | peak memory, MB: here / PyTorch |")
print("| --- | --- | --- | --- | --- | --- |")
for method in A.methods.split(","):
    a, b = [], []
    with tempfile.TemporaryDirectory() as root:
        for c in [A.target] + OTHERS:
            os.symlink(os.path.abspath(f"{A.root}/{c}"), f"{root}/{c}")
        for i in range(A.rounds):
            a.append(ours(method, root))
            b.append(theirs(method, root))
            print(f"{method} round {i + 1}: here {a[-1]}, PyTorch {b[-1]}", file=sys.stderr, flush=True)
    med = lambda rows, k: statistics.median(r[k] for r in rows)
    ratio = [statistics.median(x[k] / y[k] for x, y in zip(a, b)) for k in (0, 1)]
    print(f"| {method} | {med(a, 0):.1f} / {med(b, 0):.1f} | {ratio[0]:.2f} | {med(a, 1):.1f} / {med(b, 1):.1f} | {ratio[1]:.2f} "
          f"| {med(a, 2):.0f} / {med(b, 2):.0f} |", flush=True)
    slower += [f"{method} {what}" for what, r in zip(("fit", "scoring"), ratio) if r < 1]
if slower:
    sys.exit("slower here: " + ", ".join(slower))
