#!/usr/bin/env python3
"""Makes <architecture>.json for torchvision's ResNets: names and shapes of the state dict, features in evaluation, and
one training step with gradients, running statistics and what SGD makes of it, with weights from a formula.

Made with torch 2.1.2, torchvision 0.16.2, numpy 1.26; run in this folder: python resnet.py [architecture ...].
The Go test holds the same formula.
"""
import json, sys, zlib
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


def short(v):
    return float(f"{v:.9g}")  # holds a float32 exactly


def sample(t):
    """Fourteen values evenly spread and the ten largest."""
    v = t.detach().flatten().double().numpy()
    idx = np.concatenate([np.linspace(0, len(v) - 1, 14).astype(int), np.argsort(-np.abs(v), kind="stable")[:10]])
    return {"shape": list(t.shape), "index": idx.tolist(), "value": [short(x) for x in v[idx]], "max": short(np.abs(v).max())}


def inputs(n, h, w):
    return torch.from_numpy(draw(f"input {n} {h} {w}", n * 3 * h * w).reshape(n, 3, h, w))


# Parameters whose gradients are kept, where the architecture has them: first and last, ways around, each kind of convolution.
GRADS = ("conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.downsample.0.weight", "layer2.0.conv2.weight",
         "layer3.0.downsample.0.weight", "layer3.5.conv3.weight", "layer4.0.bn1.weight", "layer4.1.conv2.weight")
STATS = ("bn1.running_mean", "bn1.running_var", "layer4.1.bn2.running_mean", "layer4.1.bn2.running_var")
SIZES = {"resnet18": [(2, 64, 64), (1, 224, 224), (3, 75, 50)]}  # others: the last is 1x1 and 1x2 in stage 4


def steadied(state):
    """Moves the biases of batch norm so that hardly a value is near the kink of its ReLU: even channels of the norms inside
    blocks pass, odd ones are cut off, and the sum at a block's end passes. Without that rounding flips some ReLUs of a
    bottleneck network in training, and float32 and float64 gradients in PyTorch itself differ by 5e-2; with it, by 1e-5."""
    last = "bn3" if any(".bn3." in k for k in state) else "bn2"
    out = {}
    for k, v in state.items():
        norm = k.split(".")[-2] if k.endswith(".bias") else ""
        if k.endswith("downsample.1.bias") or norm == last:
            v = v + 2
        elif norm.startswith("bn"):
            v = v + torch.where(torch.arange(len(v)) % 2 == 0, 3.0, -3.0)
        out[k] = v
    return out


def step(net, steady):
    """One training step: batch statistics, loss = mean of squared pooled features, gradients, running statistics after it,
    SGD with momentum, and features in evaluation with the new weights."""
    state = {k: fill(k, tuple(v.shape)) for k, v in net.state_dict().items()}
    net.load_state_dict(steadied(state) if steady else state, strict=True)
    net.zero_grad()
    net.train()
    f = features(net, inputs(4, 64, 64))
    loss = (f["pooled"] ** 2).mean() * 100
    loss.backward()
    grads = {k: sample(p.grad) for k, p in net.named_parameters() if k in GRADS}
    stats = {k: sample(v) for k, v in net.state_dict().items() if k in STATS}
    params = [p for k, p in net.named_parameters() if not k.startswith("fc.")]
    norm = torch.stack([(p.grad.double() ** 2).sum() for p in params]).sum().sqrt().item()
    lr = 2.0 ** np.floor(np.log2(1 / norm))  # a visible step, exact in binary
    before = evaluate(net)
    torch.optim.SGD(params, lr=lr, momentum=0.9).step()
    after = evaluate(net)
    moved = ((after - before).abs().max() / after.abs().max()).item()
    assert moved > 0.01, "the step cannot be seen"
    return {"steady": steady, "loss": loss.item(), "features": {k: sample(v) for k, v in f.items()}, "grads": grads, "stats": stats,
            "seen": int(net.bn1.num_batches_tracked), "lr": lr, "after": sample(after)}


def evaluate(net):
    net.eval()
    with torch.no_grad():
        return features(net, inputs(2, 64, 64))["pooled"]


def make(arch):
    net = getattr(torchvision.models, arch)()
    net.load_state_dict({k: fill(k, tuple(v.shape)) for k, v in net.state_dict().items()}, strict=True)
    state = [[k, list(v.shape)] for k, v in net.state_dict().items()]
    cases = []
    net.eval()
    for n, h, w in SIZES.get(arch, [(2, 64, 64), (1, 75, 50), (1, 32, 40)]):
        with torch.no_grad():
            cases.append({"n": n, "h": h, "w": w, "features": {k: sample(v) for k, v in features(net, inputs(n, h, w)).items()}})

    train = [step(net, steady) for steady in ([True] if hasattr(net.layer1[0], "bn3") else [False, True])]
    out = {"torch": torch.__version__, "torchvision": torchvision.__version__, "state": state, "eval": cases, "train": train}
    with open(arch + ".json", "w") as file:
        json.dump(out, file, separators=(",", ":"))
    for c in cases:
        print(arch, {k: (round(v["max"], 3), round(float(np.ptp(v["value"])), 3)) for k, v in c["features"].items()})
    for c in train:
        print(c["steady"], c["loss"], c["lr"], {k: v["max"] for k, v in c["grads"].items()})


for arch in sys.argv[1:] or ["resnet18", "resnet34", "resnet50", "wide_resnet50_2"]:
    make(arch)
