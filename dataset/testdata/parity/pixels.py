#!/usr/bin/env python3
"""Writes the small files in pixels/ and pixels.json with the bytes that each must decode to.

usage: python3 pixels.py  (writes beside itself)
needs: pillow numpy; the versions used are in the file.

Orientation: a picture of 13x9 stored under each of the eight EXIF values, as PNG (grey), JPEG (colour, quality 100, no chroma
subsampling) and TIFF (colour); wanted is ImageOps.exif_transpose. CMYK: a JPEG of constant blocks, wanted is Pillow's convert("RGB").
Depth: a grey PNG of 16 bits whose values use 12; wanted is value >> 4, and 255 above.
"""
import base64, json, os
import numpy as np, PIL
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
os.makedirs(os.path.join(HERE, "pixels"), exist_ok=True)
W, H = 13, 9
rng = np.random.default_rng(11)
grey = rng.integers(0, 256, (H, W), dtype=np.uint8)
y, x = np.mgrid[0:H, 0:W]
soft = np.stack([40 + 10 * x, 200 - 12 * y, 90 + 5 * x + 3 * y], 2).astype(np.uint8)
files = []


def add(name, want, tol=0, bits=16):
    files.append({"file": name, "width": want.shape[1], "height": want.shape[0], "tol": tol, "bits": bits,
                  "rgb": base64.b64encode(want.tobytes()).decode()})


for o in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = o
    for name, im, kw, tol in ((f"orient{o}.png", Image.fromarray(grey), {"exif": exif}, 0),
                              (f"orient{o}.jpg", Image.fromarray(soft), {"exif": exif, "quality": 100, "subsampling": 0}, 3),
                              (f"orient{o}.tif", Image.fromarray(soft), {"tiffinfo": {0x0112: o}}, 0)):
        path = os.path.join(HERE, "pixels", name)
        im.save(path, **kw)
        add(name, np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB")), tol)

cmyk = np.zeros((16, 16, 4), np.uint8)
cmyk[:8, :8], cmyk[:8, 8:], cmyk[8:, :8], cmyk[8:, 8:] = (255, 0, 0, 0), (0, 200, 30, 10), (10, 20, 30, 200), (0, 0, 0, 0)
path = os.path.join(HERE, "pixels", "cmyk.jpg")
Image.fromarray(cmyk, "CMYK").save(path, quality=100, subsampling=0)
add("cmyk.jpg", np.array(Image.open(path).convert("RGB")), 3)

deep = rng.integers(0, 4096, (H, W), dtype=np.uint16)
deep[0, :3] = (4096, 5000, 65535)
Image.fromarray(deep).save(os.path.join(HERE, "pixels", "twelve.png"))
v = np.minimum(deep >> 4, 255).astype(np.uint8)
add("twelve.png", np.repeat(v[:, :, None], 3, 2), 0, 12)

with open(os.path.join(HERE, "pixels.json"), "w") as f:
    json.dump({"versions": {"pillow": PIL.__version__, "numpy": np.__version__}, "files": files}, f, indent=0)
