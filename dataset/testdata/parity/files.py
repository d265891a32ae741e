#!/usr/bin/env python3
"""Writes files_tiff.gz and files_others.gz: small pictures of every kind that the decoder reads, and the pixels that each must decode to.

usage: python3 files.py  (writes beside itself)
needs: pillow numpy tifffile imagecodecs; the versions used are in the file.

Wanted is Pillow's convert("RGB") of the file (which reads TIFF through libtiff), but where "why" says otherwise:
  depth     16-bit values keep their high byte, and fewer bits, floats and long integers are stretched to full scale; Pillow clips at 255
  mended    Pillow refuses the file; wanted are the pixels of the sound one
  stated    the value by the specification of the format
"tol" is how far a byte may be away: where JPEG, chroma or L*a*b* are rounded differently.
"""
import gzip, io, json, os, struct, zlib
import numpy as np, PIL, tifffile, imagecodecs
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 13, 9
rng = np.random.default_rng(12)
rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
grey = rng.integers(0, 256, (H, W), dtype=np.uint8)
alpha = rng.integers(1, 256, (H, W), dtype=np.uint8)
yy, xx = np.mgrid[0:H, 0:W]
soft = np.stack([40 + 10 * xx, 200 - 12 * yy, 90 + 5 * xx + 3 * yy], 2).astype(np.uint8)
files, blobs = [], {}


def three(g):
    return np.repeat(np.asarray(g, np.uint8)[:, :, None], 3, 2)


def add(name, data, want=None, tol=0, why="", **more):
    data = bytes(data)
    if want is None:
        im = Image.open(io.BytesIO(data))
        want = np.array(ImageOps.exif_transpose(im).convert("RGB"))
    want = np.ascontiguousarray(want, np.uint8)
    assert name not in blobs
    blobs[name] = data
    blobs[name + ".rgb"] = want.tobytes()
    files.append(dict(file=name, width=want.shape[1], height=want.shape[0], tol=tol, why=why, **more))


def saved(im, fmt, **kw):
    b = io.BytesIO()
    im.save(b, fmt, **kw)
    return b.getvalue()


# ---- TIFF, put together by hand: tags are {tag: (type, [values])}.
SIZE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
CODE = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}


def tiff(tags, chunks, order="<", big=False, counts=True, tile=False, shuffle=False, twice=()):
    """A file with one directory behind its pixels."""
    tags = dict(tags)
    head = 16 if big else 8
    offs, at = [], head
    for c in chunks:
        offs.append(at)
        at += len(c) + len(c) % 2
    o, n = (324, 325) if tile else (273, 279)
    tags[o] = (16 if big else 4, offs)
    if counts:
        tags[n] = (4, [len(c) for c in chunks])
    entries = [(t, *tags[t]) for t in sorted(tags)]
    for t in twice:
        k = [e[0] for e in entries].index(t)
        entries.insert(k, entries[k])
    if shuffle:
        entries = entries[::-1]
    inline = 8 if big else 4
    esize = 20 if big else 12
    ifd = at
    extra_at = ifd + (8 if big else 2) + esize * len(entries) + inline
    extra, out = b"", b""
    for t, kind, vals in entries:
        raw = struct.pack(order + CODE[kind] * len(vals), *vals)
        out += struct.pack(order + ("HHQ" if big else "HHI"), t, kind, len(vals))
        if len(raw) <= inline:
            out += raw.ljust(inline, b"\0")
        else:
            out += struct.pack(order + ("Q" if big else "I"), extra_at + len(extra))
            extra += raw + b"\0" * (len(raw) % 2)
    mark = b"II" if order == "<" else b"MM"
    first = struct.pack(order + "HHHQ", 43, 8, 0, ifd) if big else struct.pack(order + "HI", 42, ifd)
    body = b"".join(c + b"\0" * (len(c) % 2) for c in chunks)
    return mark + first + body + struct.pack(order + ("Q" if big else "H"), len(entries)) + out + b"\0" * inline + extra


