#!/usr/bin/env python3
"""Makes resnet18.json: features of torchvision's ResNet-18 with weights from a formula.

needs: torch==2.1.2 torchvision==0.16.2 numpy<2; run in this folder. The Go test holds the same formula.
"""
import json, zlib
import numpy as np, torch, torchvision

torch.set_num_threads(1)


def draw(name, n):
    """n values in [-1, 1) that float32 holds exactly."""
    h = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(zlib.crc32(name.encode()))) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(3266489917)) & np.uint64(0xFFFFFFFF)
    return (((h >> np.uint64(16)).astype(np.int64) - 32768) / 32768).astype(np.float32)


def fill(name, shape):
    u = draw(name, int(np.prod(shape)))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if len(shape) == 4:
        u = u * np.float32(2.0 ** round(np.log2((3.0 / (shape[1] * shape[2] * shape[3])) ** 0.5)))
    elif name.endswith("running_var"):
        u = 1 + u * np.float32(0.5)
    elif name.endswith("weight") and len(shape) == 1:
        u = 1 + u * np.float32(0.25)
    else:
        u = u * np.float32(0.125)
    return torch.from_numpy(u.reshape(shape))


def features(net, x):
    x = net.maxpool(torch.relu(net.bn1(net.conv1(x))))
    out = {"stem": x}
    for k in range(1, 5):
        x = getattr(net, f"layer{k}")(x)
        out[f"layer{k}"] = x
    out["pooled"] = x.mean((2, 3))
    return out


def sample(t):
    v = t.detach().flatten().double().numpy()
    idx = np.linspace(0, len(v) - 1, 24).astype(int)
    return {"shape": list(t.shape), "index": idx.tolist(), "value": v[idx].tolist(), "max": float(np.abs(v).max())}


net = torchvision.models.resnet18()
net.load_state_dict({k: fill(k, tuple(v.shape)) for k, v in net.state_dict().items()}, strict=True)
cases = []
for n, h, w in [(2, 64, 64), (1, 224, 224), (3, 75, 50)]:
    x = torch.from_numpy(draw(f"input {n} {h} {w}", n * 3 * h * w).reshape(n, 3, h, w))
    net.eval()
    with torch.no_grad():
        cases.append({"n": n, "h": h, "w": w, "features": {k: sample(v) for k, v in features(net, x).items()}})

# One training step's numbers: batch statistics, loss = mean of squared pooled features, gradients, running statistics after it.
x = torch.from_numpy(draw("input 4 64 64", 4 * 3 * 64 * 64).reshape(4, 3, 64, 64))
net.train()
f = features(net, x)
loss = (f["pooled"] ** 2).mean() * 100
loss.backward()
grads = {k: sample(p.grad) for k, p in net.named_parameters() if k in ("conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer3.0.downsample.0.weight", "layer4.1.bn2.weight")}
stats = {k: sample(v) for k, v in net.state_dict().items() if k in ("bn1.running_mean", "bn1.running_var", "layer4.1.bn2.running_mean", "layer4.1.bn2.running_var")}
train = {"loss": loss.item(), "features": {k: sample(v) for k, v in f.items()}, "grads": grads, "stats": stats, "seen": int(net.bn1.num_batches_tracked)}
json.dump({"torch": torch.__version__, "torchvision": torchvision.__version__, "eval": cases, "train": train}, open("resnet18.json", "w"), indent=None)
for c in cases:
    print({k: (round(v["max"], 3), round(float(np.ptp(v["value"])), 3)) for k, v in c["features"].items()})
print(train["loss"], {k: v["max"] for k, v in grads.items()})
