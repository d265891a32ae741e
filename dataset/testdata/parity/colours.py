#!/usr/bin/env python3
"""Writes files_colours.gz: small pictures whose colours are stored apart from their brightness, and Pillow's pixels of them.

usage: python3 colours.py  (writes beside itself)
needs: pillow numpy tifffile imagecodecs; the versions used are in the file, whose form is that of files.py.

Colours change from pixel to pixel, so that every rule of upsampling shows: libjpeg-turbo's for JPEG, also in the strips and tiles of TIFF,
libwebp's for WebP. L*a*b* is littleCMS's without its table: Pillow's convert("RGB") interpolates between the 33 values a side of one and is up to 44
of 255 away from littleCMS's own result. "tol" is 3 for JPEG, because the decoders round the cosine transform differently: 1 of 255 in a component at most, which may be 2.8 in
colours, and 0 for WebP, whose transform is exact.
"""
import gzip, io, json, os, struct
import numpy as np, PIL, tifffile, imagecodecs
from PIL import Image, ImageCms, ImageFile, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
ImageFile.MAXBLOCK = 1 << 20  # for noise in progressive files
rng = np.random.default_rng(2)
files, blobs = [], {}


def noise(w, h):
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


def stripes(w, h):
    a = np.empty((h, w, 3), np.uint8)
    a[...] = (30, 200, 90)
    a[h // 4:h // 2, w // 4:w // 2] = (250, 10, 20)
    a[h // 2:, w // 2:] = (20, 20, 255)
    a[::5] = (255, 255, 0)
    a[:, ::7] = (255, 0, 255)
    return a


def add(name, data, want=None, tol=3, why=""):
    if want is None:
        want = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert name not in blobs
    blobs[name], blobs[name + ".rgb"] = bytes(data), np.ascontiguousarray(want, np.uint8).tobytes()
    files.append(dict(file=name, width=want.shape[1], height=want.shape[0], tol=tol, why=why))


def saved(a, fmt, **kw):
    b = io.BytesIO()
    Image.fromarray(a).save(b, fmt, **kw)
    return b.getvalue()


def jpeg(a, sub, **kw):
    return imagecodecs.jpeg8_encode(a, level=90, subsampling=sub, **kw)


for sub in ("444", "422", "420", "440", "411"):
    # Sizes at which the last sample stands for one or for two pixels, and those below which libjpeg repeats samples.
    for w, h in ((19, 11), (10, 8), (5, 3), (4, 4), (2, 9), (1, 1), (9, 1)):
        add(f"noise_{sub}_{w}x{h}.jpg", jpeg(noise(w, h), sub))
    add(f"stripes_{sub}.jpg", jpeg(stripes(21, 13), sub))
for sub in ("4:4:4", "4:2:2", "4:2:0"):
    add(f"progressive_{sub.replace(':', '')}.jpg", saved(stripes(21, 19), "JPEG", quality=90, subsampling=sub, progressive=True))
add("restarts.jpg", saved(stripes(21, 35), "JPEG", quality=90, restart_marker_rows=1))
j = jpeg(stripes(13, 22), "420")
for turn in range(2, 9):
    e = b"Exif\0\0II" + struct.pack("<HIHHHIHHI", 42, 8, 1, 274, 3, 1, turn, 0, 0)
    add(f"turned_{turn}.jpg", j[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(e)) + e + j[2:])
cmyk = np.dstack([noise(19, 11), stripes(19, 11)[..., 0]])
add("ycck_420.jpg", jpeg(cmyk, "420", colorspace="CMYK", outcolorspace="YCCK"))


def bare(data):
    """The file without the markers that say what its components are."""
    for marker in (b"\xff\xee", b"\xff\xe0"):
        at = data.find(marker)
        if at >= 0:
            data = data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]
    return data


def adobe(data, transform):
    """With Adobe's marker: 0 is RGB or inks, which encoders do not let share samples, 1 YCbCr."""
    return data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]) + data[2:]


def named(data):
    """With the components called R, G and B."""
    for marker, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        at = data.find(marker)
        for i, v in enumerate(b"RGB"):
            data = data[:at + first + step * i] + bytes([v]) + data[at + first + step * i + 1:]
    return data


for sub in ("422", "420", "440"):
    add(f"rgb_{sub}.jpg", adobe(bare(jpeg(noise(19, 11), sub)), 0))
add("cmyk_420.jpg", adobe(bare(jpeg(cmyk, "420", colorspace="CMYK", outcolorspace="YCCK")), 0))
j = jpeg(noise(19, 11), "420")
add("bare.jpg", bare(j))
add("named.jpg", named(bare(j)))
add("named_jfif.jpg", named(j))
add("named_adobe.jpg", adobe(named(bare(j)), 1))
# Strips and tiles are pictures of their own: colours are not mixed beyond their rims.
add("strips.tif", saved(stripes(21, 35), "TIFF", compression="jpeg", quality=90, tiffinfo={278: 16}))
for sub in ((1, 1), (2, 1), (2, 2)):
    b = io.BytesIO()
    tifffile.imwrite(b, stripes(25, 19), metadata=None, software=False, tile=(16, 16), photometric="ycbcr", subsampling=sub, compression="jpeg", compressionargs={"level": 90})
    add(f"tiles_{sub[0]}{sub[1]}.tif", b.getvalue())
for w, h in ((19, 11), (10, 8), (5, 3), (4, 4), (2, 9), (1, 1), (9, 1), (1, 6)):
    add(f"noise_{w}x{h}.webp", saved(noise(w, h), "WEBP", quality=95), tol=0)
add("stripes.webp", saved(stripes(21, 13), "WEBP", quality=90), tol=0)
add("black_and_white.webp", saved(np.repeat(np.repeat(np.array([[0, 255]], np.uint8), 17, 0), 9, 1)[..., None].repeat(3, 2), "WEBP", quality=90), tol=0)
add("stripes_alpha.webp", saved(np.dstack([stripes(21, 13), noise(21, 13)[..., 0] | 1]), "WEBP", quality=90), tol=0)
b = io.BytesIO()
tifffile.imwrite(b, noise(19, 11), metadata=None, software=False, photometric="cielab")
exact = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
add("lab_noise.tif", b.getvalue(), np.array(exact.apply(Image.open(io.BytesIO(b.getvalue())))), tol=1, why="littleCMS without a table")

versions = {"pillow": PIL.__version__, "numpy": np.__version__, "tifffile": tifffile.__version__, "imagecodecs": imagecodecs.__version__}
where, body = {}, b""
for f in files:
    for key, data in (("at", blobs[f["file"]]), ("rgb", blobs[f["file"] + ".rgb"])):
        if data not in where:
            where[data] = len(body)
            body += data
        f[key] = [where[data], len(data)]
path = os.path.join(HERE, "files_colours.gz")
with open(path, "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as z:
    z.write(json.dumps({"versions": versions, "files": files}).encode() + b"\n" + body)
print(len(files), "files,", os.path.getsize(path), "bytes")
