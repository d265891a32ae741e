#!/usr/bin/env python3
"""inspectd beside a FastAPI server on ONNX Runtime: the same PaDiM, the same pictures over HTTP on loopback, in turns.

usage: servers.py INSPECTD WEIGHTS [-rounds 7] [-pictures 96] [-side 256] [-clients 1,16] [-ort-threads 0,1]
INSPECTD is the built program, WEIGHTS a ResNet-18 (.safetensors or torchvision's .pth). Needs fastapi, uvicorn, onnxruntime, numpy, pillow.

It draws good pictures, has `inspectd pack -onnx` fit and calibrate one detector on them and write it as a bundle and as an ONNX model,
starts one inspectd and one server of onnx_server.py for each number of threads in -ort-threads (0: as ONNX Runtime chooses), and checks
that all give each picture the same score within a thousandth. Then in every round each server in turn gets -pictures pictures from one client, and as many from 16
that each keep a connection and send one picture after another. Printed is a Markdown table: medians over the rounds of p50 and p95 of the
requests, in milliseconds, of pictures a second, and of the processor time that the server spent on a picture, which tells more than the clock where other things
run; the ratio is the median over the rounds of ours by theirs (above 1: ours takes more).
Clients share the machine's cores with the server that they ask. All servers run all the time; only one has something to do.
"""
import argparse
import http.client
import io
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
ap = argparse.ArgumentParser()
ap.add_argument("inspectd")
ap.add_argument("weights")
ap.add_argument("-rounds", type=int, default=7)
ap.add_argument("-pictures", type=int, default=96)
ap.add_argument("-side", type=int, default=256)
ap.add_argument("-clients", default="1,16")
ap.add_argument("-ort-threads", default="0,1")
A = ap.parse_args()


def draw(rng, side):
    y, x = np.mgrid[:side, :side]
    grey = 90 + 40 * ((x // 20 + y // 20) % 2) + rng.integers(0, 30, (side, side))
    return Image.fromarray(np.repeat(grey[..., None], 3, 2).astype(np.uint8))


def png(img):
    b = io.BytesIO()
    img.save(b, "PNG")
    return b.getvalue()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(conn, data):
    conn.request("POST", "/inspect", data, {"Content-Type": "image/png"})
    r = conn.getresponse()
    body = r.read()
    if r.status != 200:
        raise SystemExit(f"status {r.status}: {body[:300]}")
    return json.loads(body)


def wait(name, proc, port):
    for _ in range(1200):
        if proc.poll() is not None:
            raise SystemExit(f"{name} ended with {proc.returncode}")
        try:
            conn = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            conn.request("GET", "/readyz")
            if conn.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{name} does not answer")


def processor(proc):
    """Milliseconds of processor time that a process has used; 0 where there is no /proc."""
    try:
        fields = pathlib.Path(f"/proc/{proc.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return 1e3 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(proc, port, clients, files, n):
    """n pictures from so many clients: median and 95th percentile of milliseconds, pictures a second, the server's processor time a picture."""
    took, lock, left = [], threading.Lock(), iter(range(n))

    def client():
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        conn.connect()
        start.wait()
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                break
            began = time.perf_counter()
            ask(conn, files[i % len(files)])
            ms = 1e3 * (time.perf_counter() - began)
            with lock:
                took.append(ms)
        conn.close()

    start = threading.Barrier(clients + 1)
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for t in threads:
        t.start()
    start.wait()
    began, used = time.perf_counter(), processor(proc)
    for t in threads:
        t.join()
    whole, used = time.perf_counter() - began, processor(proc) - used
    if len(took) != n:
        raise SystemExit(f"{len(took)} of {n} pictures were answered")
    took.sort()
    return took[len(took) // 2], took[int(0.95 * (len(took) - 1))], n / whole, used / n


with tempfile.TemporaryDirectory() as tmp:
    rng = np.random.default_rng(1)
    good = pathlib.Path(tmp, "parts")
    good.mkdir()
    for i in range(80):
        draw(rng, A.side).save(good / f"{i:03}.png")
    bundle, model = f"{tmp}/parts.gotab", f"{tmp}/parts.onnx"
    subprocess.run([A.inspectd, "pack", "-data", good, "-weights", A.weights, "-transform", f"{A.side}x{A.side}", "-out", bundle, "-onnx", model], check=True)
    files = [png(draw(rng, A.side)) for _ in range(16)]

    servers = {}
    try:
        port = free_port()
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        servers["inspectd"] = (subprocess.Popen([A.inspectd, "-listen", f"127.0.0.1:{port}", bundle], **quiet), port)
        for threads in A.ort_threads.split(","):
            port = free_port()
            env = dict(os.environ, MODEL=model, ORT_THREADS=threads)
            args = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "onnx_server:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"]
            servers["ONNX Runtime, " + ("its own number of threads" if threads == "0" else f"{threads} thread(s) a run")] = (subprocess.Popen(args, env=env), port)
        for name, (proc, port) in servers.items():
            wait(name, proc, port)
        want = None
        for name, (_, port) in servers.items():
            conn = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
            got = [ask(conn, f)["score"] for f in files]
            want = want or got
            worst = max(abs(a - b) / abs(b) for a, b in zip(got, want))
            print(f"{name}: scores differ from inspectd's by at most {worst:.1e}")
            if worst > 1e-3:
                raise SystemExit("these are not the same detector")
        seen = {}
        for r in range(A.rounds + 1):  # the first one warms up
            for clients in map(int, A.clients.split(",")):
                for name, (proc, port) in servers.items():
                    result = load(proc, port, clients, files, A.pictures)
                    if r:
                        seen.setdefault((clients, name), []).append(result)
        print("\n| clients | server | p50 ms | p95 ms | pictures/s | processor ms | p50 ours/theirs | pictures/s ours/theirs | processor ours/theirs |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for (clients, name), results in seen.items():
            p50, p95, rate, used = (statistics.median(x[k] for x in results) for k in range(4))
            ours = seen[clients, "inspectd"]
            ratio = [statistics.median(o[k] / (t[k] or 1) for o, t in zip(ours, results)) for k in (0, 2, 3)]
            print(f"| {clients} | {name} | {p50:.1f} | {p95:.1f} | {rate:.1f} | {used:.1f} | {ratio[0]:.2f} | {ratio[1]:.2f} | {ratio[2]:.2f} |")
    finally:
        for proc, _ in servers.values():
            proc.terminate()
        for proc, _ in servers.values():
            proc.wait()
