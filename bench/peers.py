#!/usr/bin/env python3
"""All that is measured beside a peer, in turns: fails where a ratio is below the one that was reached, less a tenth.

usage: peers.py PROGRAMS [-rounds N] [-seconds S] [-only REGEXP] [-write] [-json FILE] [-prepared DIR] [-weights FILE -root DIR -target CLASS]
PROGRAMS is a folder with the built programs detect, resnet and evaluate, and dataset.test (`make bench-peers` builds them). Both sides
get all processors that the process may use, and each measurement is a process of its own. A ratio is the median of those of the rounds, and above 1
where gotab is faster; bench/peers.json has those that were reached, and -write puts the measured ones there. Rows whose peer is not
there are passed over, with the reason. -weights, -root and -target (a ResNet-18 as safetensors, a folder in MVTec AD's layout, one of its classes) are for the
rows of whole detectors, -prepared a folder that `detect prepare` has filled already; without them drawings stand for the class, and rows that train or need 200 real images are passed over.
needs: Python with any of numpy, pillow, torch 2.1.2, onnxruntime, scipy, scikit-learn, safetensors, torchvision
"limit" is the time or rate at which the arithmetic alone would go: cores x operations a cycle x clock (flags and clock of /proc/cpuinfo).
Exit status: 0 where all held, 1 where a row fell short, 2 for wrong arguments.
"""
import argparse, importlib.util, json, os, re, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REACHED = os.path.join(HERE, "peers.json")
NOISE = 0.9  # of a ratio that was reached
ap = argparse.ArgumentParser(usage=__doc__.splitlines()[2])
ap.add_argument("programs")
ap.add_argument("-rounds", type=int, default=5)
ap.add_argument("-seconds", type=float, default=2)
ap.add_argument("-only", default="")
ap.add_argument("-write", action="store_true")
ap.add_argument("-json")
ap.add_argument("-prepared")
ap.add_argument("-weights")
ap.add_argument("-root")
ap.add_argument("-target")
A = ap.parse_args()
if len({bool(A.weights), bool(A.root), bool(A.target)}) > 1:
    ap.error("-weights, -root and -target go together")
if A.rounds < 1:
    ap.error("-rounds is less than 1")
CORES = len(os.sched_getaffinity(0))
ENV = dict(os.environ, GOMAXPROCS=str(CORES), OMP_NUM_THREADS=str(CORES), THREADS=str(CORES))
INFO = open("/proc/cpuinfo").read() if os.path.exists("/proc/cpuinfo") else ""
FLAGS = set(re.search(r"flags\s*:(.*)", INFO).group(1).split()) if "flags" in INFO else set()
BF16 = "avx512_bf16" in FLAGS
TMP = tempfile.TemporaryDirectory()


class Failed(Exception):
    pass


def ask(*args, env=ENV, cwd=None):
    p = subprocess.run(args, capture_output=True, text=True, env=env, cwd=cwd)
    if p.returncode != 0:
        raise Failed(f"{' '.join(map(str, args))} ended with {p.returncode}: {p.stderr.strip()[-500:]}")
    return p.stdout


def last(text):
    return json.loads(text.strip().splitlines()[-1])


def program(name):
    return os.path.join(A.programs, name)


def missing(*modules):
    gone = [m for m in modules if importlib.util.find_spec(m) is None]
    return f"{os.path.basename(sys.executable)} lacks {', '.join(gone)}" if gone else None


def limit(gflop, bf16=False):
    """Seconds of an image's arithmetic, or None where the processor is not known."""
    clock = re.search(r"cpu MHz\s*:\s*([\d.]+)", INFO)
    if not clock or "avx2" not in FLAGS:
        return None
    if bf16:
        cycle = 2048 if "amx_bf16" in FLAGS else 128
    else:
        cycle = 64 if "avx512f" in FLAGS else 32
    return gflop / (CORES * cycle * float(clock.group(1)) * 1e-3)


