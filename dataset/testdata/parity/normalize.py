#!/usr/bin/env python3
"""Writes normalize.json: what torch makes of the bytes 0 to 255 in each channel.

usage: python3 normalize.py  (writes beside itself)
needs: torch torchvision; the versions used are in the file.
"""
import json, os, zlib
import numpy as np, torch, torchvision
from torchvision.transforms import Normalize, ToTensor

HERE = os.path.dirname(os.path.abspath(__file__))
NORMS = {"imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
         "clip": ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])}
v = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)  # one row of 256 grey pixels
out = {"versions": {"torch": torch.__version__, "torchvision": torchvision.__version__}, "cases": []}
for name, (mean, std) in NORMS.items():
    x = Normalize(mean, std)(ToTensor()(v)).permute(1, 2, 0).contiguous().numpy()  # [1, 256, 3]
    plain = ((torch.from_numpy(v).permute(2, 0, 1).float() / 255 - torch.tensor(mean)[:, None, None])
             / torch.tensor(std)[:, None, None]).permute(1, 2, 0).contiguous().numpy()
    assert (x == plain).all()
    bits = x.view(np.uint32)
    out["cases"].append({"norm": name, "crc32": zlib.crc32(x.astype("<f4").tobytes()),
                         "some": [[i, c, int(bits[0, i, c])] for i in (0, 1, 77, 128, 254, 255) for c in range(3)]})
with open(os.path.join(HERE, "normalize.json"), "w") as fh:
    json.dump(out, fh, indent=1)
    fh.write("\n")
