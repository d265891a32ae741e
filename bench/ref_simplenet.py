#!/usr/bin/env python3
"""SimpleNet on ResNet-18 in PyTorch, written from the method's description, as the side-by-side reference.

usage: ref_simplenet.py [-epochs N] [-seed N] WEIGHTS CLASSDIR...
WEIGHTS: torchvision-named weights (.safetensors or .pt), or 'random'. CLASSDIR: MVTec AD layout.
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
Prints per class: image AUROC, pixel AUROC, fit images/s (images times epochs), score images/s, peak RSS.
The backbone's maps of the good images are made once and kept, channels-last, as the backbone does not change. Patches are
pooled by one grouped convolution a layer, which is exact and many times faster than unfolding them. The rest is the
method as it is defined: noise on adapted features, both kinds in one batch through the discriminator.
"""
import argparse, time
import torch, torch.nn as nn, torch.nn.functional as F
from math import gcd
from scipy.ndimage import gaussian_filter
from refdata import Class, done, network, report

ap = argparse.ArgumentParser()
ap.add_argument("weights")
ap.add_argument("classes", nargs="+")
ap.add_argument("-epochs", type=int, default=160)
ap.add_argument("-seed", type=int, default=0)
a = ap.parse_args()
DIM, HIDDEN, BATCH = 1536, 1024, 8

torch.manual_seed(a.seed)
net = network(a.weights)


def maps(x):
    x = net.maxpool(F.relu(net.bn1(net.conv1(x))))
    b = net.layer2(net.layer1(x))
    return [b, net.layer3(b)]


def pooling(channels):
    """3x3 neighbourhoods of channels to DIM by adaptive pooling, and to DIM/2 as the two layers are pooled to DIM together."""
    k = F.adaptive_avg_pool1d(F.adaptive_avg_pool1d(torch.eye(channels * 9)[:, None], DIM), DIM // 2)[:, 0].T
    g = gcd(channels, DIM // 2)
    per = channels * 9 // g
    blocks = [k[i * (DIM // 2 // g):(i + 1) * (DIM // 2 // g), i * per:(i + 1) * per] for i in range(g)]
    return torch.cat(blocks).reshape(DIM // 2, channels // g, 3, 3), g


POOL = [pooling(128), pooling(256)]


def patches(layers):
    out = [F.conv2d(f, w, padding=1, groups=g) for f, (w, g) in zip(layers, POOL)]
    out[1] = F.interpolate(out[1], size=out[0].shape[2:], mode="bilinear", align_corners=False)
    return torch.cat(out, 1).permute(0, 2, 3, 1).reshape(-1, DIM)


def linear(i, o, bias=True):
    m = nn.Linear(i, o, bias)
    nn.init.xavier_normal_(m.weight)
    return m


def train(c):
    files = c.train
    with torch.no_grad():
        kept = [torch.cat(v).contiguous(memory_format=torch.channels_last) for v in zip(*[maps(x) for x in c.batches(files, BATCH)])]
    adaptor = linear(DIM, DIM)
    disc = nn.Sequential(linear(DIM, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.LeakyReLU(0.2, inplace=True), linear(HIDDEN, 1, False))
    opts = [torch.optim.AdamW(adaptor.parameters(), lr=1e-4), torch.optim.Adam(disc.parameters(), lr=2e-4, weight_decay=1e-5)]
    for _ in range(a.epochs):
        for at in torch.randperm(len(files)).split(BATCH):
            with torch.no_grad():
                x = patches([v[at] for v in kept])
            n = len(x)
            true = adaptor(x)
            d = disc(torch.cat([true, true + torch.empty_like(true).normal_(0, 0.015)]))
            loss = F.relu(0.5 - d[:n]).mean() + F.relu(0.5 + d[n:]).mean()
            for o in opts:
                o.zero_grad(set_to_none=True)
            loss.backward()
            for o in opts:
                o.step()
    return adaptor.eval(), disc.eval()


def run(d):
    c = Class(d, shorter=329, crop=288)
    t = time.time()
    adaptor, disc = train(c)
    done()
    tf = time.time() - t
    t = time.time()
    score, out = [], []
    with torch.inference_mode():
        for x in c.batches(c.test, BATCH):
            s = -disc(adaptor(patches(maps(x)))).reshape(len(x), 1, 36, 36)
            score += s.flatten(1).max(1).values.tolist()
            up = F.interpolate(s, size=288, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
            out += [gaussian_filter(v, 4) for v in up]
    report(c, score, out, len(c.train) * a.epochs / tf, len(c.test) / (time.time() - t))


for d in a.classes:
    run(d)
