#!/usr/bin/env python3
"""RD4AD in PyTorch, written from the method's description, as the side-by-side of downstream.RD4AD on ResNet-18.

usage: ref_rd4ad.py WEIGHTS EPOCHS CLASSDIR...
WEIGHTS: torchvision-named weights of a ResNet-18 (.safetensors or .pt), or 'random'. CLASSDIR: MVTec AD layout.
SEED=N draws other weights and another order. CACHE=0 runs the teacher in every epoch in place of keeping its features
(it is frozen and images are not augmented, so they are the same). THREADS=N (2).
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy scikit-learn pillow safetensors
Prints per class: image AUROC, pixel AUROC, images x epochs a second of training, images a second scored, peak RSS.
"""
import glob, os, resource, sys, time
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F, torchvision
from PIL import Image
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

SIZE, BATCH, SCORE_BATCH = 256, 16, 8
W, EPOCHS = sys.argv[1], int(sys.argv[2])
CACHE = os.environ.get("CACHE", "1") != "0"
torch.set_num_threads(int(os.environ.get("THREADS", "2")))
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

torch.manual_seed(0)
NET = torchvision.models.resnet18()
if W != "random":
    sd = load_file(W) if W.endswith(".safetensors") else torch.load(W)
    r = NET.load_state_dict({k: v for k, v in sd.items() if not k.startswith(("fc.", "projection."))}, strict=False)
    assert not r.unexpected_keys and set(r.missing_keys) <= {"fc.weight", "fc.bias"}, r
NET.eval().to(memory_format=torch.channels_last)


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


def load(f):
    im = Image.open(f).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
    return (torch.from_numpy(np.array(im)).permute(2, 0, 1).float() / 255 - MEAN) / STD


def fit(files):
    torch.manual_seed(int(os.environ.get("SEED", "111")))
    net = Student().to(memory_format=torch.channels_last).train()
    opt = torch.optim.Adam(net.parameters(), lr=0.005, betas=(0.5, 0.999))
    flat = lambda t: t.permute(0, 2, 3, 1).reshape(t.shape[0], -1)
    kept = [[m[0] for m in teacher(load(f)[None])] for f in files] if CACHE else None
    for _ in range(EPOCHS):
        order = torch.randperm(len(files)).tolist()
        for i in range(0, len(order), BATCH):
            at = order[i:i + BATCH]
            if CACHE:
                e = [torch.stack([kept[j][k] for j in at]) for k in range(3)]
            else:
                e = [m.clone() for m in teacher(torch.stack([load(files[j]) for j in at]))]
            loss = sum((1 - F.cosine_similarity(flat(a), flat(b))).mean() for a, b in zip(e, net(e)))
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
    return net.eval()


@torch.inference_mode()
def score(net, files):
    maps = []
    for i in range(0, len(files), SCORE_BATCH):
        e = teacher(torch.stack([load(f) for f in files[i:i + SCORE_BATCH]]))
        m = sum(F.interpolate((1 - F.cosine_similarity(a, b))[:, None], size=SIZE, mode="bilinear", align_corners=True)
                for a, b in zip(e, net(e)))
        maps += [gaussian_filter(v, 4) for v in m[:, 0].numpy()]
    return maps


def run(d):
    ls = lambda p: sorted(f for f in glob.glob(p) if f.endswith((".png", ".jpg", ".bmp")))
    train = ls(d + "/train/good/*")
    t = time.time()
    net = fit(train)
    tf = time.time() - t
    test = [(f, k) for k in sorted(os.listdir(d + "/test")) for f in ls(f"{d}/test/{k}/*")]
    t = time.time()
    maps = score(net, [f for f, _ in test])
    ts = time.time() - t
    y = [k != "good" for _, k in test]
    img = roc_auc_score(y, [v.max() for v in maps])
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # before the figures, which are no part of it
    pix = float("nan")
    if os.path.isdir(d + "/ground_truth"):
        g = []
        for f, k in test:
            if k == "good":
                g.append(np.zeros((SIZE, SIZE), bool)); continue
            mk = os.path.splitext(os.path.basename(f))[0]
            m = Image.open(f"{d}/ground_truth/{k}/{mk}_mask.png").convert("L").resize((SIZE, SIZE), Image.BILINEAR)
            g.append(np.array(m) > 127)
        pix = roc_auc_score(np.concatenate([v.ravel() for v in g]), np.concatenate([v.ravel() for v in maps]))
    print(f"{os.path.basename(d.rstrip('/')):14s} image {100*img:6.2f} pixel {100*pix:6.2f}  fit {len(train)*EPOCHS/tf:6.1f} img/s  score {len(test)/ts:6.1f} img/s  rss {rss} MB", flush=True)
    return img, pix


r = np.array([run(d) for d in sys.argv[3:]])
print("mean", 100 * r.mean(0))
