"""Writes neighbourhood_parity.json with scikit-learn: trustworthiness, silhouette, and the
balanced accuracy of nearest neighbours with each point left out. Five neighbours vote on two
classes only: scikit-learn decides equal votes by the label, this library by the nearer one.

Made with Python 3.11, scikit-learn 1.9.1, numpy 2.4.6. Run in this folder:
python neighbourhood_parity.py > neighbourhood_parity.json
"""

import json

import numpy as np
from sklearn.manifold import trustworthiness
from sklearn.metrics import balanced_accuracy_score, silhouette_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

rng = np.random.default_rng(5)
cases = []
for n, dim, classes, apart in ((40, 6, 2, 1.0), (70, 3, 4, 3.0), (130, 9, 3, 0.0)):
    label = rng.integers(0, classes, n)
    truth = rng.normal(size=(n, dim)) + apart * np.eye(classes, dim)[label]
    shown = truth[:, :2] + 0.3 * rng.normal(size=(n, 2))
    truth, shown = np.round(truth, 3), np.round(shown, 3)
    accuracy = {}
    for k in (1, 5)[:2 if classes == 2 else 1]:
        said = cross_val_predict(KNeighborsClassifier(k, algorithm="brute"), truth, label, cv=LeaveOneOut())
        accuracy[str(k)] = balanced_accuracy_score(label, said)
    cases.append({
        "truth": truth.tolist(), "shown": shown.tolist(), "class": label.tolist(),
        "trust": {str(k % 10): trustworthiness(truth, shown, n_neighbors=k) for k in (1, 5, 12)},
        "silhouette": silhouette_score(truth, label), "accuracy": accuracy,
    })
print(json.dumps(cases, separators=(",", ":")))
