#!/usr/bin/env python3
"""Writes spread.json: what NumPy makes of the images of TestSpreadFixture. usage: spread.py > spread.json"""
import json
import zlib

import numpy as np

SIDE, N, RIDGE = 16, 9, 0.1


def draw(name, n):
    """internal/testutil.Draw."""
    c = zlib.crc32(name.encode())
    out = np.empty(n, np.float32)
    for i in range(n):
        h = (i * 2654435761 + c) & 0xFFFFFFFF
        h = ((h ^ h >> 15) * 2246822519) & 0xFFFFFFFF
        h = ((h ^ h >> 13) * 3266489917) & 0xFFFFFFFF
        out[i] = ((h >> 16) - 32768) / 32768
    return out


def image(i):
    own = draw("own" + chr(ord("a") + i), 3 * SIDE * SIDE).reshape(SIDE, SIDE, 3)
    m = draw("common", 3 * SIDE * SIDE).reshape(SIDE, SIDE, 3) + own
    m[..., 1] += own[..., 0] / 2
    return 8 * m.astype(np.float64)


def stats(f):
    """f [n, P, C]: mean by position, pooled covariance, inverse of the ridged one."""
    mean = f.mean(0)
    v = (f - mean).reshape(-1, f.shape[2])
    cov = v.T @ v / (f.shape[1] * (len(f) - 1))
    inv = np.linalg.inv(cov + RIDGE * np.trace(cov) / len(cov) * np.eye(len(cov)))
    return mean, cov, inv


def q(f, mean, inv):
    v = f - mean
    return np.einsum("npc,cd,npd->np", v, inv, v) / f.shape[2]


out = {}
x = np.stack([image(i) for i in range(N)])
for name, k in (("layer1", 4), ("layer2", 8)):
    g = SIDE // k
    f = x.reshape(N, g, k, g, k, 3).mean((2, 4)).reshape(N, g * g, 3)
    mean, cov, inv = stats(f)
    a, b = f[: N // 2], f[N // 2:]
    held = np.concatenate([q(a, *[stats(b)[i] for i in (0, 2)]).ravel(), q(b, *[stats(a)[i] for i in (0, 2)]).ravel()])
    for key, v in (("mean", mean), ("covariance", cov), ("inverse", inv), ("normal", np.quantile(held, [0.5, 0.95, 0.99, 0.999]))):
        out[f"{name}.{key}"] = {"shape": list(v.shape), "values": v.ravel().tolist()}
json.dump(out, open("/dev/stdout", "w"))
