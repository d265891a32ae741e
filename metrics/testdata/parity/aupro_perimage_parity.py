"""Writes aupro_perimage_parity.json: per-region overlap of single images in the manner of RD4AD's evaluation.

From its definition, on the damaged images of aupro_parity.json: thresholds lowest + i * (highest - lowest) / 200 for
i = 0..199 over the whole map; a pixel above the threshold is called; FPR is that of the pixels of this image outside
of its components (8-connected), PRO the mean over its components; the points with FPR < limit are kept, FPR is divided
by its largest value, and the area is that of the trapezoids. null where every such FPR is 0, or none is left.

Made with Python 3.11, scikit-learn 1.9.1, scipy 1.17.1, numpy 1.26.4. Run in this folder:
python aupro_perimage_parity.py
"""
import json

import numpy as np
from scipy.ndimage import label
from sklearn.metrics import auc

f = json.load(open("aupro_parity.json"))


def value(scores, mask, limit):
    labels, n = label(mask, np.ones((3, 3)))
    points = []
    for i in range(200):
        called = scores > scores.min() + i * ((scores.max() - scores.min()) / 200)
        points.append((called[~mask].mean(), np.mean([called[labels == k].mean() for k in range(1, n + 1)])))
    points = np.array([p for p in points if p[0] < limit])
    if len(points) == 0 or points[:, 0].max() == 0:
        return None
    return float(auc(points[:, 0] / points[:, 0].max(), points[:, 1]))


out = []
for c in f["cases"]:
    for i, (m, s) in enumerate(zip(c["masks"], c["maps"])):
        mask = np.array([v == "#" for v in m])
        if mask.any():
            shape = (c["height"], c["width"])
            scores = np.array(s, dtype=np.float32).astype(np.float64).reshape(shape)
            out.append({"case": c["name"], "image": i,
                        "values": [value(scores, mask.reshape(shape), x) for x in f["limits"]]})
json.dump(out, open("aupro_perimage_parity.json", "w"), indent=1)
