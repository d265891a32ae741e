#!/usr/bin/env python3
"""Runs what `bench/gpu.sh build` has packed, on a machine with an NVIDIA GPU, PyTorch and a C++ compiler.

usage: gpu.sh run [-device cuda] [-only STEP,...] [-limit SECONDS] [-rounds N] [-tests REGEXP] [-out FILE]
Steps, in order: machine, compile, devices, tests, sanitizer, memory, resnet, pretraining, detectors. Each ends with an entry in the JSON file
(gpu.json beside this program): whether it held, seconds, figures, and the error where there was one. A step that fails
does not end the run; one for which no time is left says so.
needs: torch from 2.1 on; for the detectors' other side also torchvision numpy scipy scikit-learn pillow safetensors
Exit status: 0 where all held, 1 where something did not, 2 for wrong arguments, 3 where PyTorch sees no such device.
"""
import argparse, glob, gzip, json, os, re, shutil, statistics, struct, subprocess, sys, threading, time, zlib
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(HERE, "work")
STEPS = ("machine", "compile", "devices", "tests", "sanitizer", "memory", "resnet", "pretraining", "detectors")
ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("-device", default="cuda", choices=("cuda", "cpu"), help="cpu tries the way on a machine without a GPU")
ap.add_argument("-only", default=",".join(STEPS), help="steps to run")
ap.add_argument("-limit", type=float, default=465, help="seconds for all")
ap.add_argument("-rounds", type=int, default=3, help="of each pair of timings")
ap.add_argument("-tests", default=".", help="the tests whose names match")
ap.add_argument("-out", default=os.path.join(HERE, "gpu.json"))
A = ap.parse_args()
for step in A.only.split(","):
    if step not in STEPS:
        ap.error(f"there is no step {step}; there are {', '.join(STEPS)}")
END = time.monotonic() + A.limit
ENV = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
ENV.update(GOTAB_TEST_DEVICE=A.device, NVIDIA_TF32_OVERRIDE="0", DEVICE=A.device, OMP_WAIT_POLICY="passive")

# These are about the host: oneDNN's packed convolutions, the pool of host memory, threads, faults of allocations there, and
# bits that only hold from one thread to the next on the CPU.
HOST_ONLY = "Packed|PackConv|OneDNN|ConvFused|ConvAddReLU|Layouts|Primitives|Pool$|PoolKeeps|Threads|Worker|Limited|Hostile|Faults|OnCPU|Soak"
# What comes out of a GPU is compared with the tolerance that a test has for the CPU, and in TestOperationsOnCUDA with 1e-5 of
# the largest value. A test that fails by a tolerance alone is listed with its message, so that it can be judged.
TOLERANCES = "each test's own, made for the CPU; 1e-5 of the largest value in TestOperationsOnCUDA; TF32 off"


class Failed(Exception):
    def __init__(self, text, data=None):
        super().__init__(text)
        self.data = data


def left(wanted):
    """Seconds that a process may take: wanted, or what is left."""
    have = END - time.monotonic()
    if have < 3:
        raise Failed("no time was left")
    return min(wanted, have)


def tail(text, n=6):
    return "\n".join((text or "").strip().splitlines()[-n:])[-1500:]


