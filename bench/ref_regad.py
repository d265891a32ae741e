#!/usr/bin/env python3
"""RegAD in PyTorch, written from the method's description, for timing and figures side by side.

usage: ref_regad.py WEIGHTS ROOT TARGET[,TARGET...] [-epochs N] [-steps N] [-shots K] [-queries N] [-seed N] [-save FILE] [-load FILE]
WEIGHTS: torchvision-named ResNet-18 weights (.safetensors or .pth). ROOT: a folder of classes in MVTec AD layout. Trains on all
classes of ROOT but the target, fits on K training images of the target, evenly spread in the order of their names, and scores its test set.
-steps ends the training early. -save keeps the trained network as a state dict, -load takes one in place of a training.
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
Prints 'train' with images/s (queries and support images) and the peak memory so far, then per class: image AUROC, pixel AUROC,
fit images/s, score images/s, peak memory.
"""
import argparse, glob, math, os, random, resource, time
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F, torchvision
from PIL import Image
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from refdata import DEVICE, POOL, Class, done, report

ap = argparse.ArgumentParser()
ap.add_argument("weights"); ap.add_argument("root"); ap.add_argument("targets")
ap.add_argument("-epochs", type=int, default=50); ap.add_argument("-steps", type=int, default=0)
ap.add_argument("-shots", type=int, default=4); ap.add_argument("-queries", type=int, default=32)
ap.add_argument("-seed", type=int, default=668)
ap.add_argument("-save"); ap.add_argument("-load")
A = ap.parse_args()
LAST = torch.channels_last
SIDE, BATCH = 224, 8


def files(pattern):
    return sorted(f for f in glob.glob(pattern) if f.endswith((".png", ".jpg", ".bmp")))


CACHE = {}  # decoded once


def load(names):
    new = [f for f in dict.fromkeys(names) if f not in CACHE]
    CACHE.update(zip(new, POOL.map(lambda f: torch.from_numpy(np.array(Image.open(f).convert("RGB").resize((SIDE, SIDE), Image.LANCZOS))), new)))
    x = torch.stack([CACHE[f] for f in names]).permute(0, 3, 1, 2)  # channels-last already
    return x.to(DEVICE).float() / 255


def rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Transformer(nn.Module):
    def __init__(self, c, side):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = nn.Conv2d(64, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.fc1, self.fc2 = nn.Linear(16 * ((side + 3) // 4) ** 2, 1024), nn.Linear(1024, 3)
        nn.init.zeros_(self.fc2.weight)
        self.fc2.bias.data = torch.tensor([0.0, 1, 1])

    def forward(self, x):
        x = F.max_pool2d(F.relu_(self.bn1(self.conv1(x))), 3, 2, 1)
        x = F.max_pool2d(F.relu_(self.bn2(self.conv2(x))), 3, 2, 1)
        p = self.fc2(F.relu_(self.fc1(x.flatten(1))))
        cos, sin, zero = p[:, 0].cos(), p[:, 0].sin(), torch.zeros_like(p[:, 0])
        return torch.stack([cos * p[:, 1], -sin, zero, sin, cos * p[:, 2], zero], 1).reshape(-1, 2, 3)


def warp(x, theta):
    y = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), padding_mode="reflection", align_corners=False)
    return y.contiguous(memory_format=LAST)


def point(n):
    layers = []
    for i in range(n):
        layers += [nn.Conv2d(256, 256, 1, bias=False)] + ([nn.BatchNorm2d(256), nn.ReLU(inplace=True)] if i < n - 1 else [])
    return nn.Sequential(*layers)


class RegAD(nn.Module):
    def __init__(self):
        super().__init__()
        net = torchvision.models.resnet18()
        sd = load_file(A.weights) if A.weights.endswith(".safetensors") else torch.load(A.weights)
        net.load_state_dict({k: v for k, v in sd.items() if not k.startswith(("fc.", "projection."))}, strict=False)
        del net.layer4, net.fc
        self.net = net
        self.stn = nn.ModuleList([Transformer(64, 56), Transformer(128, 28), Transformer(256, 14)])
        self.encoder, self.predictor = point(3), point(2)

    def align(self, x):
        n = self.net
        x, seen = n.maxpool(n.relu(n.bn1(n.conv1(x)))), []
        for stage, stn in zip((n.layer1, n.layer2, n.layer3), self.stn):
            x = stage(x)
            theta = stn(x)
            x = warp(x, theta)
            seen.append((x, theta))
        return x, seen

    def loss(self, q, s):
        q, s = self.align(q)[0], self.align(s)[0]
        s = s.reshape(len(q), -1, *s.shape[1:]).mean(1).contiguous(memory_format=LAST)
        zq, zs = self.encoder(q), self.encoder(s)
        pq, ps = self.predictor(zq), self.predictor(zs)
        return -(F.cosine_similarity(pq, zs.detach(), dim=1).mean() + F.cosine_similarity(ps, zq.detach(), dim=1).mean()) / 2

    def features(self, x):
        out, back = [], []
        for x, theta in self.align(x)[1]:
            full = torch.cat([theta, torch.tensor([[[0.0, 0, 1]]]).expand(len(theta), 1, 3)], 1)
            back.append(torch.linalg.inv(full)[:, :2])
            for t in reversed(back):
                x = warp(x, t)
            out.append(x)
        return out


def batches(classes, rng):
    out = []
    for fs in classes:
        order = rng.sample(fs, len(fs))
        for i in range(0, len(order), A.queries):
            q = order[i:i + A.queries]
            out.append((q, [f for one in q for f in rng.choices([o for o in fs if o != one], k=A.shots)]))
    rng.shuffle(out)
    return out


def train(net, classes):
    rng = random.Random(A.seed)
    sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    net.train()
    done, n, start = 0, 0, time.time()
    for epoch in range(A.epochs):
        for g in sgd.param_groups:
            g["lr"] = 1e-4 * (1 + math.cos(math.pi * (epoch + 1) / A.epochs)) / 2
        for q, s in batches(classes, rng):
            if A.steps and done == A.steps:
                break
            loss = net.loss(load(q), load(s))
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            done, n = done + 1, n + len(q) + len(s)
            print(f"epoch {epoch + 1} step {done} loss {loss.item():.5f}  {(time.time() - start) / done:.2f} s/step", flush=True)
    t = max(time.time() - start, 1e-9)
    print(f"train {n / t:.2f} img/s  {t / max(done, 1):.2f} s/step  rss {rss()} MB", flush=True)


def variations(x):
    def affine(*rows):
        return warp(x, torch.tensor(rows).reshape(1, 2, 3))

    def turn(a):
        return affine(math.cos(a), -math.sin(a), 0.0, math.sin(a), math.cos(a), 0.0)

    out = [x] + [turn(k * math.pi / 16) for k in (-4, -3, -2, -1, 1, 2, 3, 4)]
    out += [affine(1.0, 0, a * d, 0, 1, b * d) for d in (0.2, 0.1) for a in (1, -1) for b in (1, -1)]
    grey = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    return torch.cat(out + [x.flip(3), grey.expand(-1, 3, -1, -1)] + [x.rot90(k, (2, 3)) for k in (1, 2, 3)]).contiguous(memory_format=LAST)


def embed(net, x):
    """[P, N, 448]"""
    fs = net.features(x)
    return torch.cat([F.interpolate(f, size=fs[0].shape[2:]) for f in fs], 1).permute(2, 3, 0, 1).flatten(0, 1)


@torch.inference_mode()
def evaluate(net, d):
    net.eval()
    names = files(d + "/train/good/*")
    support = [names[i * len(names) // A.shots] for i in range(A.shots)]
    start = time.time()
    e = torch.cat([embed(net, v) for f in support for v in variations(load([f])).split(BATCH)], 1)
    mean = e.mean(1, keepdim=True)
    e -= mean
    inv = torch.empty(e.shape[0], 448, 448)
    for i in range(0, len(inv), 196):  # some positions at a time
        x = e[i:i + 196].double()
        inv[i:i + 196] = torch.cholesky_inverse(torch.linalg.cholesky(x.transpose(1, 2) @ x / (e.shape[1] - 1) + 0.01 * torch.eye(448).double()))
    done()
    tf = time.time() - start
    c = Class(d, exact=SIDE)
    start, maps = time.time(), []
    for i in range(0, len(c.test), BATCH):
        x = embed(net, load(c.test[i:i + BATCH])) - mean
        q = ((x @ inv) * x).sum(2).clamp(min=0).sqrt()
        up = F.interpolate(q.T.reshape(-1, 1, 56, 56), size=SIDE, mode="bilinear", align_corners=False)[:, 0].cpu().numpy()
        maps += [gaussian_filter(v, 4) for v in up]
    report(c, [v.max() for v in maps], maps, A.shots / tf, len(c.test) / (time.time() - start))


for target in A.targets.split(","):
    torch.manual_seed(A.seed)
    net = RegAD().to(DEVICE, memory_format=LAST)
    if A.load:
        net.load_state_dict(torch.load(A.load))
    else:
        train(net, [files(f"{A.root}/{c}/train/good/*") for c in sorted(os.listdir(A.root))
                    if c != target and os.path.isdir(f"{A.root}/{c}/train/good")])
    if A.save:
        torch.save(net.state_dict(), A.save)
    evaluate(net, f"{A.root}/{target}")
