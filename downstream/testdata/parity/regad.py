#!/usr/bin/env python3
"""Makes regad.json: RegAD in PyTorch with weights from a formula: transformed features, loss and gradients of a training
step, the losses of four, and the map of distances of two images to a support set of two.

usage: regad.py > regad.json
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy
Written from the method's description. Distances are by a dense inverse in float64. The Go test holds the same formula.
"""
import json, math, sys, zlib
import numpy as np, scipy, torch, torch.nn as nn, torch.nn.functional as F, torchvision
from scipy.ndimage import gaussian_filter

torch.set_num_threads(1)
SIDE, HIDDEN, QUERIES, SHOTS, STEPS, LR, MOMENTUM, EPSILON, SIGMA = 64, 32, 4, 2, 4, 2.0 ** -5, 0.9, 0.01, 4.0
GRIDS = {1: (64, 16), 2: (128, 8), 3: (256, 4)}


def hashed(name, n):
    h = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    return ((h ^ (h >> np.uint64(13))) * np.uint64(3266489917)) & np.uint64(0xFFFFFFFF)


def draw(name, n):
    """n values in [-1, 1) that float32 holds exactly."""
    return (((hashed(name, n) >> np.uint64(16)).astype(np.int64) - 32768) / 32768).astype(np.float32)


def fill(name, shape):
    """Weights by the name. Biases of batch norm keep values away from the kinks of the ReLUs: without that rounding flips some
    of them, and gradients in float32 and float64 differ by a hundredth in PyTorch itself."""
    u = draw(name, int(np.prod(shape)))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if len(shape) > 1:
        u = u * np.float32(2.0 ** round(np.log2((3.0 / np.prod(shape[1:])) ** 0.5)))
        if name.endswith("fc2.weight"):
            u = u / 32  # turns of some degrees
    elif name.endswith("running_var"):
        u = 1 + u * np.float32(0.5)
    elif name.endswith("fc2.bias"):
        u = np.float32([0, 1, 1]) + u * np.float32(0.125)
    elif name.endswith("weight"):
        u = 1 + u * np.float32(0.25)
    else:
        u = u * np.float32(0.125)
        kinks = name.split(".")[-2] if name.endswith(".bias") else ""
        if kinks == "1" and "downsample" in name or kinks == "bn2" and "layer" in name:
            u = u + 2  # the sum at a block's end passes its ReLU
        elif kinks.startswith("bn"):
            u = u + np.where(np.arange(len(u)) % 2 == 0, np.float32(3), np.float32(-3))
    return torch.from_numpy(u.reshape(shape).astype(np.float32))


def image(name):
    """A picture of bytes: waves with noise, so that neighbours hang together."""
    h = (hashed(name, SIDE * SIDE * 3) >> np.uint64(26)).astype(np.int64).reshape(SIDE, SIDE, 3)  # 0 to 63
    y, x, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    return (h + (7 * x + 5 * y * (1 + c) + zlib.crc32(name.encode()) % 97) % 128).astype(np.uint8)


def images(*names):
    return torch.from_numpy(np.stack([image(n) for n in names])).permute(0, 3, 1, 2).float() / 255


class Transformer(nn.Module):
    def __init__(self, c, side):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = nn.Conv2d(64, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.fc1, self.fc2 = nn.Linear(16 * ((side + 3) // 4) ** 2, HIDDEN), nn.Linear(HIDDEN, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 3, 2, 1)
        p = self.fc2(F.relu(self.fc1(x.flatten(1))))
        cos, sin, zero = p[:, 0].cos(), p[:, 0].sin(), torch.zeros(len(p), dtype=p.dtype)
        return torch.stack([cos * p[:, 1], -sin, zero, sin, cos * p[:, 2], zero], 1).reshape(-1, 2, 3)


def warp(x, theta):
    return F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), padding_mode="reflection", align_corners=False)


def head(convs):
    m = nn.Module()
    for i in range(1, convs + 1):
        setattr(m, f"conv{i}", nn.Conv2d(256, 256, 1, bias=False))
        if i < convs:
            setattr(m, f"bn{i}", nn.BatchNorm2d(256))
    return m


def through(m, x, convs):
    for i in range(1, convs):
        x = F.relu(getattr(m, f"bn{i}")(getattr(m, f"conv{i}")(x)))
    return getattr(m, f"conv{convs}")(x)


class RegAD(nn.Module):
    def __init__(self):
        super().__init__()
        net = torchvision.models.resnet18()
        del net.layer4, net.fc
        self.backbone = net
        for l, (c, side) in GRIDS.items():
            setattr(self, f"stn{l}", Transformer(c, side))
        self.encoder, self.predictor = head(3), head(2)

    def align(self, x):
        """The deepest map, and each layer's transformed map with its matrices."""
        n = self.backbone
        x, seen = n.maxpool(F.relu(n.bn1(n.conv1(x)))), []
        for l in GRIDS:
            x = getattr(n, f"layer{l}")(x)
            theta = getattr(self, f"stn{l}")(x)
            x = warp(x, theta)
            seen.append((x, theta))
        return x, seen

    def loss(self, q, s):
        q, _ = self.align(q)
        s, _ = self.align(s)
        s = s.reshape(len(q), SHOTS, *s.shape[1:]).mean(1)
        zq, zs = through(self.encoder, q, 3), through(self.encoder, s, 3)
        pq, ps = through(self.predictor, zq, 2), through(self.predictor, zs, 2)
        return -(F.cosine_similarity(pq, zs.detach(), dim=1).mean() + F.cosine_similarity(ps, zq.detach(), dim=1).mean()) / 2

    def features(self, x):
        """Each layer's map, back where the image has it."""
        out, back = [], []
        for x, theta in self.align(x)[1]:
            full = torch.cat([theta.double(), torch.tensor([[[0.0, 0, 1]]]).double().expand(len(theta), 1, 3)], 1)
            back.append(torch.linalg.inv(full)[:, :2].to(x.dtype))
            for t in reversed(back):
                x = warp(x, t)
            out.append(x)
        return out


def variations(x):
    def affine(*rows):
        return warp(x, torch.tensor(rows, dtype=x.dtype).reshape(1, 2, 3).expand(len(x), 2, 3))

    def turn(a):
        return affine(math.cos(a), -math.sin(a), 0, math.sin(a), math.cos(a), 0)

    out = [x] + [turn(k * math.pi / 16) for k in (-4, -3, -2, -1, 1, 2, 3, 4)]
    out += [affine(1, 0, a * d, 0, 1, b * d) for d in (0.2, 0.1) for a in (1, -1) for b in (1, -1)]
    grey = 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]
    out += [x.flip(3), grey.expand(-1, 3, -1, -1)] + [x.rot90(k, (2, 3)) for k in (1, 2, 3)]
    return torch.cat(out)


