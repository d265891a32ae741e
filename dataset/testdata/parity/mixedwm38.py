#!/usr/bin/env python3
"""Writes small npz files in MixedWM38's format, and mixedwm38.json with what they hold.

usage: python3 mixedwm38.py  (writes beside itself)
needs: numpy; the version used is in the file.

wm_stored.npz: numpy.savez, int32, 4 maps. wm_deflate.npz: numpy.savez_compressed, int32, 24 maps. wm_int64.npz: compressed, int64 maps and
uint8 labels, 5 maps. All maps are 52x52 with values 0 to 3; "sha256" holds the hash of each,
clipped to 2, one byte a die.
"""
import hashlib, json, os
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(38)
y, x = np.mgrid[0:52, 0:52]
disc = (y - 25.5) ** 2 + (x - 25.5) ** 2 < 26 ** 2


def maps(n):
    m = np.where(disc, 1 + (rng.random((n, 52, 52)) < 0.15), 0)
    m[:, 20, 20] = 3
    return m


out = {"versions": {"numpy": np.__version__}, "files": []}
for name, n, save, mt, lt in (("wm_stored.npz", 4, np.savez, "i4", "i4"), ("wm_deflate.npz", 24, np.savez_compressed, "i4", "i4"),
                              ("wm_int64.npz", 5, np.savez_compressed, "i8", "u1")):
    m, labels = maps(n).astype(mt), (rng.random((n, 8)) < 0.3).astype(lt)
    labels[0] = 0
    save(os.path.join(HERE, name), m, labels)
    out["files"].append({"file": name, "n": n, "sha256": [hashlib.sha256(d.tobytes()).hexdigest() for d in np.minimum(m, 2).astype(np.uint8)],
                         "labels": labels.tolist()})
with open(os.path.join(HERE, "mixedwm38.json"), "w") as f:
    json.dump(out, f)
