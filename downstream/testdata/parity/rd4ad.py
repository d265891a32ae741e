#!/usr/bin/env python3
"""Makes rd4ad.json: student, loss, training steps and map of RD4AD in PyTorch, weights and features given by a formula.

usage: rd4ad.py > rd4ad.json
needs: torch==2.1.2 numpy<2 scipy
Written from the method's description: MFF, OCE and decoder, the cosine of whole maps (and, as loss_positions, of the channels
at each position), two steps of Adam with rate 0.005 and betas 0.5 and 0.999, and before them in evaluation the maps
rebuilt and the map of abnormality: 1 - cosine, bilinear with corners aligned, summed, SciPy's Gaussian of sigma 4.
Everything is in float64, so that the fixture carries the method and not the rounding of one program; "chance" is how far the
second step is from that in float32. "structure" has for the
students of the four backbones the number of trained values and the CRC-32 of all names and shapes.
"""
import json, math, sys, zlib
import numpy as np, scipy, torch, torch.nn as nn, torch.nn.functional as F
from scipy.ndimage import gaussian_filter

N, H, W, SAMPLES = 4, 16, 24, 24  # images; grid of the first layer; values of an array that are kept


def draw(name, n):
    """Values in [-1, 1) that float32 holds exactly."""
    h = (np.arange(n, dtype=np.uint64) * 2654435761 + zlib.crc32(name.encode())) & 0xffffffff
    h = ((h ^ h >> 15) * 2246822519) & 0xffffffff
    h = ((h ^ h >> 13) * 3266489917) & 0xffffffff
    return ((h >> 16).astype(np.int64) - 32768) / 32768


def fill(name, t):
    if name.endswith("num_batches_tracked"):
        return
    scale, base = 0.125, 0
    if t.dim() == 4:
        scale = 2.0 ** round(math.log2(math.sqrt(3 / (t.shape[1] * t.shape[2] * t.shape[3]))))
    elif name.endswith("running_var"):
        scale, base = 0.5, 1
    elif name.endswith("weight"):
        scale, base = 0.25, 1
    t.copy_(torch.from_numpy(base + scale * draw(name, t.numel())).reshape(t.shape))


def conv(i, o, k, s):
    return nn.Conv2d(i, o, k, s, k // 2, bias=False)


def deconv(i, o):
    return nn.ConvTranspose2d(i, o, 2, 2, bias=False)


class Block(nn.Module):
    """A residual block: basic where width is 0; up makes it double the grid in place of halving it."""

    def __init__(self, i, o, width, stride, up):
        super().__init__()
        strided = lambda a, b: deconv(a, b) if up and stride == 2 else conv(a, b, 3, stride)
        if width:
            self.conv1, self.bn1 = conv(i, width, 1, 1), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = strided(width, width), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = conv(width, o, 1, 1), nn.BatchNorm2d(o)
        else:
            self.conv1, self.bn1 = strided(i, o), nn.BatchNorm2d(o)
            self.conv2, self.bn2 = conv(o, o, 3, 1), nn.BatchNorm2d(o)
        if stride == 2:
            setattr(self, "upsample" if up else "downsample", nn.Sequential(deconv(i, o) if up else conv(i, o, 1, 2), nn.BatchNorm2d(o)))
        self.around = (lambda x: x) if stride != 2 else (lambda x: (self.upsample if up else self.downsample)(x))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + self.around(x))


