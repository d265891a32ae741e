"""Writes aupro_parity.json: the area under the per-region overlap curve, slowly and from its definition.

Every threshold is applied to every map; components come from scipy.ndimage.label with the full 3 x 3
structure; a component's overlap is the fraction of its pixels that score above the threshold, PRO the mean over all
components of all images, FPR the fraction of all pixels outside of components that score above it. The curve ends
in (1, 1), is cut at the limit by linear interpolation, and its area is divided by the limit.

"all": every distinct score of a pixel outside of components is a threshold.
"sampled": so many thresholds at equal steps of rank; FPR is 1 - (rank + 1) / pixels, also where scores are equal.

Made with Python 3.11, scipy 1.17.1, numpy 1.26.4. Run in this folder: python aupro_parity.py
"""
import json

import numpy as np
from scipy.ndimage import label

rng = np.random.default_rng(11)
LIMITS = [0.05, 0.3, 1.0]
SAMPLES = [2, 7, 50, 400, 5000]


def area(points, limit):
    """points rise in x; the trapezoids from the first one to x = limit."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        total += (x1 - x0) * (y0 + y1) / 2
    return total / limit


def regions(masks):
    return [(i, labels == j) for i, labels, n in ((i, *label(m, np.ones((3, 3)))) for i, m in enumerate(masks))
            for j in range(1, n + 1)]


def pro(maps, comps, threshold):
    return float(np.mean([np.mean(maps[i][c] > threshold) for i, c in comps]))


def case(name, maps, masks):
    maps = maps.astype(np.float32)
    comps, good = regions(masks), np.sort(maps[~masks])
    points = [(float(np.mean(good > t)), pro(maps, comps, t)) for t in np.unique(good)[::-1]] + [(1.0, 1.0)]
    sampled = {}
    for k in SAMPLES:
        ranks = np.linspace(0, len(good) - 1, num=k, dtype=int)[::-1]
        sampled[k] = [(1 - (r + 1) / len(good), pro(maps, comps, good[r])) for r in ranks] + [(1.0, 1.0)]
    return {"name": name, "width": maps.shape[2], "height": maps.shape[1], "components": len(comps),
            "maps": [["%.9g" % v for v in m.reshape(-1)] for m in maps],
            "masks": ["".join("#" if v else "." for v in m.reshape(-1)) for m in masks],
            "all": [area(points, x) for x in LIMITS],
            "sampled": [[area(sampled[k], x) for x in LIMITS] for k in SAMPLES]}


def blobs(n, h, w, density):
    m = rng.random((n, h, w)) < density
    m[0] = False  # a good image
    if n > 2:
        m[2] = False
        m[2, 3:9, 4:12] = True  # one large defect beside the small ones
    return m



masks = blobs(4, 14, 18, 0.12)
maps = rng.gamma(3.0, 1.0, size=masks.shape) + 2.0 * masks
cases = [case("continuous", maps, masks)]
cases.append(case("ties", np.round(maps * 2) / 2, masks))
# Diagonal contact, touching the border, a ring around a good pixel, and one of the whole rest.
m = np.zeros((3, 10, 12), dtype=bool)
for i in range(8):
    m[1, i, i] = True
m[1, 9, 0] = True
m[2, 0:3, 0:3] = True
m[2, 1, 1] = False
m[2, 5:10, 6:12] = True
cases.append(case("shapes", np.round(rng.normal(size=m.shape) + m, 2), m))
cases.append(case("blind", np.full(m.shape, 0.25), m))
cases.append(case("perfect", m + 0.1 * rng.random(m.shape), m))
cases.append(case("inverse", -1.0 * m + 0.1 * rng.random(m.shape), m))
for c in cases:
    c["maps"] = [[float(v) for v in m] for m in c["maps"]]
json.dump({"limits": LIMITS, "samples": SAMPLES, "cases": cases}, open("aupro_parity.json", "w"), separators=(",", ":"))