def base(w, h, bits, photo, comp=1, spp=1, rows=None, **more):
    t = {256: (4, [w]), 257: (4, [h]), 258: (3, [bits] * spp), 259: (3, [comp]), 262: (3, [photo]), 277: (3, [spp]), 278: (4, [rows or h])}
    t.update({int(k[1:]): v for k, v in more.items()})
    return t


def strip_of(im, comp, t4=None):
    """The one strip that libtiff writes."""
    kw = {"tiffinfo": {292: t4}} if t4 is not None else {}
    data = saved(im, "TIFF", compression=comp, **kw)
    t = Image.open(io.BytesIO(data)).tag_v2
    assert len(t[273]) == 1, (comp, t[273])
    return data[t[273][0]:t[273][0] + t[279][0]]


def rev(b):
    return bytes(int(f"{v:08b}"[::-1], 2) for v in b)


# Bilevel: every compression, photometric interpretation and order of bits. Rows of long, short and no runs.
BW, BH = 203, 9
bits = np.zeros((BH, BW), bool)
for y in range(1, BH):
    x, v = 0, y % 2 == 0
    while x < BW:
        n = int(rng.choice([1, 2, 3, 5, 9, 17, 33, 62, 64, 65, 90, 130]))
        bits[y, x:x + n] = v
        x, v = x + n, not v
bits[4] = bits[3]
bits[5, 1:] = bits[4, :-1]
bi = Image.fromarray(bits)
for name, comp, num, t4 in (("raw", "raw", 1, None), ("rle", "tiff_ccitt", 2, None), ("g3", "group3", 3, 0), ("g3fill", "group3", 3, 4),
                            ("g32d", "group3", 3, 1), ("g32dfill", "group3", 3, 5), ("g4", "group4", 4, None), ("lzw", "tiff_lzw", 5, None),
                            ("zip", "tiff_adobe_deflate", 8, None), ("packbits", "packbits", 32773, None)):
    s = strip_of(bi, comp, t4)
    for photo in (0, 1):
        for fill in (1, 2):
            more = {"t292": (4, [t4])} if t4 is not None else {}
            add(f"bi_{name}_{photo}_{fill}.tif", tiff(base(BW, BH, 1, photo, num, t266=(3, [fill]), **more), [s if fill == 1 else rev(s)]))
wide = np.zeros((3, 6000), bool)
wide[1, 2700:5900] = True
wide[2, 10:5990] = True
for name, comp, num in (("g3", "group3", 3), ("g4", "group4", 4), ("rle", "tiff_ccitt", 2)):
    add(f"wide_{name}.tif", tiff(base(6000, 3, 1, 0, num), [strip_of(Image.fromarray(wide), comp)]))
# Two strips, each with a reference row of its own.
for name, comp, num, t4 in (("g4", "group4", 4, 0), ("g32d", "group3", 3, 1)):
    halves = [strip_of(bi.crop((0, 0, BW, 5)), comp, t4), strip_of(bi.crop((0, 5, BW, BH)), comp, t4)]
    add(f"strips_{name}.tif", tiff(base(BW, BH, 1, 0, num, rows=5, t292=(4, [t4])), halves))


def packed(a, n):
    """Rows of n bits a sample, filled to bytes."""
    out = b""
    for row in a.reshape(a.shape[0], -1):
        s = "".join(f"{int(v):0{n}b}" for v in row)
        s += "0" * (-len(s) % 8)
        out += bytes(int(s[i:i + 8], 2) for i in range(0, len(s), 8))
    return out


for n in (2, 4):
    v = grey >> (8 - n)
    full = v.astype(int) * 255 // (2**n - 1)
    for photo in (0, 1):
        add(f"grey{n}_{photo}.tif", tiff(base(W, H, n, photo), [packed(v, n)]), three(full if photo else 255 - full))
for n in (10, 12, 14):
    v = rng.integers(0, 2**n, (H, W))
    for photo in (0, 1):
        w = v >> (n - 8)
        add(f"grey{n}_{photo}.tif", tiff(base(W, H, n, photo), [packed(v, n)]), three(w if photo else 255 - w), why="depth")
