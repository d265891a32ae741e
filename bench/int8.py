#!/usr/bin/env python3
"""What int8 does to PaDiM and PatchCore: a ResNet-18 whose convolutions meet whole numbers of eight bits, simulated in float32.

usage: int8.py WEIGHTS CLASSDIR...
WEIGHTS: torchvision-named weights (.safetensors). CLASSDIR: MVTec AD layout. THREADS=N (2).
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
Weights have 255 steps for each output (symmetric), the input of each convolution 255 steps over the range that it has on the good
training images: "whole" of the smallest to the largest value, "most" of what all but one value in 10,000 keep to. Batch norm is folded
first. Sums, residual sums and the detectors stay float32, so that this is the best that int8 can do. Detectors are fitted and score on the same
network; PatchCore's bank holds the same patches in all of them, chosen in float32. Prints image and pixel AUROC, and less float32.
"""
import random, sys

if len(sys.argv) < 3:
    sys.exit(__doc__)
import numpy as np, torch, torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score
from torch.nn.utils.fusion import fuse_conv_bn_eval
import refdata

SEEDS = (1024, 1, 2)
classes = sys.argv[2:]


class Conv(torch.nn.Module):
    """A folded convolution. lo and hi hold what its input was in calibration: the whole range and most of it."""

    def __init__(self, conv):
        super().__init__()
        self.conv, self.kept, self.lo, self.hi, self.mode = conv, conv.weight.data, [], [], "float32"
        scale = self.kept.abs().amax((1, 2, 3), keepdim=True) / 127
        self.rounded = (self.kept / scale).round() * scale

    def forward(self, x):
        if self.mode == "calibrate":
            v = x.flatten()[:: max(1, x.numel() // 4000000)].sort().values
            n = len(v) // 10000
            self.lo.append((float(v[0]), float(v[n])))
            self.hi.append((float(v[-1]), float(v[-1 - n])))
        elif self.mode != "float32":
            i = ("whole", "most").index(self.mode)
            lo = min(0.0, min(a[i] for a in self.lo) if i == 0 else sum(a[i] for a in self.lo) / len(self.lo))
            hi = max(a[i] for a in self.hi) if i == 0 else sum(a[i] for a in self.hi) / len(self.hi)
            step = (hi - lo) / 255
            zero = round(-lo / step)
            x = ((x / step).round() + zero).clamp(0, 255).sub(zero) * step
        self.conv.weight.data = self.rounded if self.mode not in ("calibrate", "float32") else self.kept
        return self.conv(x)


net = refdata.network(sys.argv[1])
convs = []


def folded(conv, bn):
    convs.append(Conv(fuse_conv_bn_eval(conv, bn)))
    return convs[-1]


net.conv1, net.bn1 = folded(net.conv1, net.bn1), torch.nn.Identity()
for stage in (net.layer1, net.layer2, net.layer3):
    for b in stage:
        b.conv1, b.bn1 = folded(b.conv1, b.bn1), torch.nn.Identity()
        b.conv2, b.bn2 = folded(b.conv2, b.bn2), torch.nn.Identity()
        if b.downsample is not None:
            b.downsample = folded(b.downsample[0], b.downsample[1])


@torch.inference_mode()
def stages(c, files, mode):
    for v in convs:
        v.mode = mode
    out = []
    for x in c.batches(files, 16):
        a = net.layer1(net.maxpool(F.relu(net.conv1(x))))
        b = net.layer2(a)
        out.append((a, b, net.layer3(b)))
    return [torch.cat(v) for v in zip(*out)]


def padim(fit, test, seed):
    random.seed(seed)
    chosen = torch.tensor(random.sample(range(448), 100))

    def embed(s):
        a, b, d = s
        maps = [a[:, chosen[chosen < 64]], F.interpolate(b[:, chosen[(chosen >= 64) & (chosen < 192)] - 64], scale_factor=2)]
        maps.append(F.interpolate(d[:, chosen[chosen >= 192] - 192], scale_factor=4))
        return torch.cat(maps, 1).permute(2, 3, 0, 1).flatten(0, 1)

    parts = lambda maps: (embed([v[i : i + 16] for v in maps]) for i in range(0, len(maps[0]), 16))
    m, inverse = refdata.gaussians(parts(fit), 56 * 56, 100)
    maps = []
    for e in parts(test):
        x = e - m
        far = ((x @ inverse) * x).sum(2).clamp(min=0).sqrt()
        up = F.interpolate(far.T.reshape(-1, 1, 56, 56), size=224, mode="bilinear", align_corners=False)[:, 0].numpy()
        maps += [gaussian_filter(v, 4) for v in up]
    return maps, [v.max() for v in maps]


def patches(s):
    b, d = s[1], F.interpolate(F.avg_pool2d(s[2], 3, 1, 1), size=s[1].shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([F.avg_pool2d(b, 3, 1, 1), d], 1).permute(0, 2, 3, 1).flatten(1, 2)


def choose(x):
    """A tenth of the patches by greedy k-centre in a projection to 128 dimensions."""
    gen = torch.Generator().manual_seed(1)
    p = x @ (torch.rand(x.shape[1], 128, generator=gen) * 2 - 1) / x.shape[1] ** 0.5
    sq, out = (p * p).sum(1), []
    far = sq - 2 * (p @ p[0]) + sq[0]
    for _ in range(len(x) // 10):
        out.append(int(far.argmax()))
        far = torch.minimum(far, sq - 2 * (p @ p[out[-1]]) + sq[out[-1]])
    return torch.tensor(out)


def patchcore(fit, test, chosen):
    bank = patches(fit).flatten(0, 1)[chosen]
    half = (bank * bank).sum(1)
    maps, scores = [], []
    for i in range(len(test[0])):
        q = patches([v[i : i + 1] for v in test])[0]
        near = (q @ bank.T).mul_(-2).add_(half).argmin(1)
        s = ((q - bank[near]) ** 2).sum(1)
        scores.append(float(s.max()))
        maps.append(gaussian_filter(F.interpolate(s.reshape(1, 1, 28, 28), size=224, mode="bilinear", align_corners=False)[0, 0].numpy(), 4))
    return maps, scores


print("| class | detector | float32 | whole | most |\n| --- | --- | --- | --- | --- |")
for d in classes:
    c = refdata.Class(d, shorter=256, crop=224, resample="bilinear")
    for v in convs:
        v.lo, v.hi = [], []
    stages(c, c.train[:64], "calibrate")
    truth, pixels = [k != "good" for k in c.kinds], c.masks("nearest")
    rows, chosen = {}, None
    for mode in ("float32", "whole", "most"):
        fit, test = stages(c, c.train, mode), stages(c, c.test, mode)
        with torch.inference_mode():
            if chosen is None:
                chosen = choose(patches(fit).flatten(0, 1))
            results = [(f"PaDiM, {s}", padim(fit, test, s)) for s in SEEDS] + [("PatchCore", patchcore(fit, test, chosen))]
        for name, (maps, scores) in results:
            pixel = float("nan")
            if pixels is not None:
                pixel = roc_auc_score(np.concatenate([m.ravel() for m in pixels]), np.concatenate([m.ravel() for m in maps]))
            rows.setdefault(name, []).append((100 * roc_auc_score(truth, scores), 100 * pixel))
    for name, r in rows.items():
        less = [f"{r[0][0]:.2f} / {r[0][1]:.2f}"] + [f"{a - r[0][0]:+.2f} / {b - r[0][1]:+.2f}" for a, b in r[1:]]
        print(f"| {c.name} | {name} | " + " | ".join(less) + " |", flush=True)