def stage(count, i, o, width, up):
    return nn.Sequential(*[Block(i if k == 0 else o, o, o // 4 * width, 2 if k == 0 else 1, up) for k in range(count)])


class Fusion(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.n = len(channels) - 1
        for k in range(self.n):
            setattr(self, f"conv{k+1}", conv(channels[k], channels[k + 1], 3, 2))
            setattr(self, f"bn{k+1}", nn.BatchNorm2d(channels[k + 1]))

    def forward(self, x):
        for k in range(self.n):
            x = F.relu(getattr(self, f"bn{k+1}")(getattr(self, f"conv{k+1}")(x)))
        return x


class Student(nn.Module):
    def __init__(self, channels, width, oce, decoder):
        super().__init__()
        last = channels[-1]
        self.mff = nn.ModuleDict({str(i + 1): Fusion(channels[i:]) for i in range(len(channels) - 1)})
        self.oce = stage(oce, last * len(channels), 2 * last, width, False)
        wide = [2 * last] + channels[::-1]
        self.decoder = nn.ModuleDict({str(i + 1): stage(n, wide[i], wide[i + 1], width, True) for i, n in enumerate(decoder)})

    def forward(self, e):
        x = self.oce(torch.cat([m(x) for m, x in zip(self.mff.values(), e)] + [e[-1]], 1))
        out = []
        for d in self.decoder.values():
            x = d(x)
            out.insert(0, x)
        return out


def cosine(a, b):
    return F.cosine_similarity(a.flatten(1), b.flatten(1)).mean()


def positions(a, b):
    return F.cosine_similarity(a, b).mean()


def loss(e, d, of):
    return sum(1 - of(a, b) for a, b in zip(e, d))


def some(t):
    """About SAMPLES values, at a distance that is neither even nor a multiple of 3, so that they come from all taps of a kernel."""
    t = t.detach().flatten()
    step = max(1, len(t) // SAMPLES) | 1
    return [float("%.7g" % v) for v in t[::step + 2 if step % 3 == 0 else step].tolist()]


def evaluate(net, e, out):
    with torch.no_grad():
        d = net.eval()(e)
        m = sum(F.interpolate((1 - F.cosine_similarity(a, b))[:, None], size=(4 * H, 4 * W), mode="bilinear", align_corners=True) for a, b in zip(e, d))
    net.train()
    maps = np.stack([gaussian_filter(v, 4) for v in m[:, 0].numpy()])
    out["rebuilt"] = [some(m) for m in d]
    out["maps"] = [float("%.7g" % v) for v in maps[:, ::11, ::13].ravel()]
    out["scores"] = [float(v.max()) for v in maps]


def case(channels, width, oce, decoder, dtype=torch.float64):
    net = Student(channels, width, oce, decoder).to(dtype)
    with torch.no_grad():
        for name, t in net.state_dict().items():
            fill(name, t)
    e = [F.relu(torch.from_numpy(draw(f"layer{k+1}", N * c * (H >> k) * (W >> k))).reshape(N, c, H >> k, W >> k)).to(dtype) for k, c in enumerate(channels)]
    opt = torch.optim.Adam(net.parameters(), lr=0.005, betas=(0.5, 0.999))
    out = {"channels": channels, "width": width, "oce": oce, "decoder": decoder, "losses": [], "steps": []}
    out["names"] = ["mff.1.conv2.weight", "mff.2.bn1.weight", "oce.0.conv2.weight", "oce.0.downsample.0.weight", "oce.1.bn1.bias",
                    "decoder.1.0.upsample.0.weight", "decoder.2.0.conv%d.weight" % (2 if width else 1), "decoder.3.1.conv2.weight",
                    "decoder.3.0.bn2.running_mean", "decoder.1.0.bn1.running_var"]
    evaluate(net, e, out)
    for k in range(2):
        d = net(e)
        if k == 0:
            out["loss_positions"] = loss(e, d, positions).item()
            out["trained"] = [some(m) for m in d]
        v = loss(e, d, cosine)
        out["losses"].append(v.item())
        opt.zero_grad()
        v.backward()
        opt.step()
        out["steps"].append([some(net.state_dict()[n]) for n in out["names"]])
    return out


def chance(a, b):
    """How far the second steps of two runs lie apart: root mean square relative to that of the steps."""
    diff, size = 0, 0
    for k, n in enumerate(a["names"]):
        if "running" not in n:
            one, two, other = (np.array(v) for v in (a["steps"][0][k], a["steps"][1][k], b["steps"][1][k]))
            diff, size = diff + ((two - other) ** 2).sum(), size + ((two - one) ** 2).sum()
    return float("%.2g" % (diff / size) ** 0.5)


def both(*net):
    exact = case(*net)
    exact["chance"] = chance(exact, case(*net, dtype=torch.float32))
    return exact


def structure(channels, width, oce, decoder):
    with torch.device("meta"):
        net = Student(channels, width, oce, decoder)
    lines = "".join(f"{n} {list(t.shape)}\n" for n, t in sorted(net.state_dict().items()))
    return {"values": sum(p.numel() for p in net.parameters()), "crc": zlib.crc32(lines.encode())}


e1, e4 = [64, 128, 256], [256, 512, 1024]
json.dump({
    "made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__},
    "structure": {"resnet18": structure(e1, 0, 2, [2, 2, 2]), "resnet34": structure(e1, 0, 3, [3, 4, 6]),
                  "resnet50": structure(e4, 1, 3, [3, 4, 6]), "wide_resnet50_2": structure(e4, 2, 3, [3, 4, 6])},
    "cases": {"basic": both([8, 16, 32], 0, 2, [2, 2, 2]), "bottleneck": both([16, 32, 64], 2, 3, [1, 2, 3])},
}, sys.stdout)
print()
