"""Writes classes_parity.json: tables and rates of classifiers as scikit-learn computes them.

Made with Python 3.11, scikit-learn 1.9.1, numpy 1.26.4. Run in this folder: python classes_parity.py
"""
import json

import numpy as np
from sklearn.metrics import (accuracy_score, confusion_matrix, hamming_loss, multilabel_confusion_matrix,
                             precision_recall_fscore_support)

rng = np.random.default_rng(7)


def rates(truth, predicted, **kw):
    p, r, f, _ = precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0, **kw)
    return [float(p), float(r), float(f)]


def multiclass(name, k, n, right, never=()):
    truth = rng.integers(0, k, n)
    predicted = np.where(rng.random(n) < right, truth, rng.integers(0, k, n))
    for c in never:  # undefined precision
        predicted[predicted == c] = (c + 1) % k
    labels = list(range(k))
    return {"name": name, "classes": k, "truth": truth.tolist(), "predicted": predicted.tolist(),
            "accuracy": float(accuracy_score(truth, predicted)), "macro": rates(truth, predicted, labels=labels),
            "table": confusion_matrix(truth, predicted, labels=labels).tolist()}


def multilabel(name, k, n, flip, rare=None):
    truth = rng.random((n, k)) < 0.3
    if rare is not None:  # undefined recall
        truth[:, rare] = False
    predicted = truth ^ (rng.random((n, k)) < flip)
    if rare is not None:
        predicted[:, (rare + 1) % k] = False
    return {"name": name, "labels": k, "truth": truth.astype(int).tolist(), "predicted": predicted.astype(int).tolist(),
            "exact": float(accuracy_score(truth, predicted)), "single": float(1 - hamming_loss(truth, predicted)),
            "macro": rates(truth, predicted),
            "tables": multilabel_confusion_matrix(truth, predicted).reshape(k, 4).tolist()}  # TN FP FN TP


out = {"multiclass": [multiclass("good", 5, 120, 0.8), multiclass("never predicted", 4, 60, 0.6, [2]),
                      multiclass("thirty-eight", 38, 150, 0.9), multiclass("absent", 12, 9, 0.5)],
       "multilabel": [multilabel("wafer", 8, 100, 0.05), multilabel("undefined", 5, 40, 0.2, 3)]}
json.dump(out, open("classes_parity.json", "w"))
