"""The generators of package synth as one would write them with NumPy and OpenCV: same settings, same results.

Every twin takes an RGB uint8 image (and a second one), a numpy Generator and returns a dict with image, support, mask (changed by more than TOL
grey levels, mean over the channels), label (float32, or None) and change (mean absolute change inside the mask), or None where
the draw made no defect. Work that only the damaged box needs is done in the box alone. Pixels differ from the Go side's, since the
random numbers do; sizes, laws and steps are the same.
"""
import math

import cv2
import numpy as np

TOL = 1


def finish(dst, out, support, box, label):
    """Measures what changed inside box = (y0, y1, x0, x1)."""
    y0, y1, x0, x1 = box
    mask = np.zeros(dst.shape[:2], np.uint8)
    diff = cv2.absdiff(out[y0:y1, x0:x1], dst[y0:y1, x0:x1])
    total = diff.sum(axis=2, dtype=np.uint16)
    on = total > 3 * TOL
    n = np.count_nonzero(on)
    if n == 0:
        return None
    mask[y0:y1, x0:x1][on] = 255
    change = float(total[on].sum(dtype=np.int64)) / (3 * n)
    truth = {"mask": mask, "support": support, None: None}[label]
    if truth is not None:
        truth = (truth >> 7).astype(np.float32)
    return dict(image=out, support=support, mask=mask, label=truth, change=change)


def blend_table(base, f):
    return np.clip(base + f * (np.arange(256) - base), 0, 255).astype(np.uint8)


def luma(p):
    return cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)


def turn_hue(p, turn):
    hsv = cv2.cvtColor(p, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(turn * 255) & 255)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def jitter(p, r, v=0.1):
    f = r.uniform(1 - v, 1 + v, 3)
    turn = r.uniform(-v, v)
    for step in r.permutation(4):
        if step == 0:
            p = cv2.LUT(p, blend_table(0, f[0]))
        elif step == 1:
            p = cv2.LUT(p, blend_table(math.floor(luma(p).mean() + 0.5), f[1]))
        elif step == 2:
            p = cv2.addWeighted(p, f[2], cv2.cvtColor(luma(p), cv2.COLOR_GRAY2RGB), 1 - f[2], 0)
        else:
            p = turn_hue(p, turn)
    return p


def cutpaste(dst, src, r, area=(0.02, 0.15), aspect=(0.3, 1 / 0.3)):
    h, w = dst.shape[:2]
    pixels, ratio = r.uniform(*area) * h * w, math.exp(r.uniform(math.log(aspect[0]), math.log(aspect[1])))
    pw, ph = min(max(round(math.sqrt(pixels * ratio)), 1), w), min(max(round(math.sqrt(pixels / ratio)), 1), h)
    y, x, ty, tx = r.integers(h - ph + 1), r.integers(w - pw + 1), r.integers(h - ph + 1), r.integers(w - pw + 1)
    out, support = dst.copy(), np.zeros((h, w), np.uint8)
    out[ty:ty + ph, tx:tx + pw] = jitter(dst[y:y + ph, x:x + pw], r)
    support[ty:ty + ph, tx:tx + pw] = 255
    return finish(dst, out, support, (ty, ty + ph, tx, tx + pw), "mask")


def scar(dst, src, r):
    h, w = dst.shape[:2]
    pw, ph = int(r.uniform(2, 16)), int(r.uniform(10, 25))
    y, x = r.integers(h - ph + 1), r.integers(w - pw + 1)
    strip = jitter(dst[y:y + ph, x:x + pw], r)
    angle = r.uniform(-45, 45)
    c, s = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    bw, bh = math.ceil(pw * c + ph * s), math.ceil(pw * s + ph * c)
    m = cv2.getRotationMatrix2D(((pw - 1) / 2, (ph - 1) / 2), angle, 1)
    m[:, 2] += ((bw - pw) / 2, (bh - ph) / 2)
    turned = cv2.warpAffine(strip, m, (bw, bh), flags=cv2.INTER_NEAREST)
    inside = cv2.warpAffine(np.full((ph, pw), 255, np.uint8), m, (bw, bh), flags=cv2.INTER_NEAREST)
    ty, tx = r.integers(h - bh + 1), r.integers(w - bw + 1)
    out, support = dst.copy(), np.zeros((h, w), np.uint8)
    cv2.copyTo(turned, inside, out[ty:ty + bh, tx:tx + bw])
    support[ty:ty + bh, tx:tx + bw] = inside
    return finish(dst, out, support, (ty, ty + bh, tx, tx + bw), "mask")


