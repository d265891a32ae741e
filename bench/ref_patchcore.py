#!/usr/bin/env python3
"""PatchCore R18 in PyTorch, written from the method's description, as the other side of bench/detectors.py.

usage: ref_patchcore.py WEIGHTS CLASSDIR...
WEIGHTS: torchvision-named weights (.safetensors). SEED=N draws otherwise. CLASSDIR: MVTec AD layout.
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
Stages 2 and 3, means over 3x3 positions, a tenth of the patches by greedy k-centre in a projection to 128 dimensions with 10
starting points, the squared distance to the nearest patch, score = largest patch, map smoothed with sigma 4.
Prints per class: image AUROC, pixel AUROC, fit images/s, score images/s, peak memory.
"""
import os, sys, time
import torch, torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from refdata import Class, DEVICE, done, network, report

SEED = int(os.environ.get("SEED", "1"))
NET = network(sys.argv[1])
SIZE = dict(shorter=256, crop=224, resample="bilinear")


@torch.inference_mode()
def patches(c, files):
    for x in c.batches(files, 32):
        b = NET.layer2(NET.layer1(NET.maxpool(F.relu(NET.bn1(NET.conv1(x))))))
        d = F.interpolate(F.avg_pool2d(NET.layer3(b), 3, 1, 1), size=b.shape[2:], mode="bilinear", align_corners=False)
        e = torch.cat([F.avg_pool2d(b, 3, 1, 1), d], 1)
        yield e.permute(0, 2, 3, 1).reshape(e.shape[0], -1, e.shape[1])


@torch.inference_mode()
def coreset(x, count, gen):
    p = x @ (torch.rand(x.shape[1], 128, generator=gen) * 2 - 1) / x.shape[1] ** 0.5
    sq = (p * p).sum(1)
    far = torch.stack([(sq - 2 * (p @ p[i]) + sq[i]).clamp(min=0).sqrt() for i in torch.randperm(len(p), generator=gen)[:10]]).mean(0)
    far = far * far
    out = []
    for _ in range(count):
        i = int(far.argmax())
        out.append(i)
        far = torch.minimum(far, sq - 2 * (p @ p[i]) + sq[i])
    return torch.tensor(sorted(out))


@torch.inference_mode()
def run(d):
    gen = torch.Generator(DEVICE).manual_seed(SEED)
    c = Class(d, **SIZE)
    t = time.time()
    x = torch.cat([e.flatten(0, 1) for e in patches(c, c.train)])
    bank = x[coreset(x, len(x) // 10, gen)]
    half = (bank * bank).sum(1)
    done()
    fit = len(c.train) / (time.time() - t)
    t = time.time()
    scores, maps = [], []
    for e in patches(c, c.test):
        for q in e:
            near = (q @ bank.T).mul_(-2).add_(half).argmin(1)
            s = ((q - bank[near]) ** 2).sum(1)
            scores.append(float(s.max()))
            side = int(len(s) ** 0.5)
            up = F.interpolate(s.reshape(1, 1, side, side), size=224, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
            maps.append(gaussian_filter(up, 4))
    report(c, scores, maps, fit, len(c.test) / (time.time() - t))


for d in sys.argv[2:]:
    run(d)
