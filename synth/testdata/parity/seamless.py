#!/usr/bin/env python3
"""Makes seamless.json and seamless_*.png: what OpenCV's seamlessClone returns on 50 cases.

Images and masks come from integer formulas (texture and mask below) that the Go test repeats, so only OpenCV's results are
stored: the box of dst that holds the pasted patch, one below the other in a PNG per group.
Made with opencv-python-headless 4.9.0 and numpy 1.26 (any OpenCV from 4.0 to before 4.10 will do).
usage: seamless.py   (writes beside itself)
"""
import json
import os

import cv2
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def mix(n):
    """32-bit finalizer of MurmurHash3."""
    m = 0xFFFFFFFF if isinstance(n, int) else np.int64(0xFFFFFFFF)
    n = n & m
    n ^= n >> 16
    n = n * 0x85EBCA6B & m  # products wrap at 64 bits; the lower 32 are right
    n ^= n >> 13
    n = n * 0xC2B2AE35 & m
    n ^= n >> 16
    return n


def par(seed, i):
    return mix(seed * 1000003 + i)


def texture(seed, w, h, noise):
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    out = np.zeros((h, w, 3), np.uint8)
    for c in range(3):
        v = np.full((h, w), 60 + par(seed, c) % 130, np.int64)
        for k in range(3):
            fx, fy = par(seed, 10 + 3 * k) % 97 - 48, par(seed, 11 + 3 * k) % 97 - 48
            t = (fx * x + fy * y + par(seed, 12 + 3 * k) + 100 * c) & 1023
            v += ((10 + par(seed, 30 + k) % 30) * (abs(t - 512) - 256)) >> 8
        n = mix((seed * 7919 + x * 73856093 + y * 19349663 + c * 83492791))
        v += n % (2 * noise + 1) - noise
        out[..., c] = np.clip(v, 0, 255)
    return out


def mask(seed, kind, w, h):
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    if kind == "full":
        return np.full((h, w), 255, np.uint8)
    m = np.zeros((h, w), bool)
    if kind in ("ellipses", "weights"):
        for k in range(3):
            cx, cy = w // 4 + par(seed, 50 + 4 * k) % (w // 2), h // 4 + par(seed, 51 + 4 * k) % (h // 2)
            rx, ry = w // 4 + par(seed, 52 + 4 * k) % (w // 4 + 1), h // 4 + par(seed, 53 + 4 * k) % (h // 4 + 1)
            m |= (x - cx) ** 2 * ry**2 + (y - cy) ** 2 * rx**2 < rx**2 * ry**2
    elif kind == "triangle":
        m = (x * h + y * w) < w * h
    elif kind == "hole":
        m = ~((abs(2 * x - w) < w // 3) & (abs(2 * y - h) < h // 3))
    out = np.where(m, 255, 0).astype(np.uint8)
    if kind == "weights":
        out = np.where(m & (x % 11 > 4), 150, out).astype(np.uint8)
    return out


SIDES = [9, 10, 11, 12, 13, 15, 16, 17, 19, 21, 22, 24, 25, 26, 28, 30, 33, 34, 37, 40]  # 25-4+1 = 22 = 2*11; 21-3 = 18, 22-3 = 19 prime ...
LARGE = [(51, 51), (52, 47), (77, 77), (64, 76), (62, 61), (45, 70), (102, 102), (128, 128), (90, 31), (56, 55)]

cases = []
for i in range(40):
    w, h = SIDES[i % 20], SIDES[(i * 7 + i // 20 * 3) % 20]
    kind = ["full", "ellipses", "triangle", "hole", "weights"][i % 5]
    if kind != "full":
        w, h = w + 12, h + 12
    cases.append((w, h, kind, 12))
for i, (w, h) in enumerate(LARGE):
    cases.append((w, h, "full" if i % 2 == 0 else ["ellipses", "hole", "triangle"][i // 2 % 3], 2))

groups, sheet, out, used = [], [], [], 0
for i, (w, h, kind, noise) in enumerate(cases):
    dw, dh = (72, 68) if max(w, h) < 60 else (140, 136)
    dst, src, m = texture(2 * i + 1, dw, dh, noise), texture(2 * i + 2, w, h, noise), mask(i, kind, w, h)
    cx, cy = w // 2 + 1 + par(i, 90) % (dw - w - 2), h // 2 + 1 + par(i, 91) % (dh - h - 2)
    mode = "normal" if (i // 5 + i) % 2 == 0 else "mixed"
    res = cv2.seamlessClone(src, dst, m, (cx, cy), cv2.NORMAL_CLONE if mode == "normal" else cv2.MIXED_CLONE)
    x0, y0 = cx - w // 2 - 2, cy - h // 2 - 2
    x0, y0 = max(x0, 0), max(y0, 0)
    x1, y1 = min(x0 + w + 4, dw), min(y0 + h + 4, dh)
    rest = (res != dst).any(2)
    rest[y0:y1, x0:x1] = False
    assert not rest.any(), i
    piece = res[y0:y1, x0:x1]
    if used + piece.size > 52000 and sheet:
        groups.append(sheet)
        sheet, used = [], 0
    top = sum(p.shape[0] for p in sheet)
    out.append(dict(seed=i, width=w, height=h, mask=kind, noise=noise, dst_width=dw, dst_height=dh, centre=[cx, cy], mode=mode,
                    box=[x0, y0, x1, y1], sheet=len(groups), top=top))
    sheet.append(piece)
    used += piece.size
groups.append(sheet)
for k, pieces in enumerate(groups):
    im = np.zeros((sum(p.shape[0] for p in pieces), max(p.shape[1] for p in pieces), 3), np.uint8)
    top = 0
    for p in pieces:
        im[top:top + p.shape[0], :p.shape[1]] = p
        top += p.shape[0]
    name = os.path.join(HERE, f"seamless_{k}.png")
    cv2.imwrite(name, im[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert os.path.getsize(name) <= 50000, (name, os.path.getsize(name))
with open(os.path.join(HERE, "seamless.json"), "w") as f:
    f.write(json.dumps(dict(opencv=cv2.__version__, cases=out)).replace('}, {"seed"', '},\n {"seed"') + "\n")