class Row:
    """less: whether the figure is a time. sides returns (ours, theirs) of one round. why says what is missing, or None."""

    def __init__(self, name, unit, peer, less, ours, theirs, why=None, limit=None, command=""):
        self.name, self.unit, self.peer, self.less, self.ours, self.theirs = name, unit, peer, less, ours, theirs
        self.why, self.limit, self.command = why, limit, command


def network(mode, batch, bf16):
    args = ["-mode", mode, "-batch", str(batch), "-seconds", str(A.seconds), "-threads", str(CORES)] + (["-bf16"] if bf16 else [])
    name = f"{'evaluation' if mode == 'eval' else 'training'}, batch {batch}{', bfloat16' if bf16 else ''}"
    why = missing("torch") or ("the processor has no AVX512-BF16" if bf16 and not BF16 else None)
    seconds = limit(3.64 * (3 if mode == "train" else 1), bf16)
    return Row(f"ResNet-18 at 224, {name}", "images/s", "PyTorch", False,
               lambda: last(ask(program("resnet"), *args))["images_per_second"],
               lambda: last(ask(sys.executable, HERE + "/resnet.py", *args))["images_per_second"], why, seconds and 1 / seconds, "bench/resnet, bench/resnet.py")


def prepared():
    """The folder of bench/detect, made once."""
    where = A.prepared or os.path.join(TMP.name, "detect")
    if not os.path.exists(where):
        args = [program("detect"), "prepare", "-out", where] + (["-bf16"] if BF16 else [])
        if A.weights:
            args += ["-weights", A.weights, "-data", A.root, "-class", A.target]
        ask(*args)
    return where


def endtoend(method, engine, bf16, gflop):
    half = ["-bf16"] if bf16 else []
    how = {"onnx": "ONNX Runtime", "torch": "PyTorch"}[engine]
    why = missing("numpy", "PIL", *(["onnxruntime"] if engine == "onnx" else ["torch", "scipy", "safetensors"]))
    why = why or ("the processor has no AVX512-BF16" if bf16 and not BF16 else None)
    title = {"padim": "PaDiM", "patchcore": "PatchCore, 10 % of 200 images"}[method]
    seconds = limit(gflop, bf16)
    return Row(f"{title}, 256, PNG to verdict{', bfloat16' if bf16 else ''}", "ms", how, True,
               lambda: last(ask(program("detect"), "measure", "-in", prepared(), "-method", method, "-seconds", str(A.seconds), "-threads", str(CORES), *half))["ms"],
               lambda: last(ask(sys.executable, HERE + "/endtoend.py", prepared(), "-method", method, "-with", engine, "-seconds", str(A.seconds), "-threads", str(CORES), *half))["ms"],
               why, seconds and 1e3 * seconds, "bench/detect, bench/endtoend.py")


def decoding(kind):
    """decode.py times both sides in one call."""
    kept = {}

    def both():
        at = os.path.join(TMP.name, "decode.json")
        ask(sys.executable, HERE + "/dataset/decode.py", "--kinds", kind, "--rounds", "1", "--images", "16", "--json", at,
            env=dict(ENV, GOTAB_DATASET_TEST=os.path.abspath(program("dataset.test"))))
        sides = json.load(open(at))[kind]
        kept["theirs"] = 1e3 * sides["Pillow, one channel" if kind.startswith("grey") else "Pillow, RGB"]["processor"][0]
        return 1e3 * sides["this library"]["processor"][0]

    return Row(f"{kind} of 1024x1024, read, resized to 256, packed", "ms of processor time", "Pillow", True, both, lambda: kept["theirs"],
               missing("numpy", "PIL"), None, "bench/dataset/decode.py")


def fold(method):
    folder = os.path.join(TMP.name, "root")
    os.makedirs(folder, exist_ok=True)
    link = os.path.join(folder, A.target)
    if not os.path.exists(link):
        os.symlink(os.path.abspath(f"{A.root}/{A.target}"), link)
    return folder


