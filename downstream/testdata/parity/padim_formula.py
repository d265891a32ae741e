#!/usr/bin/env python3
"""Makes padim_formula.json: maps of two images by PaDiM on torchvision's ResNet-18 with weights and images given by a formula.

usage: padim_formula.py > padim_formula.json
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy
Written from the method's description: last block of stages 1 to 3, deeper maps repeated, the first 40 of
random.sample(range(448), 100) with seed 1024, unbiased covariance plus 0.01, distances by a dense inverse, bilinear to the
input's size, gaussian_filter(4). Network and all after it are in float64, so that the fixture carries the method and not the
rounding of one program. Images are bytes: waves of a frequency of their own, and noise.
"""
import json, random, sys, zlib
import numpy as np, scipy, torch, torch.nn.functional as F, torchvision
from scipy.ndimage import gaussian_filter

H, W, TRAIN, TEST, COUNT, STEP = 64, 96, 8, 2, 40, 4


def draw(name, n):
    """Values in [-1, 1) that float32 holds exactly."""
    h = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(3266489917)) & np.uint64(0xFFFFFFFF)
    return ((h >> np.uint64(16)).astype(np.int64) - 32768) / 32768


def fill(name, t):
    if name.endswith("num_batches_tracked"):
        return
    scale, base = 0.125, 0
    if t.dim() == 4:
        scale = 2.0 ** round(np.log2((3.0 / np.prod(t.shape[1:])) ** 0.5))
    elif name.endswith("running_var"):
        scale, base = 0.5, 1
    elif name.endswith("weight") and t.dim() == 1:
        scale, base = 0.25, 1
    t.copy_(torch.from_numpy(base + scale * draw(name, t.numel())).reshape(t.shape))


def image(name):
    """128 + 64 noise + 63 of a wave along the rows, rounded to bytes; the wave moves with the row and the channel."""
    u = draw(name, H * W * 3).reshape(H, W, 3)
    y, x, c = np.meshgrid(np.arange(H), np.arange(W), np.arange(3), indexing="ij")
    wave = np.abs((x * 5 + y * 3 + c * 7) % 64 - 32) / 16 - 1
    return np.floor(128 + 63 * wave + 64 * u).clip(0, 255).astype(np.uint8)


net = torchvision.models.resnet18().double().eval()
with torch.no_grad():
    for name, t in net.state_dict().items():
        fill(name, t)
random.seed(1024)
channels = torch.tensor(random.sample(range(448), 100)[:COUNT])
mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@torch.inference_mode()
def embed(images):
    x = torch.stack([torch.from_numpy((im / 255 - mean) / std).permute(2, 0, 1) for im in images])
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    a = net.layer1(x); b = net.layer2(a); c = net.layer3(b)
    e = torch.cat([a, F.interpolate(b, size=a.shape[2:]), F.interpolate(c, size=a.shape[2:])], 1)
    return e[:, channels].flatten(2).permute(2, 0, 1)  # [P, N, C]


train = embed([image("train %d" % i) for i in range(TRAIN)])
test = [image("test %d" % i) for i in range(TEST)]
test[1][20:40, 50:60] = 10  # a dark bar
m = train.mean(1, keepdim=True)
d = train - m
inv = torch.linalg.inv(d.transpose(1, 2) @ d / (TRAIN - 1) + 0.01 * torch.eye(COUNT).double())
x = embed(test) - m
q = ((x @ inv) * x).sum(2).clamp(min=0).sqrt()
up = F.interpolate(q.T.reshape(-1, 1, H // 4, W // 4), size=(H, W), mode="bilinear", align_corners=False)[:, 0].numpy()
maps = [gaussian_filter(v, 4) for v in up]
json.dump({
    "made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "torchvision": torchvision.__version__,
                  "numpy": np.__version__, "scipy": scipy.__version__},
    "height": H, "width": W, "train": TRAIN, "step": STEP, "channels": channels.tolist(),
    "images": [{"score": v.max(), "values": [float("%.7g" % y) for y in v[::STEP, ::STEP].ravel()]} for v in maps],
}, sys.stdout)
print()
