"""Writes ap_parity.json: average precision of the cases of sklearn_parity.json.

Made with Python 3.11, scikit-learn 1.9.1, numpy 1.26.4. Run in this folder: python ap_parity.py
"""
import json

import numpy as np
from sklearn.metrics import average_precision_score

f = json.load(open("sklearn_parity.json"))
out = {c["name"]: float(average_precision_score(np.array(c["positive"]), np.array(c["scores"])))
       for c in f["images"] + [f["pixels"]]}
json.dump(out, open("ap_parity.json", "w"), indent=1)