def mask(dst, src, r, sides=(16,), groups=52):
    h, w = dst.shape[:2]
    k = sides[r.integers(len(sides))]
    rows, cols = -(-h // k), -(-w // k)
    n = rows * cols
    order = r.permutation(n)
    per = -(-n // groups)
    g = r.integers(groups)
    cells = order[g * per:(g + 1) * per]
    if len(cells) == 0:
        return None
    grid = np.zeros(n, np.uint8)
    grid[cells] = 255
    support = grid.reshape(rows, cols).repeat(k, 0).repeat(k, 1)[:h, :w]
    out = dst.copy()
    out[support > 0] = 0
    ys, xs = cells // cols, cells % cols
    box = ys.min() * k, min((ys.max() + 1) * k, h), xs.min() * k, min((xs.max() + 1) * k, w)
    return finish(dst, out, support, box, "support")


def riad(dst, src, r):
    return mask(dst, src, r, (2, 4, 8, 16), 3)


def fade(t):
    return t * t * t * (t * (t * 6 - 15) + 10)


def perlin_noise(h, w, rows, cols, degrees, r):
    angle = 2 * np.pi * r.random((rows + 1, cols + 1), dtype=np.float32)
    gx, gy = np.cos(angle), np.sin(angle)
    s, c = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    cy, cx = (h - 1) / 2, (w - 1) / 2
    dy, dx = np.arange(h, dtype=np.float32)[:, None] - np.float32(cy), np.arange(w, dtype=np.float32)[None] - np.float32(cx)
    sx, sy = dx * np.float32(c) - dy * np.float32(s) + np.float32(cx), dx * np.float32(s) + dy * np.float32(c) + np.float32(cy)
    out = (sx < 0) | (sy < 0) | (sx > w - 1) | (sy > h - 1)
    y, x = np.clip(sy, 0, h - 1) * np.float32(rows / h), np.clip(sx, 0, w - 1) * np.float32(cols / w)
    iy, ix = y.astype(np.int32), x.astype(np.int32)
    fy, fx = y - iy, x - ix
    at = iy * (cols + 1) + ix
    gx, gy = gx.ravel(), gy.ravel()

    def corner(k, ox, oy):
        return gx[at + k] * (fx - ox) + gy[at + k] * (fy - oy)

    tx, ty = fade(fx), fade(fy)
    n00, n01, n10, n11 = corner(0, 0, 0), corner(1, 1, 0), corner(cols + 1, 0, 1), corner(cols + 2, 1, 1)
    top = n00 + tx * (n01 - n00)
    v = np.float32(math.sqrt(2)) * (top + ty * (n10 + tx * (n11 - n10) - top))
    v[out] = 0
    return v


def histograms(t):
    return [np.bincount(t[..., c].ravel(), minlength=256) for c in range(3)]


def augment(t, step, r):
    """The ten steps of DRAEM and TAB's eleventh, with OpenCV where it has them."""
    if step == 0:
        x = np.arange(256) / 255
        return cv2.LUT(t, np.stack([(255 * x ** r.uniform(0.5, 2) + 0.5).astype(np.uint8) for _ in range(3)], -1)[None])
    if step == 1:
        mul, add = r.uniform(0.8, 1.2), r.uniform(-30, 30)
        if r.integers(2):
            add *= mul
        ycc = cv2.cvtColor(t, cv2.COLOR_RGB2YCrCb)
        ycc[..., 0] = cv2.LUT(ycc[..., 0], np.clip(np.arange(256) * mul + add, 0, 255).astype(np.uint8))
        return cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)
    if step == 2:
        k = np.full((3, 3), 1 / 13, np.float32)
        k[1, 1] = 5 / 13
        f = r.uniform(0.1, 1.9)
        return cv2.addWeighted(t, f, cv2.filter2D(t, -1, k), 1 - f, 0)
    if step in (3, 10):
        hsv = cv2.cvtColor(t, cv2.COLOR_RGB2HSV_FULL)
        i = np.arange(256)
        if step == 3:
            a, b = (i + round(r.uniform(-50, 50))) % 256, np.clip(i + r.uniform(-50, 50), 0, 255)
        else:
            a, b = (i * r.uniform(0.5, 1.5)).astype(int) % 256, np.clip(i * r.uniform(0.5, 1.5), 0, 255)
        return cv2.cvtColor(cv2.LUT(hsv, np.stack([a, b, i], -1).astype(np.uint8)[None]), cv2.COLOR_HSV2RGB_FULL)
    i = np.arange(256)
    if step == 4:
        if r.integers(2) == 0:
            return t
        return cv2.LUT(t, np.where(i >= r.integers(32, 129), 255 - i, i).astype(np.uint8))
    if step == 5:
        size = 256 >> int(r.integers(1, 9))
        return cv2.LUT(t, (i // size * size + size // 2).astype(np.uint8))
    if step == 6:
        return 255 - t
    if step == 7:
        cut = int(r.integers(21) / 100 * t.shape[0] * t.shape[1])
        tables = []
        for h in histograms(t):
            c = h.cumsum()
            lo, hi = int(np.searchsorted(c, cut, "right")), int(np.searchsorted(c, c[-1] - cut, "left"))
            tables.append(np.clip((i - lo) * 255 / (hi - lo), 0, 255).astype(np.uint8) if hi > lo else i.astype(np.uint8))
        return cv2.LUT(t, np.stack(tables, -1)[None])
    if step == 8:
        tables = []
        for h in histograms(t):
            last = h[np.nonzero(h)[0][-1]]
            s = (h.sum() - last) // 255
            tables.append(np.minimum((s // 2 + h.cumsum() - h) // s, 255).astype(np.uint8) if s else i.astype(np.uint8))
        return cv2.LUT(t, np.stack(tables, -1)[None])
    h, w = t.shape[:2]
    m = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), r.uniform(-45, 45), 1)
    return cv2.warpAffine(t, m, (w, h))


TEXTURES = []  # the caller's


def perlin(dst, src, r, threshold=0.5, steps=3, kinds=10, gain=1.0):
    h, w = dst.shape[:2]
    noise = perlin_noise(h, w, 2 ** int(r.integers(0, 6)), 2 ** int(r.integers(0, 6)), r.uniform(-90, 90), r)
    on = noise > threshold
    if not on.any():
        return None
    t = cv2.resize(TEXTURES[r.integers(len(TEXTURES))], (w, h))
    for step in r.permutation(kinds)[:steps]:
        t = augment(t, step, r)
    beta = np.float32(r.uniform(0, 0.8))
    ys, xs = np.flatnonzero(on.any(1)), np.flatnonzero(on.any(0))
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    out = dst.copy()
    mixed = cv2.addWeighted(t[y0:y1, x0:x1], float((1 - beta) * gain), dst[y0:y1, x0:x1], float(beta), 0)
    support = on.astype(np.uint8) * 255
    cv2.copyTo(mixed, support[y0:y1, x0:x1], out[y0:y1, x0:x1])
    return finish(dst, out, support, (y0, y1, x0, x1), "support")


def tabperlin(dst, src, r):
    return perlin(dst, src, r, 0.65, 5, 11, 1 / 255)


def nsa(dst, src, r):
    """TAB's settings: one patch, half a side gamma(2, 0.07)+0.05 within 0.05 to 0.2, resized, shifted, a coin for the mode."""
    h, w = dst.shape[:2]
    mode = (cv2.NORMAL_CLONE, cv2.MIXED_CLONE)[r.integers(2)]
    lo, hi = [round(0.05 * h), round(0.05 * w)], [round(0.2 * h), round(0.2 * w)]
    half = [int(min(max((0.05 + r.gamma(2, 0.07)) * n, lo[i]), hi[i])) for i, n in enumerate((h, w))]
    y, x = r.integers(lo[0], h - lo[0]), r.integers(lo[1], w - lo[1])
    patch = src[max(y - half[0], 0):y + half[0], max(x - half[1], 0):x + half[1]]
    ph, pw = patch.shape[:2]
    f = min(max(r.normal(1, 0.5), 0.7), 1.3)
    nh = min(max(f * ph, lo[0]), hi[0])
    nw = min(max(int(nh / ph * pw), lo[1]), hi[1])
    nh = min(max(int(nw / pw * ph), lo[0]), hi[0])
    patch = cv2.resize(patch, (nw, nh))
    cy, cx = r.integers(nh // 2 + 1, h - nh // 2 - 1), r.integers(nw // 2 + 1, w - nw // 2 - 1)
    if (nh - 2) * (nw - 2) < 50:
        return None
    m = np.zeros((nh, nw), np.uint8)
    m[1:-1, 1:-1] = 255
    try:
        out = cv2.seamlessClone(patch, dst, m, (int(cx), int(cy)), mode)
    except cv2.error:
        return None
    y0, x0 = cy - (nh - 2) // 2 + 1, cx - (nw - 2) // 2 + 1
    box = (y0, y0 + nh - 4, x0, x0 + nw - 4)
    support = np.zeros((h, w), np.uint8)
    support[box[0]:box[1], box[2]:box[3]] = 255
    return finish(dst, out, support, box, None)


TWINS = dict(nsa=nsa, cutpaste=cutpaste, scar=scar, mask=mask, riad=riad, perlin=perlin, tabperlin=tabperlin)
