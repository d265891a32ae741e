#!/usr/bin/env python3
"""Writes the small files in decode/ and decode.json with the bytes that each must decode to.

usage: python3 decode.py  (writes beside itself)
needs: pillow numpy opencv-python; the versions used are in the file.

"rgb" holds Pillow's convert("RGB"), but for 16-bit values, which keep their high byte. "over" holds the same over black,
(c*a + 127)//255 per channel, and "grey" convert("L") of that.
"""
import base64, json, os
import cv2, numpy as np, PIL
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
os.makedirs(os.path.join(HERE, "decode"), exist_ok=True)
W, H = 13, 9
rng = np.random.default_rng(7)
rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
grey = rng.integers(0, 256, (H, W), dtype=np.uint8)
alpha = rng.integers(0, 256, (H, W), dtype=np.uint8)
alpha[0] = 255
alpha[1] = 0
grey16 = rng.integers(0, 65536, (H, W), dtype=np.uint16)
rgb16 = rng.integers(0, 65536, (H, W, 3), dtype=np.uint16)
y, x = np.mgrid[0:H, 0:W]
soft = np.stack([40 + 10 * x, 200 - 12 * y, 90 + 5 * x + 3 * y], 2).astype(np.uint8)
files = []


def over(c, a):
    a = a.astype(np.uint32)
    return ((c.astype(np.uint32) * (a[..., None] if c.ndim == 3 else a) + 127) // 255).astype(np.uint8)


def three(g):
    return np.repeat(g[:, :, None], 3, 2)


def add(name, want=None, tol=0, shown=None):
    path = os.path.join(HERE, "decode", name)
    im = Image.open(path)
    if want is None:
        want = np.array(im.convert("RGB"))
    shown = want if shown is None else shown
    g = np.array(Image.fromarray(shown).convert("L"))
    files.append({"file": name, "mode": im.mode, "tol": tol, "rgb": base64.b64encode(want.tobytes()).decode(),
                  "over": base64.b64encode(shown.tobytes()).decode(), "grey": base64.b64encode(g.tobytes()).decode()})


def save(im, name, want=None, tol=0, shown=None, **kw):
    im.save(os.path.join(HERE, "decode", name), **kw)
    add(name, want, tol, shown)


I = Image.fromarray
save(I(rgb), "rgb8.png")
save(I(grey), "grey8.png")
save(I(grey > 127), "grey1.png")
save(I(rgb).quantize(11), "palette.png")
p = I(rgb).quantize(5)
pal = np.array(p.getpalette()[:15]).reshape(5, 3).astype(np.uint8)
idx = np.array(p)
ta = np.array([0, 90, 255, 200, 255], dtype=np.uint8)
save(p, "palette_alpha.png", shown=over(pal[idx], ta[idx]), transparency=bytes(ta))
save(I(np.dstack([rgb, alpha])), "rgba8.png", shown=over(rgb, alpha))
save(I(np.dstack([grey, alpha]), "LA"), "greyalpha8.png", shown=three(over(grey, alpha)))
save(I(grey16), "grey16.png", want=three((grey16 >> 8).astype(np.uint8)))
cv2.imwrite(os.path.join(HERE, "decode", "rgb16.png"), rgb16[:, :, ::-1])
add("rgb16.png", want=(rgb16 >> 8).astype(np.uint8))
save(I(rgb), "rgb.bmp")
save(I(rgb).quantize(11), "palette.bmp")
save(I(grey), "grey.bmp")
for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
    save(I(rgb), f"rgb_{c}.tif", compression=c)
save(I(grey), "grey.tiff", compression="tiff_lzw")
save(I(grey16), "grey16.tif", want=three((grey16 >> 8).astype(np.uint8)))
# The decoders round the cosine transform differently: 1 of 255 in a component, 3 in a colour.
save(I(soft), "full.jpg", tol=3, quality=95, subsampling=0)
save(I(soft[:, :, 0]), "grey.jpeg", tol=2, quality=95)
# Half chroma is interpolated.
save(I(soft), "half.jpg", tol=3, quality=95, subsampling=2)

with open(os.path.join(HERE, "decode.json"), "w") as fh:
    v = {"pillow": PIL.__version__, "numpy": np.__version__, "opencv": cv2.__version__}
    fh.write('{\n"versions": ' + json.dumps(v) + f',\n"width": {W}, "height": {H},\n"files": [\n')
    fh.write(",\n".join(json.dumps(f) for f in files) + "\n]\n}\n")
