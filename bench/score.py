#!/usr/bin/env python3
"""Scores the same classes with examples/evaluate and with a Python PaDiM, in turn, and prints medians and ratios.

usage: score.py EVALUATE REF_PADIM.py WEIGHTS ROOT CLASS[,CLASS...] [ROUNDS]
EVALUATE is the built program. REF_PADIM.py prints a line a class with 'fit N img/s  score N img/s  rss N MB'.
needs: what the Python program needs.
"""
import json, re, statistics, subprocess, sys, tempfile

prog, ref, weights, root, classes = sys.argv[1:6]
classes = classes.split(",")
rounds = int(sys.argv[6]) if len(sys.argv) > 6 else 3


def ours():
    out = []
    for c in classes:
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as f:
            subprocess.run([prog, "-data", root, "-class", c, "-weights", weights, "-json", f.name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            r = json.loads(open(f.name).readline())
        out.append((r["fit_images_per_second"], r["score_images_per_second"], r["peak_rss_bytes"] / 2**20))
    return [statistics.mean(x) for x in zip(*out)]


def theirs():
    out = []
    text = subprocess.run([sys.executable, ref, weights] + [f"{root}/{c}" for c in classes], check=True, capture_output=True, text=True).stdout
    for m in re.finditer(r"fit +([\d.]+) img/s +score +([\d.]+) img/s +rss (\d+) MB", text):
        out.append(tuple(map(float, m.groups())))
    return [statistics.mean(x) for x in zip(*out)]


a, b = [], []
for i in range(rounds):
    a.append(ours())
    b.append(theirs())
    print(f"round {i}: gotab fit {a[-1][0]:.1f} score {a[-1][1]:.1f} img/s, {a[-1][2]:.0f} MB; python fit {b[-1][0]:.1f} score {b[-1][1]:.1f} img/s, {b[-1][2]:.0f} MB; score ratio {a[-1][1]/b[-1][1]:.2f}", flush=True)
med = lambda rows, k: statistics.median(r[k] for r in rows)
print(f"median: score {med(a,1):.1f} against {med(b,1):.1f} img/s, ratio {med(a,1)/med(b,1):.2f}; fit {med(a,0):.1f} against {med(b,0):.1f}, ratio {med(a,0)/med(b,0):.2f}; memory {med(a,2):.0f} against {med(b,2):.0f} MB")
