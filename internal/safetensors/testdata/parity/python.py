"""Writes python.bin (a file by the safetensors package) and python.json (what it holds).

Made with Python 3.11, safetensors 0.8.0, torch 2.1.2. Run in this folder: python python.py
"""
import json

import torch
from safetensors.torch import save_file

pattern = torch.arange(24, dtype=torch.float64)
special = [0.0, -0.0, 1.0, -2.5, float("inf"), float("-inf"), 65504.0, 2.0**-14, 2.0**-24, -3 * 2.0**-24, 1 / 3]
tensors = {
    "layer1.0.conv1.weight": (pattern * 0.25 - 3).to(torch.float32).reshape(2, 3, 4),
    "double": (pattern / 7).reshape(4, 6),
    "half": torch.tensor(special, dtype=torch.float16),
    "brain": torch.tensor(special + [1e-40, 3e38], dtype=torch.bfloat16),
    "steps": torch.tensor(2**53 + 1, dtype=torch.int64),
    "i32": torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
    "i16": torch.tensor([[-(2**15)], [2**15 - 1]], dtype=torch.int16),
    "i8": torch.tensor([-128, 127, 3], dtype=torch.int8),
    "u8": torch.tensor([0, 255, 7], dtype=torch.uint8),
    "flag": torch.tensor([True, False, True]),
    "empty": torch.zeros((0, 5), dtype=torch.float32),
    "name with \"quotes\" and ü": torch.tensor([4.5], dtype=torch.float32),
}
metadata = {"format": "pt", "note": "line\nbreak, <tag> & ü"}
save_file(tensors, "python.bin", metadata=metadata)

want = {"metadata": metadata, "tensors": {}}
for name, t in tensors.items():
    entry = {"shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch."),
             "hex": t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex() if t.dtype != torch.bool
             else bytes(int(v) for v in t.tolist()).hex()}
    if t.is_floating_point():
        # As strings: JSON has no infinity, and every float32 survives Python's repr.
        entry["float32"] = [repr(v) for v in t.to(torch.float32).reshape(-1).tolist()]
    want["tensors"][name] = entry
json.dump(want, open("python.json", "w"), indent=1)