def short(v):
    return float(f"{v:.7g}")


def sample(t, even=8, top=4):
    v = t.detach().flatten().double().numpy()
    idx = np.unique(np.concatenate([np.linspace(0, len(v) - 1, even).astype(int), np.argsort(-np.abs(v), kind="stable")[:top]]))
    return {"shape": list(t.shape), "index": idx.tolist(), "value": [short(x) for x in v[idx]], "max": short(np.abs(v).max())}


def fresh():
    net = RegAD()
    net.load_state_dict({k: fill(k, tuple(v.shape)) for k, v in net.state_dict().items()}, strict=True)
    return net


def batch(step):
    return (images(*[f"query {step} {i}" for i in range(QUERIES)]),
            images(*[f"support {step} {i} {k}" for i in range(QUERIES) for k in range(SHOTS)]))


out = {"made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__},
       "side": SIDE, "hidden": HIDDEN, "queries": QUERIES, "shots": SHOTS, "lr": LR, "momentum": MOMENTUM, "epsilon": EPSILON, "sigma": SIGMA}
net = fresh()
out["names"] = [[k, list(v.shape)] for k, v in net.state_dict().items()]

# Evaluation: matrices and features of two images, and their distances to two others.
net.eval()
with torch.no_grad():
    test = images("test 0", "test 1")
    seen = net.align(test)[1]
    out["matrices"] = [[short(v) for v in t.flatten().tolist()] for _, t in seen]
    feats = net.features(test)
    out["features"] = [sample(f, 24, 8) for f in feats]

    def embed(x):
        fs = net.features(x)
        side = fs[0].shape[2]
        e = torch.cat([F.interpolate(f, size=(side, side)) for f in fs], 1)
        return e.permute(2, 3, 0, 1).flatten(0, 1).double()  # [P, N, C]

    support = embed(torch.cat([variations(images(f"shot {k}")) for k in range(2)]))
    n = support.shape[1]
    mean = support.mean(1, keepdim=True)
    d = support - mean
    cov = d.transpose(1, 2) @ d / (n - 1) + EPSILON * torch.eye(d.shape[2]).double()
    q = embed(test) - mean
    dist = ((q @ torch.linalg.inv(cov)) * q).sum(2).sqrt().T.reshape(2, 1, *feats[0].shape[2:])
    out["distances"] = [short(v) for v in dist.flatten().tolist()]
    up = F.interpolate(dist, size=SIDE, mode="bilinear", align_corners=False)[:, 0].numpy()
    maps = np.stack([gaussian_filter(v, SIGMA) for v in up])
    out["scores"] = [short(v) for v in maps.max((1, 2))]
    out["maps"] = [short(v) for v in maps[:, ::8, ::8].ravel()]

# Training.
net = fresh().train()
sgd = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
out["losses"] = []
for step in range(STEPS):
    sgd.zero_grad()
    loss = net.loss(*batch(step))
    loss.backward()
    out["losses"].append(loss.item())
    if step == 0:
        out["grads"] = {k: sample(p.grad, 3, 3) for k, p in net.named_parameters()}
    sgd.step()
    if step == 0:
        out["after"] = {k: sample(v, 3, 2) for k, v in net.state_dict().items()
                        if k.endswith(("conv1.weight", "bn1.running_var", "bn2.running_mean", "fc2.bias"))}

if len(sys.argv) > 1:  # how far float32 is from float64 here
    twin = fresh().double().train()
    for step in range(STEPS):
        loss = twin.loss(*[x.double() for x in batch(step)])
        print(step, loss.item(), out["losses"][step], file=sys.stderr)
        if step == 0:
            loss.backward()
            worst = []
            for k, p in twin.named_parameters():
                g = p.grad.flatten()
                r = out["grads"][k]
                worst.append((max(abs(g[i].item() - v) for i, v in zip(r["index"], r["value"])) / g.abs().max().item(), k))
            print(sorted(worst)[-12:], file=sys.stderr)
            sgd = torch.optim.SGD(twin.parameters(), lr=LR, momentum=MOMENTUM)
        else:
            sgd.zero_grad()
            loss = twin.loss(*[x.double() for x in batch(step)])
            loss.backward()
        sgd.step()
json.dump(out, sys.stdout, separators=(",", ":"))
print()
