#!/usr/bin/env python3
"""Evaluation, training and PaDiM from end to end beside PyTorch of the same version as libtorch, in turns.

usage: versions.py RESNET [-rounds N] [-seconds S] [-threads N] [-bf16] [-padim EVALUATE WEIGHTS ROOT CLASS] [-json FILE]
RESNET and EVALUATE are the built programs of bench/resnet and examples/evaluate, WEIGHTS a ResNet-18 (.safetensors), ROOT a folder of
classes in MVTec AD's layout. needs: torch of libtorch's version; for -padim what ref_padim.py needs.
Prints a Markdown table of medians; a ratio is the median of those of the rounds, and above 1 where gotab is faster. "frozen" is the
same network folded and fused by TorchScript, which a user must ask for. Exit status 1 where ours is slower than PyTorch as it
comes, 2 where the versions differ.
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
ap.add_argument("resnet")
ap.add_argument("-rounds", type=int, default=5)
ap.add_argument("-seconds", type=float, default=5)
ap.add_argument("-threads", type=int, default=len(os.sched_getaffinity(0)))
ap.add_argument("-padim", nargs=4, metavar=("EVALUATE", "WEIGHTS", "ROOT", "CLASS"))
ap.add_argument("-bf16", action="store_true", help="the rows in bfloat16 too (PyTorch: autocast); the processor must have AVX512-BF16")
ap.add_argument("-json")
A = ap.parse_args()
ENV = dict(os.environ, GOMAXPROCS=str(A.threads), OMP_NUM_THREADS=str(A.threads), THREADS=str(A.threads))


def ask(*args):
    p = subprocess.run(args, capture_output=True, text=True, env=ENV)
    if p.returncode != 0:
        sys.exit(f"versions.py: {' '.join(args)} ended with {p.returncode}:\n{p.stderr[-2000:]}")
    return p.stdout


def network(program, *args):
    r = json.loads(ask(*program, "-threads", str(A.threads), *args).strip().splitlines()[-1])
    return r["images_per_second"], r.get("libtorch") or r["pytorch"]


def padim_ours(evaluate, weights, root, name):
    with tempfile.TemporaryDirectory() as d:
        ask(evaluate, "-data", root, "-class", name, "-weights", weights, "-method", "padim", "-json", d + "/r.jsonl")
        r = json.loads(open(d + "/r.jsonl").readline())
    return r["fit_images_per_second"], r["score_images_per_second"]


def padim_theirs(_, weights, root, name):
    out = ask(sys.executable, HERE + "/ref_padim.py", weights, f"{root}/{name}")
    return tuple(map(float, re.search(r"fit +([\d.]+) img/s +score +([\d.]+) img/s", out).groups()))


ours, theirs = [A.resnet], [sys.executable, HERE + "/resnet.py"]
rows, versions = [], set()
for mode, batch, half in (("eval", 1, []), ("eval", 32, []), ("train", 32, []), ("eval", 1, ["-bf16"]), ("eval", 32, ["-bf16"]), ("train", 32, ["-bf16"])):
    if half and not A.bf16:
        continue
    args = ["-mode", mode, "-batch", str(batch), "-seconds", str(A.seconds), *half]
    a, b, frozen = [], [], []
    for i in range(A.rounds):
        rate, version = network(ours, *args)
        a.append(rate)
        rate, other = network(theirs, *args)
        b.append(rate)
        versions |= {version.split("+")[0], other.split("+")[0]}
        if len(versions) > 1:
            sys.exit(f"versions.py: libtorch is {version}, PyTorch {other}: give a Python with the same version")
        if mode == "eval" and not half:
            frozen.append(network(theirs, *args, "-frozen")[0])
        print(f"{mode} {batch}, round {i + 1}: here {a[-1]:.2f}, PyTorch {b[-1]:.2f}" + (f", frozen {frozen[-1]:.2f}" if frozen else ""), file=sys.stderr, flush=True)
    rows.append((f"{'evaluation' if mode == 'eval' else 'training'}, batch {batch}{', bfloat16' if half else ''}", a, b, frozen))
if A.padim:
    a, b = [], []
    for i in range(A.rounds):
        a.append(padim_ours(*A.padim))
        b.append(padim_theirs(*A.padim))
        print(f"padim, round {i + 1}: here {a[-1]}, PyTorch {b[-1]}", file=sys.stderr, flush=True)
    for k, what in enumerate(("fit", "scoring")):
        rows.append((f"PaDiM, {what}", [r[k] for r in a], [r[k] for r in b], []))

median = statistics.median
print(f"libtorch {versions.pop()}, {A.threads} threads, medians of {A.rounds} rounds, images a second:\n")
print("| ResNet-18 at 224 | gotab | PyTorch | ratio | PyTorch, frozen | ratio |\n| --- | --- | --- | --- | --- | --- |")
slower = []
for name, a, b, frozen in rows:
    ratio = median(x / y for x, y in zip(a, b))
    more = f"{median(frozen):.1f} | {median(x / y for x, y in zip(a, frozen)):.2f}" if frozen else "|"
    print(f"| {name} | {median(a):.1f} | {median(b):.1f} | {ratio:.2f} | {more} |")
    if ratio < 1:
        slower.append(name)
if A.json:
    with open(A.json + ".tmp", "w") as f:
        json.dump([{"name": n, "gotab": a, "pytorch": b, "frozen": z} for n, a, b, z in rows], f, indent=1)
    os.replace(A.json + ".tmp", A.json)
if slower:
    sys.exit("slower here: " + ", ".join(slower))
