#!/usr/bin/env python3
"""RD4AD in PyTorch, written from the method's description, as the side-by-side of downstream.RD4AD on ResNet-18.

usage: ref_rd4ad.py WEIGHTS EPOCHS CLASSDIR...
WEIGHTS: torchvision-named weights of a ResNet-18 (.safetensors or .pt), or 'random'. CLASSDIR: MVTec AD layout.
SEED=N draws other weights and another order. CACHE=0 runs the teacher in every epoch in place of keeping its features
(it is frozen and images are not augmented, so they are the same). THREADS=N (2).
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
Prints per class: image AUROC, pixel AUROC, images x epochs a second of training, images a second scored, peak RSS.
"""
import os, sys, time
import torch, torch.nn as nn, torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from refdata import Class, DEVICE, done, network, report

SIZE, BATCH, SCORE_BATCH = 256, 16, 8
EPOCHS = int(sys.argv[2])
CACHE = os.environ.get("CACHE", "1") != "0"
torch.manual_seed(0)
NET = network(sys.argv[1])


@torch.inference_mode()
def teacher(x):
    x = NET.maxpool(F.relu(NET.bn1(NET.conv1(x.contiguous(memory_format=torch.channels_last)))))
    a = NET.layer1(x)
    b = NET.layer2(a)
    return [a, b, NET.layer3(b)]


def conv(i, o, k, s=1):
    return [nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o)]


def up(i, o):
    return [nn.ConvTranspose2d(i, o, 2, 2, bias=False), nn.BatchNorm2d(o)]


class Block(nn.Module):
    def __init__(self, first, second, around):
        super().__init__()
        self.path = nn.Sequential(*first, nn.ReLU(inplace=True), *second)
        self.around = nn.Sequential(*around)

    def forward(self, x):
        y = self.path(x)
        y += self.around(x)
        return F.relu(y, inplace=True)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        relu = lambda: nn.ReLU(inplace=True)
        self.mff1 = nn.Sequential(*conv(64, 128, 3, 2), relu(), *conv(128, 256, 3, 2), relu())
        self.mff2 = nn.Sequential(*conv(128, 256, 3, 2), relu())
        self.oce = nn.Sequential(Block(conv(768, 512, 3, 2), conv(512, 512, 3), conv(768, 512, 1, 2)),
                                 Block(conv(512, 512, 3), conv(512, 512, 3), []))
        stage = lambda i, o: nn.Sequential(Block(up(i, o), conv(o, o, 3), up(i, o)), Block(conv(o, o, 3), conv(o, o, 3), []))
        self.d3, self.d2, self.d1 = stage(512, 256), stage(256, 128), stage(128, 64)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, e):
        c = self.d3(self.oce(torch.cat([self.mff1(e[0]), self.mff2(e[1]), e[2]], 1)))
        b = self.d2(c)
        return [self.d1(b), b, c]


def fit(files, load):
    torch.manual_seed(int(os.environ.get("SEED", "111")))
    net = Student().to(DEVICE, memory_format=torch.channels_last).train()
    opt = torch.optim.Adam(net.parameters(), lr=0.005, betas=(0.5, 0.999))
    flat = lambda t: t.permute(0, 2, 3, 1).reshape(t.shape[0], -1)
    kept = [[m[0] for m in teacher(load([f]))] for f in files] if CACHE else None
    for _ in range(EPOCHS):
        order = torch.randperm(len(files)).tolist()
        for i in range(0, len(order), BATCH):
            at = order[i:i + BATCH]
            if CACHE:
                e = [torch.stack([kept[j][k] for j in at]) for k in range(3)]
            else:
                e = [m.clone() for m in teacher(load([files[j] for j in at]))]
            loss = sum((1 - F.cosine_similarity(flat(a), flat(b))).mean() for a, b in zip(e, net(e)))
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
    return net.eval()


@torch.inference_mode()
def score(net, c):
    maps = []
    for x in c.batches(c.test, SCORE_BATCH):
        e = teacher(x)
        m = sum(F.interpolate((1 - F.cosine_similarity(a, b))[:, None], size=SIZE, mode="bilinear", align_corners=True)
                for a, b in zip(e, net(e)))
        maps += [gaussian_filter(v, 4) for v in m[:, 0].cpu().numpy()]
    return maps


def run(d):
    c = Class(d, exact=SIZE)
    t = time.time()
    net = fit(c.train, c.load)
    done()
    tf = time.time() - t
    t = time.time()
    maps = score(net, c)
    report(c, [v.max() for v in maps], maps, len(c.train) * EPOCHS / tf, len(c.test) / (time.time() - t), masks="bilinear")


for d in sys.argv[3:]:
    run(d)
