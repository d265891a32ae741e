#!/usr/bin/env python3
"""Makes patchcore.json: patches, coreset and scores of PatchCore in PyTorch on features given by a formula.

usage: patchcore.py > patchcore.json
needs: torch==2.1.2 numpy<2 scipy
Written from the method's description: neighbourhoods unfolded on each layer's grid, interpolated bilinearly to the first,
adaptive average pooling to 16 values layer by layer and then of the layers together; greedy k-centre with the mean distance
to the starting points first; nearest neighbours by cdist without a product of matrices; re-weighting with b = 5.
Everything is in float64, so that the fixture carries the method and not the rounding of one program.
"""
import json, sys
import numpy as np, scipy, torch, torch.nn.functional as F
from scipy.ndimage import gaussian_filter

DIM, SIDE, START, COUNT, B = 16, 3, [3, 40, 77], 24, 5


def maps(n, c, h, w, layer):
    i = torch.arange(n * c * h * w, dtype=torch.float64)
    return torch.sin(i * i * 0.37 + layer).reshape(n, c, h, w).float().double()


def patches(n, layers):
    out = []
    for f in layers:
        c, h, w = f.shape[1:]
        u = F.unfold(f, SIDE, padding=SIDE // 2).reshape(n, c * SIDE * SIDE, h, w)
        u = F.interpolate(u, size=layers[0].shape[2:], mode="bilinear", align_corners=False)
        out.append(F.adaptive_avg_pool1d(u.permute(0, 2, 3, 1).reshape(-1, 1, c * SIDE * SIDE), DIM).squeeze(1))
    return F.adaptive_avg_pool1d(torch.stack(out, 1).reshape(out[0].shape[0], 1, -1), DIM).squeeze(1)


p = patches(4, [maps(4, 6, 7, 5, 2), maps(4, 5, 4, 3, 3)])  # [140, 16]; the last image is scored
bank, query = p[:105], p[105:]


def distance(a, b):
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


nearest = distance(bank, bank[START]).mean(1)
chosen = []
for _ in range(COUNT):
    i = int(nearest.argmax())
    chosen.append(i)
    nearest = torch.minimum(nearest, distance(bank, bank[i:i + 1])[:, 0])
core = bank[sorted(chosen)]
d, at = distance(query, core).min(1)
top = int(d.argmax())
near = distance(core[at[top]][None], core)[0].topk(B, largest=False).indices
weight = 1 - torch.exp(d[top]) / torch.exp(distance(query[top][None], core[near])[0]).sum()
up = F.interpolate((d * d).reshape(1, 1, 7, 5), size=(28, 20), mode="bilinear", align_corners=False)[0, 0].numpy()
json.dump({
    "made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__},
    "dim": DIM, "starts": START, "chosen": chosen, "neighbours": B,
    "patches": [float("%.7g" % v) for v in query.flatten()],
    "nearest": [int(v) for v in at], "distances": [float("%.7g" % v) for v in d],
    "weight": float(weight), "map": [float("%.7g" % v) for v in gaussian_filter(up, 2.0).ravel()],
}, sys.stdout)
print()
