#!/usr/bin/env python3
"""Pre-trains on the same classes with examples/pretrain -recipe ref and with a PyTorch program, in turn.

usage: pretrain.py PRETRAIN REF_TAB.py WEIGHTS BANK ROOT CLASS[,CLASS...] SIZE EPOCHS [ROUNDS]
Prints per round the loss of each epoch and images a second (both twins counted, without the first epoch where there
are several), then medians and the ratio. Round k trains with seed k on both sides.
needs: what the PyTorch program needs.
"""
import os, re, statistics, subprocess, sys, tempfile

prog, ref, weights, bank, root, classes, size, epochs = sys.argv[1:9]
rounds = int(sys.argv[9]) if len(sys.argv) > 9 else 3
dirs = [os.path.abspath(f"{root}/{c}") for c in classes.split(",")]
line = re.compile(r"epoch (\d+) loss ([\d.]+) acc ([\d.]+) ([\d.]+) img/s")


def read(text):
    rows = [tuple(map(float, m.groups())) for m in line.finditer(text)]
    assert len(rows) == int(epochs), text
    speeds = [r[3] for r in rows]
    return [r[1] for r in rows], statistics.median(speeds[1:] or speeds)


def ours(tmp, seed):
    data = f"{tmp}/data"
    os.makedirs(data, exist_ok=True)
    for d in dirs:
        if not os.path.exists(f"{data}/{os.path.basename(d)}"):
            os.symlink(d, f"{data}/{os.path.basename(d)}")
    p = subprocess.run([prog, "-recipe", "ref", "-data", data, "-init", weights, "-bank", bank, "-size", size, "-epochs", epochs,
                        "-seed", str(seed), "-out", f"{tmp}/out.safetensors", "-log", f"{tmp}/log{seed}.jsonl"], check=True, capture_output=True, text=True)
    return read(p.stdout)


def theirs(tmp, seed):
    src = open(ref).read().replace("torch.manual_seed(0); random.seed(0); np.random.seed(0)",
                                   f"torch.manual_seed({seed}); random.seed({seed}); np.random.seed({seed})")
    assert f"torch.manual_seed({seed})" in src
    open(f"{tmp}/ref.py", "w").write(src)
    p = subprocess.run([sys.executable, f"{tmp}/ref.py", weights, bank, f"{tmp}/ref.safetensors", size, epochs] + dirs, check=True, capture_output=True, text=True)
    return read(p.stdout)


with tempfile.TemporaryDirectory() as tmp:
    a, b = [], []
    for k in range(rounds):
        a.append(ours(tmp, k))
        b.append(theirs(tmp, k))
        print(f"seed {k}: gotab loss {a[-1][0]} {a[-1][1]:.1f} img/s; pytorch loss {b[-1][0]} {b[-1][1]:.1f} img/s; ratio {a[-1][1]/b[-1][1]:.3f}", flush=True)
    med = lambda rows: statistics.median(r[1] for r in rows)
    print(f"median: {med(a):.1f} against {med(b):.1f} img/s, ratio {med(a)/med(b):.3f}")
    for e in range(int(epochs)):
        x, y = statistics.mean(r[0][e] for r in a), statistics.mean(r[0][e] for r in b)
        print(f"epoch {e}: mean loss {x:.4f} against {y:.4f}, {100*(x/y-1):+.1f} %")