v = rng.integers(0, 4096, (H, W, 3))
add("rgb12.tif", tiff(base(W, H, 12, 2, spp=3), [packed(v, 12)]), (v >> 4).astype(np.uint8), why="depth")
g16 = rng.integers(0, 65536, (H, W)).astype("<u2")
for order, mark in (("<", "le"), (">", "be")):
    for photo in (0, 1):
        w = (g16 if photo else 65535 - g16) >> 8
        add(f"grey16_{mark}_{photo}.tif", tiff(base(W, H, 16, photo), [g16.astype(order + "u2").tobytes()], order), three(w), why="depth")
    add(f"rgb_{mark}.tif", tiff(base(W, H, 8, 2, spp=3), [rgb.tobytes()], order))
    add(f"big_{mark}.tif", tiff(base(W, H, 8, 2, spp=3, rows=4), [rgb[:4].tobytes(), rgb[4:8].tobytes(), rgb[8:].tobytes()], order, big=True), rgb, why="stated")  # Pillow reads BigTIFF in one byte order only
    for kind, white in (("i2", 0), ("i4", 0), ("u4", 1000), ("f2", 0), ("f4", 0), ("f8", 2.5)):
        if kind == "i2":
            a = rng.integers(-32768, 32768, (H, W))
            w = np.maximum(a, 0) >> 8
        elif kind == "i4":
            a = rng.integers(-300, 256, (H, W))
            w = np.maximum(a, 0)
        elif kind == "u4":
            a = rng.integers(0, 1200, (H, W))
            w = np.round(np.minimum(a / 1000, 1) * 65535).astype(int) >> 8
        else:
            a = (rng.integers(-20, 256, (H, W)) / 255 * (white or 1)).astype(kind)
            w = np.round(np.clip(a.astype(float) / (white or 1), 0, 1) * 65535).astype(int) >> 8
        fmt = {"i": 2, "u": 1, "f": 3}[kind[0]]
        add(f"{kind}_{mark}.tif", tiff(base(W, H, 8 * int(kind[1]), 1, t339=(3, [fmt])), [a.astype(order + kind).tobytes()], order), three(w), why="depth", white=white)
