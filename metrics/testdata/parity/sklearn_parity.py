"""Writes sklearn_parity.json: areas, curves and best F1 as scikit-learn computes them.

Made with Python 3.11, scikit-learn 1.9.1, numpy 1.26.4. Run in this folder: python sklearn_parity.py
"""
import json

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

rng = np.random.default_rng(5)


def case(name, scores, positive):
    scores = np.asarray(scores)
    positive = np.asarray(positive, dtype=bool)
    fpr, tpr, thr = roc_curve(positive, scores, drop_intermediate=False)
    p, r, t = precision_recall_curve(positive, scores)
    f1 = 2 * p * r / np.maximum(p + r, 1e-300)
    best = int(np.argmax(f1[:-1]))
    return {"name": name, "scores": [float(v) for v in scores], "positive": [int(v) for v in positive],
            "auroc": float(roc_auc_score(positive, scores)), "f1": float(f1[best]), "threshold": float(t[best]),
            "fpr": [float(v) for v in fpr], "tpr": [float(v) for v in tpr],
            "thresholds": [float(v) for v in thr[1:]]}  # the first is infinite


n = 60
labels = rng.random(n) < 0.4
cases = [
    case("separated", [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]),
    case("reversed", [0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1]),
    case("all tied", [0.5] * 6, [0, 1, 0, 1, 1, 0]),
    case("one positive", rng.normal(size=9), [0, 0, 0, 1, 0, 0, 0, 0, 0]),
    case("normal", rng.normal(size=n) + labels, labels),
    case("ties", np.round(rng.normal(size=n) + labels, 1), labels),
    case("many ties", np.round(rng.normal(size=n) + labels), labels),
    case("large and small", np.exp(20 * rng.normal(size=n) + 10 * labels), labels),
]
# Pixels: float32 scores of three images of 16 x 16 with a square of defects.
scores = rng.gamma(3.0, 1.0, size=(3, 16, 16))
mask = np.zeros((3, 16, 16), dtype=bool)
mask[1, 4:9, 5:11] = True
mask[2, 0:3, 12:16] = True
scores = np.round((scores + 2.5 * mask).astype(np.float32), 3).astype(np.float32)
pixels = case("pixels", scores.reshape(-1).astype(np.float64), mask.reshape(-1))
for k in ("fpr", "tpr", "thresholds"):
    del pixels[k]
json.dump({"images": cases, "pixels": pixels}, open("sklearn_parity.json", "w"))
