#!/usr/bin/env python3
"""PaDiM R18-Rd100 in PyTorch, written from the method's description, as the other side of bench/detectors.py.

usage: ref_padim.py WEIGHTS CLASSDIR...
WEIGHTS: torchvision-named weights (.safetensors). SEED=N draws other channels. CLASSDIR: MVTec AD layout.
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
The statistics are sums over the batches, so that the training set need not lie in memory.
Prints per class: image AUROC, pixel AUROC, fit images/s, score images/s, peak memory.
"""
import os, random, sys, time
import torch, torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from refdata import Class, done, gaussians, network, report

random.seed(int(os.environ.get("SEED", "1024")))
CHOSEN = torch.tensor(random.sample(range(448), 100))
NET = network(sys.argv[1])


@torch.inference_mode()
def embed(c, files):
    for x in c.batches(files, 32):
        a = NET.layer1(NET.maxpool(F.relu(NET.bn1(NET.conv1(x)))))
        b = NET.layer2(a)
        c = NET.layer3(b)
        maps = [a[:, CHOSEN[CHOSEN < 64]]]
        maps.append(F.interpolate(b[:, CHOSEN[(CHOSEN >= 64) & (CHOSEN < 192)] - 64], scale_factor=2))
        maps.append(F.interpolate(c[:, CHOSEN[CHOSEN >= 192] - 192], scale_factor=4))
        yield torch.cat(maps, 1).permute(2, 3, 0, 1).flatten(0, 1)  # [positions, N, 100]


@torch.inference_mode()
def run(d):
    c = Class(d, shorter=256, crop=224, resample="lanczos")
    t = time.time()
    m, inverse = gaussians(embed(c, c.train), 56 * 56, 100)
    done()
    fit = len(c.train) / (time.time() - t)
    t = time.time()
    maps = []
    for e in embed(c, c.test):
        x = e - m
        far = ((x @ inverse) * x).sum(2).clamp(min=0).sqrt()  # [positions, N]
        up = F.interpolate(far.T.reshape(-1, 1, 56, 56), size=224, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
        maps += [gaussian_filter(v, 4) for v in up]
    report(c, [v.max() for v in maps], maps, fit, len(c.test) / (time.time() - t))


for d in sys.argv[2:]:
    run(d)