def run(args, seconds, cwd=None, env=None):
    """Runs a program; its output and its exit status. Longer than that many seconds is a failure."""
    seconds = left(seconds)
    p = subprocess.Popen(args, cwd=cwd, env=env or ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        out, _ = p.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        p.kill()
        out, _ = p.communicate()
        raise Failed(f"{os.path.basename(args[0])} took longer than {seconds:.0f} s; it ended with:\n{tail(out)}", {"output": tail(out, 40)})
    return out, p.returncode


def ask(args, seconds, **more):
    out, code = run(args, seconds, **more)
    if code != 0:
        raise Failed(f"{os.path.basename(args[0])} {' '.join(args[1:])} ended with {code}:\n{tail(out)}")
    return out


def last_json(text):
    for line in reversed(text.strip().splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    raise Failed("it printed no result:\n" + tail(text))


def machine():
    import torch
    d = {"python": sys.version.split()[0], "pytorch": torch.__version__, "cuda": torch.version.cuda, "processors": len(os.sched_getaffinity(0)),
         "tolerances": TOLERANCES, "built": open(os.path.join(HERE, "built.txt")).read().split("\n")[:2]}
    d["devices"] = [{"name": torch.cuda.get_device_name(i), "capability": list(torch.cuda.get_device_capability(i)),
                     "bytes": torch.cuda.get_device_properties(i).total_memory} for i in range(torch.cuda.device_count())]
    d["kernels"] = torch.cuda.get_arch_list() if d["devices"] else []
    if shutil.which("nvidia-smi"):
        d["driver"] = tail(run(["nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"], 20)[0], 8)
    if A.device == "cuda" and not torch.cuda.is_available():
        raise Failed(f"no device: PyTorch {torch.__version__} sees no CUDA device" + ("" if torch.version.cuda else " (it is built for the CPU)"), d)
    return d


def compile_floor():
    """libgotab_native.so, of the files in native, against the PyTorch of this Python."""
    import torch
    root = os.path.dirname(torch.__file__)
    cxx = next((c for c in (os.environ.get("CXX"), "g++", "c++", "clang++") if c and shutil.which(c)), None)
    if cxx is None:
        raise Failed("no C++ compiler: install g++, or name one in CXX")
    with open(os.path.join(root, "include/ATen/ATen.h")) as f:
        standard = "c++20" if "202002L" in f.read() else "c++17"
    flags = ["-O2", "-fPIC", "-std=" + standard, f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
             "-isystem", root + "/include", "-isystem", root + "/include/torch/csrc/api/include"]
    lib = os.path.join(WORK, "lib")
    os.makedirs(lib, exist_ok=True)

    def one(source):
        object = os.path.join(WORK, os.path.basename(source) + ".o")
        ask([cxx, *flags, "-c", source, "-o", object], 200)
        return object

    with ThreadPoolExecutor(max(1, min(8, len(os.sched_getaffinity(0))))) as pool:
        objects = list(pool.map(one, sorted(glob.glob(HERE + "/native/*.cpp"))))
    cuda = ["-lc10_cuda", "-ltorch_cuda"] if os.path.exists(root + "/lib/libtorch_cuda.so") else []
    ask([cxx, "-shared", "-o", lib + "/libgotab_native.so", *objects, "-Wl,--no-as-needed", f"-L{root}/lib", f"-Wl,-rpath,{root}/lib",
         "-lc10", "-ltorch_cpu", *cuda, "-lstdc++"], 100)
    for kind in ("bin", "tests"):
        os.makedirs(os.path.join(WORK, kind), exist_ok=True)
        for packed in glob.glob(f"{HERE}/{kind}/*.gz"):
            name = os.path.join(WORK, kind, os.path.basename(packed)[:-3])
            with gzip.open(packed) as a, open(name, "wb") as b:
                shutil.copyfileobj(a, b)
            os.chmod(name, 0o755)
    return {"compiler": ask([cxx, "--version"], 10).splitlines()[0], "standard": standard, "cuda_half": bool(cuda)}


def resnet(*args):
    return os.path.join(WORK, "bin", "resnet"), *args


def devices():
    """Strings of devices that are there are taken, others refused in a sentence."""
    import torch
    have, d, bad = torch.cuda.device_count(), {}, []
    for name in ("cpu", "auto", "cuda", "cuda:0", "cuda:1", "cuda:99", "cuda:-1", "gpu"):
        out, code = run(resnet("-device", name, "-seconds", "0", "-side", "64"), 60)
        n = {"cuda": 0, "cuda:0": 0, "cuda:1": 1}.get(name)
        wanted = name in ("cpu", "auto") or n is not None and n < have
        d[name] = last_json(out)["device"] if code == 0 else tail(out, 1)
        if (code == 0) != wanted or code not in (0, 1):
            bad.append(name)
    if bad:
        raise Failed("not as it should be: " + ", ".join(bad), d)
    if A.device == "cuda" and have == 0:
        raise Failed("no device: " + d["cuda"], d)
    return d


def one_package(name):
    args = [f"{WORK}/tests/{name}.test", "-test.v", "-test.short", "-test.run", A.tests, "-test.skip", HOST_ONLY, "-test.timeout", "150s"]
    try:
        out, code = run(args, 160, cwd=f"{HERE}/source/{name}")
    except Failed as e:
        return {"error": str(e)}
    kinds = {k: re.findall(rf"^--- {k}: (\S+)", out, re.M) for k in ("PASS", "FAIL", "SKIP")}
    d = {"passed": len(kinds["PASS"]), "skipped": kinds["SKIP"], "failed": kinds["FAIL"], "status": code}
    if code != 0:
        d["output"] = {}
        for test in kinds["FAIL"][:40]:  # what stands between its beginning and its end
            m = re.search(rf"^=== RUN   {re.escape(test)}$(.*?)^--- FAIL: {re.escape(test)}\b(.*?)(?=^(?:===|---|FAIL|PASS))", out, re.M | re.S)
            d["output"][test] = tail(m.group(1) + m.group(2), 12) if m else ""
        if not kinds["FAIL"]:
            d["output"]["end"] = tail(out, 20)
    return d


def tests():
    names = ("tensor", "backbone", "tab", "downstream")
    with ThreadPoolExecutor(len(names)) as pool:
        d = dict(zip(names, pool.map(one_package, names)))
    bad = [f"{n}: {r.get('error') or ', '.join(r['failed']) or 'ended with ' + str(r['status'])}" for n, r in d.items() if r.get("status") != 0]
    if A.device == "cuda" and "TestOperationsOnCUDA" in d["tensor"].get("skipped", ()):
        bad.insert(0, "no device: TestOperationsOnCUDA was skipped")
    if bad:
        raise Failed("\n".join(bad)[:3000], d)
    return d


def sanitizer():
    tool = shutil.which("compute-sanitizer") or next(iter(glob.glob("/usr/local/cuda*/bin/compute-sanitizer")), None)
    if tool is None:
        return {"skipped": "compute-sanitizer is not there"}
    out, code = run([tool, "--tool", "memcheck", "--error-exitcode", "9", f"{WORK}/tests/tensor.test", "-test.run", "TestOperationsOnCUDA|OutOfMemoryOnCUDA", "-test.v"], 60,
                    cwd=f"{HERE}/source/tensor")
    if code != 0 or "--- PASS: TestOperationsOnCUDA" not in out:
        raise Failed(f"it ended with {code}:\n{tail(out, 15)}")
    return {"output": tail(out, 3)}


class Watch:
    """The memory in use on the first GPU, in MiB, once a second."""

    def __enter__(self):
        self.seen, self.stop = [], threading.Event()
        self.thread = threading.Thread(target=self.go)
        self.thread.start()
        return self.seen

    def go(self):
        while not self.stop.wait(1):
            try:
                out = subprocess.run(["nvidia-smi", "-i", "0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=10)
                self.seen.append(int(out.stdout.split()[0]))
            except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
                pass

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def memory():
    """Long use takes no more memory at its end than in its middle, and too large a wish is an error."""
    d = {}
    for name, args, cwd in (("training", resnet("-mode", "train", "-batch", "32", "-seconds", "25", "-device", A.device), None),
                            ("detectors", (f"{WORK}/tests/downstream.test", "-test.run", "^TestSoak$", "-soak", "25s", "-test.timeout", "100s"), f"{HERE}/source/downstream")):
        with Watch() as seen:
            ask(list(args), 80, cwd=cwd)
        d[name] = {"mib": seen}
        if A.device == "cuda" and len(seen) >= 12:
            middle, end = max(seen[len(seen) // 3:2 * len(seen) // 3]), max(seen[2 * len(seen) // 3:])
            d[name].update(middle=middle, end=end)
            if end > middle * 1.05 + 64:
                raise Failed(f"{name}: {end} MiB at the end, {middle} MiB in the middle", d)
        elif A.device == "cuda":
            raise Failed(f"{name}: nvidia-smi told the memory {len(seen)} times", d)
    out = ask([f"{WORK}/tests/tensor.test", "-test.run", "OutOfMemoryOnCUDA", "-test.v"], 60, cwd=f"{HERE}/source/tensor")
    d["out_of_memory"] = tail(out, 4)
    if A.device == "cuda" and "--- PASS: TestOutOfMemoryOnCUDA" not in out:
        raise Failed("out of memory: " + tail(out), d)
    return d


def resnet_pair():
    d, slower = {}, []
    for mode, batch in (("eval", 1), ("eval", 32), ("train", 32)):
        args = ["-mode", mode, "-batch", str(batch), "-seconds", "2", "-device", A.device]
        ours, theirs = [], []
        for _ in range(A.rounds):
            ours.append(last_json(ask(list(resnet(*args)), 60))["images_per_second"])
            theirs.append(last_json(ask([sys.executable, HERE + "/resnet.py", *args], 60))["images_per_second"])
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        d[f"{mode} {batch}"] = {"gotab": ours, "pytorch": theirs, "ratio": ratio}
        if ratio < 1:
            slower.append(f"{mode} {batch}: {ratio:.2f}")
    try:
        bf16 = ["-mode", "train", "-batch", "32", "-seconds", "2", "-device", A.device, "-bf16"]
        d["train 32, bf16"] = {"pytorch": last_json(ask([sys.executable, HERE + "/resnet.py", *bf16], 60))["images_per_second"],
                               "gotab": last_json(ask(list(resnet(*bf16)), 60))["images_per_second"]}
    except Failed as e:
        d["train 32, bf16"] = {"error": str(e)}
    if slower:
        raise Failed("slower than PyTorch: " + ", ".join(slower), d)
    return d


def pretraining():
    """Steps of the recipe and of the article's pooled loss on crops and on whole images, beside the same losses in PyTorch; then in bfloat16."""
    d, slower = {}, []
    for objective, pairs, side in (("recipe", 16, 128), ("joint", 32, 224)):
        for half in ([], ["-bf16"]):
            args = ["-objective", objective, "-pairs", str(pairs), "-side", str(side), "-seconds", "1.5", "-device", A.device, *half]
            name = f"{objective}, {pairs} pairs of {side}{', bf16' if half else ''}"
            ours, theirs = [], []
            try:
                for _ in range(1 if half else A.rounds):
                    ours.append(last_json(ask([os.path.join(WORK, "bin", "pretraining"), *args], 60))["images_per_second"])
                    theirs.append(last_json(ask([sys.executable, HERE + "/pretraining.py", *args], 60))["images_per_second"])
            except Failed as e:
                if not half:  # bfloat16 is more than every card has
                    raise Failed(f"{name}: {e}", d)
                d[name] = {"error": str(e)}
                continue
            ratio = statistics.median(a / b for a, b in zip(ours, theirs))
            d[name] = {"gotab": ours, "pytorch": theirs, "ratio": ratio}
            if ratio < 1 and not half:
                slower.append(f"{name}: {ratio:.2f}")
    if slower:
        raise Failed("slower than PyTorch: " + ", ".join(slower), d)
    return d


def png(path, w, h, channels, pixels):
    rows = b"".join(b"\0" + pixels[y * w * channels:(y + 1) * w * channels] for y in range(h))
    block = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + block(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2 if channels == 3 else 0, 0, 0, 0)) + block(b"IDAT", zlib.compress(rows, 1)) + block(b"IEND", b""))


def pictures(root, name, good, test):
    """A class in MVTec AD's layout: smooth textures; a dark disc is the defect."""
    import torch
    gen, side = torch.Generator("cpu").manual_seed(sum(name.encode())), 256

    def texture():
        x = torch.rand(1, 3, 24, 24, generator=gen, device="cpu")
        return torch.nn.functional.interpolate(x, size=side, mode="bicubic", align_corners=False)[0].clamp(0, 1)

    def write(path, x):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        raw = bytes((x * 255).to(torch.uint8).permute(1, 2, 0).reshape(-1).tolist())
        png(path, side, side, x.shape[0], raw)

    for i in range(good):
        write(f"{root}/{name}/train/good/{i:03d}.png", texture())
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for i in range(test):
        write(f"{root}/{name}/test/good/{i:03d}.png", texture())
        disc = ((y - 60 - 9 * i) ** 2 + (x - 190 + 7 * i) ** 2 < 400).float()[None]
        write(f"{root}/{name}/test/disc/{i:03d}.png", texture() * (1 - 0.8 * disc))
        write(f"{root}/{name}/ground_truth/disc/{i:03d}_mask.png", disc)


def detectors():
    """Each detector on drawn pictures: examples/evaluate, and the PyTorch program of the same method."""
    root, weights = os.path.join(WORK, "data"), os.path.join(WORK, "random.pth")
    shutil.rmtree(root, ignore_errors=True)
    for name, good in (("target", 48), ("one", 16), ("two", 16)):
        pictures(root, name, good, 8)
    d, wrong = {}, []
    try:
        ask([sys.executable, "-c", "import sys, torch, torchvision; torch.manual_seed(1); torch.save(torchvision.models.resnet18().state_dict(), sys.argv[1])", weights], 60)
        modules = None
    except Failed as e:
        modules = str(e)
    for method in ("padim", "patchcore", "rd4ad", "simplenet", "regad"):
        d[method] = one = {}
        extra = {"rd4ad": ["-epochs", "4"], "simplenet": ["-epochs", "4"], "regad": ["-epochs", "2", "-shots", "4"]}.get(method, [])
        record = os.path.join(WORK, method + ".jsonl")
        if os.path.exists(record):
            os.remove(record)
        try:
            ask([f"{WORK}/bin/evaluate", "-data", root, "-class", "target", "-weights", weights if modules is None else "random", "-method", method, "-device", A.device,
                 *extra, "-json", record], 60)
            with open(record) as f:
                r = json.loads(f.readline())
            one["gotab"] = {"fit": r["fit_images_per_second"], "score": r["score_images_per_second"]}
        except Failed as e:
            one["gotab"] = {"error": str(e)}
            wrong.append(method)
        if modules is not None:
            one["pytorch"] = {"error": modules}
            continue
        folder = root + "/target"
        args = {"padim": [weights, folder], "patchcore": [weights, folder], "rd4ad": [weights, "4", folder], "simplenet": ["-epochs", "4", weights, folder],
                "regad": [weights, root, "target", "-epochs", "2", "-shots", "4"]}[method]
        try:
            out = ask([sys.executable, f"{HERE}/ref_{method}.py", *args], 60, env=dict(ENV, THREADS=str(len(os.sched_getaffinity(0)))))
            fit, score = map(float, re.search(r"fit +([\d.]+) img/s +score +([\d.]+) img/s", out).groups())
            one["pytorch"] = {"fit": fit, "score": score}
            if "score" in one["gotab"]:
                one["ratio"] = {k: one["gotab"][k] / one["pytorch"][k] for k in (["score"] if method == "regad" else ["fit", "score"])}
                if one["ratio"]["score"] < 1:
                    wrong.append(f"{method} scores at {one['ratio']['score']:.2f} of PyTorch's rate")
        except Failed as e:
            one["pytorch"] = {"error": str(e)}
    if wrong:
        raise Failed("; ".join(wrong), d)
    return d


FUNCTIONS = dict(zip(STEPS, (machine, compile_floor, devices, tests, sanitizer, memory, resnet_pair, pretraining, detectors)))


def main():
    try:
        import torch
    except ImportError as e:
        sys.exit(f"gpu.py: {e}: name a Python with PyTorch in PYTHON")
    report = {"ok": True, "device": A.device, "steps": []}
    for name in A.only.split(","):
        start, entry = time.monotonic(), {"name": name, "ok": True}
        try:
            left(3)
            entry["data"] = FUNCTIONS[name]()
        except Failed as e:
            entry.update(ok=False, error=str(e))
            if e.data is not None:
                entry["data"] = e.data
        except Exception as e:  # of PyTorch, of the system: the other steps may hold
            entry.update(ok=False, error=f"{type(e).__name__}: {e}"[:2000])
        entry["seconds"] = round(time.monotonic() - start, 1)
        report["steps"].append(entry)
        report["ok"] = report["ok"] and entry["ok"]
        print(f"{'ok' if entry['ok'] else '!!'}  {name:10s} {entry['seconds']:6.1f} s  {tail(entry.get('error'), 1)}", flush=True)
        with open(A.out + ".tmp", "w") as f:
            json.dump(report, f, indent=1)
        os.replace(A.out + ".tmp", A.out)
    print(A.out)
    if A.device == "cuda" and not torch.cuda.is_available():
        sys.exit(3)
    sys.exit(0 if report["ok"] else 1)


main()