add("unsorted.tif", tiff(base(W, H, 8, 2, spp=3), [rgb.tobytes()], shuffle=True))
add("twice.tif", tiff(base(W, H, 8, 2, spp=3), [rgb.tobytes()], twice=(256, 258, 262)))
add("nocounts.tif", tiff(base(W, H, 8, 1), [grey.tobytes()], counts=False), three(grey), why="stated")
add("white8.tif", tiff(base(W, H, 8, 0), [grey.tobytes()]))
add("turned_long.tif", tiff(base(W, H, 8, 1, t274=(4, [6])), [grey.tobytes()]))
add("turned_be.tif", tiff(base(W, H, 8, 1, t274=(3, [8])), [grey.tobytes()], ">"))
add("turned_long_be.tif", tiff(base(W, H, 8, 1, t274=(4, [5])), [grey.tobytes()], ">"))
add("turned_big.tif", tiff(base(W, H, 8, 1, t274=(3, [7])), [grey.tobytes()], big=True))
idx = rng.integers(0, 16, (H, W))
cm = rng.integers(0, 65536, 48)
add("palette4.tif", tiff(base(W, H, 4, 3, t320=(3, cm.tolist())), [packed(idx, 4)]))
pal8 = (np.stack([cm[:16], cm[16:32], cm[32:]], 1) >> 8).astype(np.uint8)
add("palette_of_8_bits.tif", tiff(base(W, H, 4, 3, t320=(3, (cm >> 8).tolist())), [packed(idx, 4)]), pal8[idx], why="stated")
# Alpha and other samples beyond the colours.
rgba = np.dstack([rgb, alpha])
add("rgba.tif", tiff(base(W, H, 8, 2, spp=4, t338=(3, [2])), [rgba.tobytes()]))
pre = np.dstack([(rgb.astype(int) * alpha[..., None] // 255).astype(np.uint8), alpha])
add("rgba_associated.tif", tiff(base(W, H, 8, 2, spp=4, t338=(3, [1])), [pre.tobytes()]))
add("rgbx.tif", tiff(base(W, H, 8, 2, spp=4, t338=(3, [0])), [rgba.tobytes()]))
add("rgbxx.tif", tiff(base(W, H, 8, 2, spp=5, t338=(3, [0, 0])), [np.dstack([rgba, grey]).tobytes()]))
add("la.tif", tiff(base(W, H, 8, 1, spp=2, t338=(3, [2])), [np.dstack([grey, alpha]).tobytes()]), three(grey))
rgba16 = rng.integers(0, 65536, (H, W, 4)).astype("<u2")
add("rgba16.tif", tiff(base(W, H, 16, 2, spp=4, t338=(3, [2])), [rgba16.tobytes()]))
# CMYK, L*a*b*, YCbCr.
cmyk = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
add("cmyk.tif", tiff(base(W, H, 8, 5, spp=4), [cmyk.tobytes()]))
add("cmyk_planar.tif", tiff(base(W, H, 8, 5, spp=4, t284=(3, [2])), [cmyk[..., c].tobytes() for c in range(4)]))
lab = np.stack([100 + 10 * xx, 2 * yy - 10, 2 * xx - 15], 2).astype(np.int8).view(np.uint8)
add("lab.tif", tiff(base(W, H, 8, 8, spp=3), [lab.tobytes()]), tol=3)
ycc = np.array(Image.fromarray(rgb).convert("YCbCr"))
add("ycc.tif", tiff(base(W, H, 8, 6, spp=3, t530=(3, [1, 1])), [ycc.tobytes()]), tol=1)
sub = b""
sycc = np.array(Image.fromarray(soft).convert("YCbCr"))
for y in range(0, H, 2):
    for x in range(0, W, 2):
        for dy in (0, 1):
            for dx in (0, 1):
                sub += bytes([sycc[min(y + dy, H - 1), min(x + dx, W - 1), 0]])
        sub += sycc[y, x, 1:].tobytes()
up = np.dstack([sycc[..., 0], np.repeat(np.repeat(sycc[::2, ::2, 1:], 2, 0), 2, 1)[:H, :W]])
add("ycc_sub.tif", tiff(base(W, H, 8, 6, spp=3, t530=(3, [2, 2])), [sub]), np.array(Image.fromarray(up, "YCbCr").convert("RGB")), tol=1, why="stated")
# Planes, tiles, predictors, zstd, JPEG.


def tf(name, a, want=None, tol=0, why="", **kw):
    b = io.BytesIO()
    tifffile.imwrite(b, a, metadata=None, software=False, **kw)
    add(name, b.getvalue(), want, tol, why)


for comp in (None, "deflate", "lzw", "packbits"):
    tf(f"planar_{comp}.tif", np.moveaxis(rgb, 2, 0), rgb, planarconfig="separate", photometric="rgb", compression=comp)
tf("planar_rgba.tif", np.moveaxis(rgba, 2, 0), rgb, planarconfig="separate", photometric="rgb", extrasamples=["unassalpha"])
tall = rng.integers(0, 256, (40, 37, 3), dtype=np.uint8)
tf("tiles.tif", tall, tile=(16, 16), photometric="rgb")
tf("tiles_pred.tif", tall, tile=(16, 32), photometric="rgb", compression="deflate", predictor=2)
tf("tiles_planar.tif", np.moveaxis(tall, 2, 0), tall, tile=(16, 16), planarconfig="separate", photometric="rgb", compression="lzw")
for comp in ("deflate", "lzw", "zstd"):
    tf(f"pred8_{comp}.tif", rgb, rgb, photometric="rgb", compression=comp, predictor=2)
    tf(f"pred16_{comp}.tif", g16, three(g16 >> 8), why="depth", photometric="minisblack", compression=comp, predictor=2)
    tf(f"pred16be_{comp}.tif", g16, three(g16 >> 8), why="depth", photometric="minisblack", compression=comp, predictor=2, byteorder=">")
f4 = rng.random((H, W)).astype("f4")
for order, mark in (("<", "le"), (">", "be")):
    for kind in ("f2", "f4", "f8"):
        a = f4.astype(kind)
        w = np.round(a.astype(float) * 65535).astype(int) >> 8
        tf(f"pred_{kind}_{mark}.tif", a, three(w), why="depth", photometric="minisblack", compression="deflate", predictor=3, byteorder=order)
add("pred32.tif", tiff(base(W, H, 32, 1, comp=8, t317=(3, [2])), [zlib.compress(np.diff(grey.astype("<u4"), axis=1, prepend=0).astype("<u4").tobytes())]), three(grey), why="depth")
add("jpeg_rgb.tif", saved(Image.fromarray(soft), "TIFF", compression="jpeg", quality=95), tol=3)
add("jpeg_grey.tif", saved(Image.fromarray(soft[..., 0]), "TIFF", compression="jpeg", quality=95), tol=2)
tf("jpeg_ycc_tiles.tif", np.repeat(np.repeat(soft, 3, 0), 2, 1), tol=3, tile=(16, 16), photometric="rgb", compression="jpeg", compressionargs={"level": 95})
add("jpeg_cmyk.tif", saved(Image.fromarray(np.dstack([soft, soft[..., 0]]), "CMYK"), "TIFF", compression="jpeg", quality=100), tol=4)
b = io.BytesIO()
tifffile.imwrite(b, np.stack([grey, 255 - grey]), metadata=None, software=False, photometric="minisblack")
add("pages.tif", b.getvalue(), three(grey), pages=2)
# ---- BMP
bgr = np.ascontiguousarray(rgb[::-1, :, ::-1])
pad = lambda rows: b"".join(bytes(r) + b"\0" * (-len(bytes(r)) % 4) for r in rows)
lines = lambda a: [r.tobytes() for r in a]


def bmp(name, info, pix, gap=b"", extra=b"", offset=None, **kw):
    off = 14 + len(info) + len(extra) + len(gap)
    add(name, b"BM" + struct.pack("<IHHI", off + len(pix), 0, 0, off if offset is None else offset) + info + extra + gap + pix, **kw)


def ih(bpp, comp=0, used=0, hl=40, h=H, w=W):
    return struct.pack("<IiiHHIIiiII", hl, w, h, 1, bpp, comp, 0, 2835, 2835, used, 0)


def long_ih(hl, bpp, comp, masks):
    return (ih(bpp, comp, hl=hl) + struct.pack("<" + "I" * len(masks), *masks)).ljust(hl, b"\0")


M8 = [0xff0000, 0xff00, 0xff]
A8 = 0xff000000
x0 = np.dstack([bgr, np.zeros((H, W), np.uint8)]).tobytes()
x9 = np.dstack([bgr, alpha]).tobytes()
bmp("core.bmp", struct.pack("<IHHHH", 12, W, H, 1, 24), pad(lines(bgr)))
g4 = grey >> 4
pal16 = rng.integers(0, 256, (16, 3), dtype=np.uint8)
four = lambda p: b"".join(bytes(c[::-1]) + b"\0" for c in p)
bmp("core4.bmp", struct.pack("<IHHHH", 12, W, H, 1, 4), pad([packed(r[None], 4) for r in g4[::-1]]), extra=b"".join(bytes(c[::-1]) for c in pal16))
bmp("os2.bmp", ih(24, hl=64).ljust(64, b"\0"), pad(lines(bgr)))
bmp("gap.bmp", ih(24), pad(lines(bgr)), gap=bytes(101))
bmp("nopad.bmp", ih(24), pad(lines(bgr))[:-1], want=rgb)
bmp("topdown.bmp", ih(24, h=-H), pad(lines(bgr[::-1])))
bmp("used_beyond.bmp", ih(24, used=256), pad(lines(bgr)), extra=bytes(1024))
bmp("bgrx.bmp", ih(32), x9)
bmp("masks40.bmp", ih(32, 3), x0, extra=struct.pack("<III", *M8))
for hl in (52, 56, 108, 124):
    bmp(f"masks{hl}.bmp", long_ih(hl, 32, 3, M8 + ([0] if hl > 52 else [])), x0)
for hl in (56, 108, 124):
    bmp(f"alpha{hl}.bmp", long_ih(hl, 32, 3, M8 + [A8]), x9)
    bmp(f"alpha0_{hl}.bmp", long_ih(hl, 32, 3, M8 + [A8]), x0)
for hl in (108, 124):
    bmp(f"rgb{hl}.bmp", long_ih(hl, 32, 0, []), x0)
f = rgb[::-1].astype("u2")
p555 = (f[..., 0] >> 3 << 10 | f[..., 1] >> 3 << 5 | f[..., 2] >> 3).astype("<u2")
p565 = (f[..., 0] >> 3 << 11 | f[..., 1] >> 2 << 5 | f[..., 2] >> 3).astype("<u2")
bmp("555.bmp", ih(16), pad(lines(p555)))
bmp("555masks.bmp", ih(16, 3), pad(lines(p555)), extra=struct.pack("<III", 0x7c00, 0x3e0, 0x1f))
bmp("565.bmp", ih(16, 3), pad(lines(p565)), extra=struct.pack("<III", 0xf800, 0x7e0, 0x1f))
bmp("565v4.bmp", long_ih(108, 16, 3, [0xf800, 0x7e0, 0x1f, 0]), pad(lines(p565)))
i8 = (grey[::-1] >> 4).astype(np.uint8)
bmp("short_palette.bmp", ih(8), pad(lines(i8)), extra=four(pal16))
bmp("short_palette_used.bmp", ih(8, used=16), pad(lines(i8)), extra=four(pal16))
bmp("palette_gap.bmp", ih(8, used=16), pad(lines(i8)), extra=four(pal16), gap=b"\0\0")
bmp("bit1.bmp", ih(1), pad([packed((r > 127)[None], 1) for r in grey[::-1]]), extra=four(pal16[:2]))
rle8 = b""
for r in i8:
    rle8 += bytes((3, r[0])) + bytes((0, 5)) + r[3:8].tobytes() + b"\0" + b"".join(bytes((1, v)) for v in r[8:]) + b"\0\0"
w8 = i8.copy()
w8[:, :3] = w8[:, :1]
bmp("rle8.bmp", ih(8, 1, used=16), rle8 + b"\0\1", extra=four(pal16))
bmp("rle8_no_end.bmp", ih(8, 1, used=16), rle8, extra=four(pal16), want=pal16[w8[::-1]], why="stated")
rle4, w4 = b"", np.zeros((H, W), int)
for y, r in enumerate(i8):
    rle4 += bytes((5, r[0] << 4 | r[1])) + bytes((0, 4, r[5] << 4 | r[6], r[7] << 4 | r[8])) + bytes((0, 2, 2, 0)) + bytes((2, r[11] << 4 | r[12])) + b"\0\0"
    w4[y] = [r[0], r[1], r[0], r[1], r[0], *r[5:9], 0, 0, r[11], r[12]]
bmp("rle4.bmp", ih(4, 2, used=16), rle4 + b"\0\1", extra=four(pal16), want=pal16[w4[::-1]], why="stated")
# ---- PNG
raw = saved(Image.fromarray(rgb), "PNG")


def chunks(b):
    i, out = 8, []
    while i < len(b):
        n = struct.unpack(">I", b[i:i + 4])[0]
        out.append((b[i + 4:i + 8], b[i + 8:i + 8 + n]))
        i += 12 + n
    return out


def ch(t, d, bad=0):
    return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d) ^ bad)


png = lambda cs: b"\x89PNG\r\n\x1a\n" + b"".join(ch(*c) for c in cs)
C = chunks(raw)
IH, IE = C[0], (b"IEND", b"")
idat = b"".join(d for t, d in C if t == b"IDAT")
px = zlib.decompress(idat)
m = dict(want=rgb, why="mended")
add("crc_time.png", png([IH, (b"tIME", bytes((7, 230, 1, 1, 1, 1, 1)), 1)] + C[1:]), **m)
add("crc_icc.png", png([IH, (b"iCCP", b"icc\0\0" + zlib.compress(b"x" * 100), 1)] + C[1:]), **m)
add("crc_pixels.png", png([(t, d, t == b"IDAT") for t, d in C]), **m)
add("surplus_row.png", png([IH, (b"IDAT", zlib.compress(px + px[:W * 3 + 1])), IE]), **m)
add("surplus_file.png", raw + b"junk" * 9, **m)
add("no_end.png", png([c for c in C if c[0] != b"IEND"]), **m)
add("cut_end.png", raw[:-13], **m)
add("adler.png", png([IH, (b"IDAT", idat[:-4] + b"abcd"), IE]), **m)
q = Image.fromarray(rgb).quantize(16)
Q = chunks(saved(q, "PNG", transparency=0))
k = dict(Q)
add("trns_first.png", png([Q[0], (b"tRNS", k[b"tRNS"]), (b"PLTE", k[b"PLTE"])] + [c for c in Q if c[0] == b"IDAT"] + [IE]))
add("text_in_pixels.png", png([IH, (b"IDAT", idat[:9]), (b"tEXt", b"a\0b", 1), (b"IDAT", idat[9:]), IE]), **m)
# Interlaced by hand: seven pictures in one stream.
seven = b""
for ox, oy, sx, sy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
    for r in grey[oy::sy, ox::sx]:
        seven += b"\0" + r.tobytes() if len(r) else b""
IH7 = (b"IHDR", struct.pack(">IIBBBBB", W, H, 8, 0, 0, 0, 1))
add("adam7.png", png([IH7, (b"IDAT", zlib.compress(seven)), IE]))
add("adam7_surplus.png", png([IH7, (b"IDAT", zlib.compress(seven + b"more")), IE]), want=three(grey), why="mended")
add("rgba.png", saved(Image.fromarray(rgba), "PNG"))
add("la.png", saved(Image.fromarray(np.dstack([grey, alpha])), "PNG"))
add("rgb_trns.png", saved(Image.fromarray(rgb), "PNG", transparency=tuple(int(v) for v in rgb[2, 3])))
add("grey_trns.png", saved(Image.fromarray(grey), "PNG", transparency=int(grey[2, 3])))


def exif(o, order="<", kind=3):
    """An EXIF block with the orientation alone."""
    v = struct.pack(order + ("HH" if kind == 3 else "I"), *((o, 0) if kind == 3 else (o,)))
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1) + struct.pack(order + "HHI", 274, kind, 1) + v + bytes(4)