def detector(method, what, title):
    """Fit (what 0) or scoring (1) of a folder, images a second."""
    why = missing("torch", "torchvision", "scipy", "sklearn", "safetensors", "PIL") or (None if A.weights else "needs -weights, -root and -target")
    more = ["-epochs", "1"] if method == "rd4ad" else []

    def ours():
        at = os.path.join(TMP.name, "record.jsonl")
        if os.path.exists(at):
            os.remove(at)
        ask(program("evaluate"), "-data", fold(method), "-class", A.target, "-weights", A.weights, "-method", method, *more, "-json", at)
        r = json.loads(open(at).readline())
        return (r["fit_images_per_second"], r["score_images_per_second"])[what]

    def theirs():
        args = {"patchcore": [A.weights], "rd4ad": [A.weights, "1"], "padim": [A.weights]}[method] + [f"{A.root}/{A.target}"]
        out = ask(sys.executable, f"{HERE}/ref_{method}.py", *args)
        return tuple(map(float, re.search(r"fit +([\d.]+) img/s +score +([\d.]+) img/s", out).groups()))[what]

    return Row(title, "images/s", "PyTorch", False, ours, theirs, why, None, f"examples/evaluate, bench/ref_{method}.py")


ROWS = [network("eval", 1, False), network("eval", 32, False), network("train", 32, False),
        network("eval", 1, True), network("eval", 32, True), network("train", 32, True),
        endtoend("padim", "onnx", False, 3.9), endtoend("padim", "torch", True, 3.9), endtoend("patchcore", "torch", False, 3.9)]
ROWS += [decoding(f"{colours}.{ending}") for ending in ("png", "jpg", "bmp", "raw.tif", "lzw.tif", "deflate.tif") for colours in ("grey", "rgb")]
ROWS += [detector("padim", 1, "PaDiM, a folder scored"), detector("patchcore", 0, "PatchCore, fit on a folder"), detector("patchcore", 1, "PatchCore, a folder scored"),
         detector("rd4ad", 0, "RD4AD, training")]

reached = json.load(open(REACHED))["ratios"] if os.path.exists(REACHED) else {}
short, results, figure = [], {}, lambda v: f"{v:.1f}" if v < 1000 else f"{v:.0f}"
median = statistics.median
model = re.search(r"model name\s*:\s*(.*)", INFO)
print(f"{CORES} cores, {model.group(1) if model else 'unknown processor'}, medians of {A.rounds} rounds in turns\n")
print("| | peer | limit | gotab | peer | ratio | reached | programs |\n| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
for row in ROWS:
    if not re.search(A.only, row.name):
        continue
    if row.why:
        print(f"{row.name}: passed over: {row.why}", file=sys.stderr, flush=True)
        continue
    a, b = [], []
    try:
        for i in range(A.rounds):
            a.append(row.ours())
            b.append(row.theirs())
            print(f"{row.name}, round {i + 1}: {a[-1]:.2f} and {b[-1]:.2f}", file=sys.stderr, flush=True)
    except Failed as e:
        print(f"{row.name}: {e}", file=sys.stderr, flush=True)
        short.append(f"{row.name} could not be measured")
        continue
    ratio = median(y / x if row.less else x / y for x, y in zip(a, b))
    want = reached.get(row.name)
    print(f"| {row.name} | {row.peer} | {figure(row.limit) if row.limit else ''} | {figure(median(a))} {row.unit} | {figure(median(b))} | {ratio:.2f} "
          f"| {f'{want:.2f}' if want else ''} | {row.command} |", flush=True)
    results[row.name] = {"gotab": a, "peer": b, "unit": row.unit, "ratio": ratio}
    if want and ratio < NOISE * want:
        short.append(f"{row.name}: {ratio:.2f}, reached was {want:.2f}")
for path, what in ((A.json, results), (REACHED if A.write else None, {"ratios": {**reached, **{k: round(v["ratio"], 2) for k, v in results.items()}}})):
    if path:
        with open(path + ".tmp", "w") as f:
            json.dump(what, f, indent=1)
            f.write("\n")
        os.replace(path + ".tmp", path)
if short:
    sys.exit("below what was reached:\n  " + "\n  ".join(short))
