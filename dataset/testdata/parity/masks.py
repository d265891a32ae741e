#!/usr/bin/env python3
"""Writes masks.json: checksums of masks that torchvision resized bilinearly and that were made black and white again.

usage: python3 masks.py  (writes beside itself)
needs: pillow numpy torchvision; the versions used are in the file.

The rules are those of two evaluation programs: RD4AD takes ToTensor of the mask and "> 0.5", SimpleNet casts it to int. A mask is made
of one formula: pixel (x, y) is 255 where (x*x + 3*y*y + 5*x*y) // 64 % 11 < 4, else 0.
"""
import json, os, zlib
import numpy as np, PIL, torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor


def mask(w, h):
    y, x = np.mgrid[0:h, 0:w]
    return Image.fromarray(np.where((x * x + 3 * y * y + 5 * x * y) // 64 % 11 < 4, 255, 0).astype(np.uint8))


out = []
for w, h in [(128, 128), (300, 300), (329, 288), (200, 123), (91, 240), (640, 640)]:
    for shorter, exact, crop in [(0, 256, 0), (0, 224, 0), (329, 0, 288), (256, 0, 224)]:
        steps = [Resize((exact, exact)) if exact else Resize(shorter)] + ([CenterCrop(crop)] if crop else []) + [ToTensor()]
        t = Compose(steps)(mask(w, h)).numpy()[0]
        for least, black_white in ((128, t > 0.5), (255, t.astype(int) == 1)):
            out.append({"in": [w, h], "shorter": shorter, "exact": exact, "crop": crop, "least": least, "size": [t.shape[1], t.shape[0]],
                        "defect": int(black_white.sum()), "crc32": zlib.crc32(np.where(black_white, 255, 0).astype(np.uint8).tobytes())})

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "masks.json"), "w") as f:
    versions = {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__}
    f.write('{\n"versions": ' + json.dumps(versions) + ',\n"masks": [\n' + ",\n".join(json.dumps(r, separators=(",", ":")) for r in out) + "\n]\n}\n")
