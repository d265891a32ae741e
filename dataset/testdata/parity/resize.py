#!/usr/bin/env python3
"""Writes resize.json: checksums of pictures resized by Pillow and cropped by torchvision.

usage: python3 resize.py  (writes beside itself)
needs: pillow numpy torchvision; the versions used are in the file.

A picture is made of one formula, so that only its size and kind are stored:
byte i of the row-major bytes is hash(i), for kind "hard" 0 or 255 by its top bit.
"""
import base64, json, os, zlib
import numpy as np, PIL, torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

FILTERS = {"lanczos": Image.LANCZOS, "bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "nearest": Image.NEAREST}
MODES = {"lanczos": InterpolationMode.LANCZOS, "bicubic": InterpolationMode.BICUBIC,
         "bilinear": InterpolationMode.BILINEAR, "nearest": InterpolationMode.NEAREST}


def picture(w, h, kind):
    n = w * h * (1 if kind == "grey" else 3)
    i = np.arange(n, dtype=np.uint64)
    m = np.uint64(0xFFFFFFFF)
    v = (i * np.uint64(2654435761) + np.uint64(12345)) & m
    v ^= v >> np.uint64(15)
    v = (v * np.uint64(2246822519)) & m
    v ^= v >> np.uint64(13)
    v = (v & np.uint64(255)).astype(np.uint8)
    if kind == "hard":
        v = np.where(v > 127, 255, 0).astype(np.uint8)
    return Image.fromarray(v.reshape((h, w) if kind == "grey" else (h, w, 3)))


def crc(im):
    return zlib.crc32(im.tobytes())


out = {"versions": {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "numpy": np.__version__},
       "resize": [], "small": [], "rowsfirst": [], "crop": []}

SIZES = [((128, 128), (256, 256)), ((128, 128), (224, 224)), ((640, 640), (256, 256)), ((300, 300), (256, 256)),
         ((100, 37), (61, 90)), ((37, 100), (90, 61)), ((256, 256), (256, 256)), ((256, 200), (256, 131)),
         ((200, 256), (131, 256)), ((1, 1), (7, 5)), ((2, 3), (64, 1)), ((500, 11), (3, 2)), ((333, 222), (17, 401)),
         ((255, 257), (254, 258)), ((5, 4), (4, 5)), ((1024, 64), (256, 16))]
for size, to in SIZES:
    for f, p in FILTERS.items():
        for kind in ("noise", "hard", "grey") if size[0] * size[1] < 20000 else ("noise", "grey"):
            im = picture(*size, kind).resize(to, p)
            out["resize"].append({"in": size, "out": to, "filter": f, "kind": kind, "crc32": crc(im)})
# Pillow 13 takes columns first for these; two calls force the order of older versions.
for (w, h), to in [((37, 100), (90, 61)), ((3, 7), (6, 3)), ((259, 703), (256, 694)), ((100, 250), (90, 225))]:
    for f, p in FILTERS.items():
        if f != "nearest":
            im = picture(w, h, "noise").resize((to[0], h), p).resize(to, p)
            out["rowsfirst"].append({"in": (w, h), "out": to, "filter": f, "kind": "noise", "crc32": crc(im)})
for size, to in [((5, 4), (4, 5)), ((3, 7), (6, 3)), ((16, 9), (5, 4))]:
    for f, p in FILTERS.items():
        im = picture(*size, "hard").resize(to, p)
        out["small"].append({"in": size, "out": to, "filter": f, "kind": "hard", "pixels": base64.b64encode(im.tobytes()).decode()})
for size in [(128, 128), (640, 640), (300, 300), (329, 288), (411, 300), (300, 411), (257, 256), (256, 259), (333, 512), (512, 333),
             (700, 259), (259, 703), (1000, 123), (130, 641), (225, 224), (301, 299)]:
    for f, m in MODES.items():
        every = [(256, (224, 224)), (256, (255, 256)), (96, (64, 81)), (0, (101, 99))]
        for shorter, crop in every if f == "lanczos" else every[2:3]:
            im = picture(*size, "noise")
            if shorter:
                im = Resize(shorter, m)(im)
            im = CenterCrop((crop[1], crop[0]))(im)
            out["crop"].append({"in": size, "shorter": shorter, "crop": crop, "filter": f, "crc32": crc(im)})

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "resize.json"), "w") as fh:
    head = json.dumps(out["versions"])
    fh.write('{\n"versions": ' + head)
    for k in ("resize", "small", "rowsfirst", "crop"):
        fh.write(f',\n"{k}": [\n' + ",\n".join(json.dumps(r, separators=(",", ":")) for r in out[k]) + "\n]")
    fh.write("\n}\n")