gp = chunks(saved(Image.fromarray(grey), "PNG"))
for order, mark in (("<", "le"), (">", "be")):
    for kind, knd in ((3, "short"), (4, "long")):
        e = exif(6, order, kind)
        want = three(np.rot90(grey, -1))
        add(f"exif_{knd}_{mark}.png", png([gp[0], (b"eXIf", e)] + gp[1:]), want=want)
        j = saved(Image.fromarray(soft), "JPEG", quality=100, subsampling=0)
        add(f"exif_{knd}_{mark}.jpg", j[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(e)) + b"Exif\0\0" + e + j[2:], want=np.rot90(np.array(Image.open(io.BytesIO(j)).convert("RGB")), -1), tol=3)
        add(f"exif_{knd}_{mark}.webp", saved(Image.fromarray(rgb), "WEBP", lossless=True, exif=b"Exif\0\0" + e), want=np.rot90(rgb, -1))
# ---- JPEG
cm4 = np.dstack([soft, soft[..., 0]])
j = saved(Image.fromarray(cm4, "CMYK"), "JPEG", quality=100, subsampling=0)
a = j.find(b"\xff\xee")
add("cmyk_marker.jpg", j, tol=3)
add("cmyk_no_marker.jpg", j[:a] + j[a + 2 + struct.unpack(">H", j[a + 2:a + 4])[0]:], tol=4)
j = saved(Image.fromarray(soft), "JPEG", quality=95, subsampling=0)
sound = np.array(Image.open(io.BytesIO(j)).convert("RGB"))
add("no_end.jpg", j[:-2], want=sound, why="mended", tol=3)
add("half_end.jpg", j[:-1], want=sound, why="mended", tol=3)
add("surplus.jpg", j + b"junk" * 50, tol=3)
add("fill.jpg", j[:2] + b"\xff\xff\xff" + j[3:], tol=3)
add("progressive.jpg", saved(Image.fromarray(soft), "JPEG", quality=95, subsampling=0, progressive=True), tol=3)
add("rgb.jpg", saved(Image.fromarray(soft), "JPEG", quality=95, subsampling=0, keep_rgb=True), tol=3)
# ---- WebP, GIF, PNM
add("lossless.webp", saved(Image.fromarray(rgb), "WEBP", lossless=True))
add("alpha.webp", saved(Image.fromarray(rgba), "WEBP", lossless=True, exact=True))
add("lossy.webp", saved(Image.fromarray(soft), "WEBP", quality=95), tol=0)
add("lossy_alpha.webp", saved(Image.fromarray(np.dstack([soft, alpha])), "WEBP", quality=95, exact=True), tol=0)
add("palette.gif", saved(q, "GIF"))
add("transparent.gif", saved(q, "GIF", transparency=3))
add("frames.gif", saved(q, "GIF", save_all=True, append_images=[q.transpose(Image.Transpose.FLIP_LEFT_RIGHT)], duration=9), pages=2)
add("grey.pgm", saved(Image.fromarray(grey), "PPM"))
add("rgb.ppm", saved(Image.fromarray(rgb), "PPM"))
add("bit.pbm", saved(Image.fromarray(grey > 127), "PPM"))
add("plain.pbm", b"P1\n# a comment\n13 9\n" + b"\n".join(b"".join(b"1" if v else b"0" for v in r) for r in grey > 127))
add("plain.pgm", b"P2 13 9 31\n" + b" ".join(b"%d" % v for v in (grey >> 3).flat))
add("plain.ppm", b"P3\n13\t9\n255\n" + b"\n".join(b"%d %d %d" % tuple(p) for p in rgb.reshape(-1, 3)))
add("max31.pgm", b"P5 13 9 31\n" + (grey >> 3).tobytes())
v12 = rng.integers(0, 4096, (H, W))
add("max4095.pgm", b"P5\n13 9\n4095\n" + v12.astype(">u2").tobytes(), three((v12 * 65535 + 2047) // 4095 >> 8), why="depth")
c16 = rng.integers(0, 65536, (H, W, 3))
add("max65535.ppm", b"P6\n13 9\n65535\n" + c16.astype(">u2").tobytes(), (c16 >> 8).astype(np.uint8), why="depth")

versions = {"pillow": PIL.__version__, "numpy": np.__version__, "tifffile": tifffile.__version__, "imagecodecs": imagecodecs.__version__}
# A stream for most of TIFF and one for all others, in which equal bytes are stored once: a line of JSON, then the bytes.
for part in ("tiff", "others"):
    mine = [f for f in files if (f["file"].endswith(".tif") and not f["file"].startswith(("pred", "tiles"))) == (part == "tiff")]
    where, body = {}, b""
    for f in mine:
        for key, data in (("at", blobs[f["file"]]), ("rgb", blobs[f["file"] + ".rgb"])):
            if data not in where:
                where[data] = len(body)
                body += data
            f[key] = [where[data], len(data)]
    path = os.path.join(HERE, f"files_{part}.gz")
    with open(path, "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as z:
        z.write(json.dumps({"versions": versions, "files": mine}).encode() + b"\n" + body)
    print(part, len(mine), "files,", os.path.getsize(path), "bytes")
