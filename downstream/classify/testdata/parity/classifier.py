#!/usr/bin/env python3
"""Makes classifier.json: a linear layer on torchvision's ResNet-18, its losses, and one step of training both, in PyTorch.

usage: classifier.py > classifier.json
Made with torch 2.1.2, torchvision 0.16.2, numpy 1.26. Weights, images and labels come from the formula of
backbone/testdata/parity/resnet.py, which the Go test has too; the biases of batch norm are moved away from the kinks of the
ReLUs as there, so that rounding does not flip one.
"""
import json, zlib
import numpy as np, torch, torch.nn.functional as F, torchvision

torch.set_num_threads(1)
N, SIDE, LABELS, CLASSES = 6, 64, 8, 5


def draw(name, n):
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
    v = torch.from_numpy(u.reshape(shape))
    if name.endswith("downsample.1.bias") or name.endswith(".bn2.bias"):
        v = v + 2
    elif "bn" in name and name.endswith(".bias"):
        v = v + torch.where(torch.arange(len(v)) % 2 == 0, 3.0, -3.0)
    return v


# Task, loss, its weights, and the optimizer. AdamW's epsilon is large beside the gradients: with a small one its first step is
# their sign, which rounding decides where they are nearly 0.
CASES = {
    "labels": (LABELS, lambda y, w: F.binary_cross_entropy_with_logits(y, truth()), "sgd"),
    "labels weighted": (LABELS, lambda y, w: F.binary_cross_entropy_with_logits(y, truth(), pos_weight=w), "adamw"),
    "classes": (CLASSES, lambda y, w: F.cross_entropy(y, classes()), "sgd"),
    "classes weighted": (CLASSES, lambda y, w: F.cross_entropy(y, classes(), weight=w), "adamw"),
}
HEAD_LR, BACKBONE_LR = 2**-6, 2**-9


def truth():
    return torch.from_numpy((draw("truth", N * LABELS) > 0).astype(np.float32).reshape(N, LABELS))


def classes():
    return torch.arange(N) * 3 % CLASSES


def optimizer(rule, net, head):
    groups = [{"params": head.parameters(), "lr": HEAD_LR},
              {"params": [p for n, p in net.named_parameters() if not n.startswith("fc.")], "lr": BACKBONE_LR}]
    if rule == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, weight_decay=0.01)
    return torch.optim.AdamW(groups, eps=1.0, weight_decay=0.1)


def forward(net, head, x):
    x = net.maxpool(torch.relu(net.bn1(net.conv1(x))))
    for k in range(1, 5):
        x = getattr(net, f"layer{k}")(x)
    return head(x.mean((2, 3)))


def evaluated(net, head, x):
    net.eval()
    with torch.no_grad():
        return forward(net, head, x)


def reference(t):
    return {"shape": list(t.shape), "values": [float("%.9g" % v) for v in t.detach().double().flatten().tolist()]}


out = {}
for name, (k, loss, rule) in CASES.items():
    net, head = torchvision.models.resnet18(), torch.nn.Linear(512, k)
    net.load_state_dict({n: fill(n, tuple(v.shape)) for n, v in net.state_dict().items()}, strict=True)
    head.load_state_dict({n: fill("head." + n, tuple(v.shape)) for n, v in head.state_dict().items()})
    x = torch.from_numpy(draw("images", N * SIDE * SIDE * 3).reshape(N, SIDE, SIDE, 3)).permute(0, 3, 1, 2)
    w = 1.25 + torch.from_numpy(draw("weights", k))
    before = evaluated(net, head, x)
    net.train()
    opt = optimizer(rule, net, head)
    value = loss(forward(net, head, x), w)
    value.backward()
    opt.step()
    after = evaluated(net, head, x)
    assert ((after - before).abs().max() / before.abs().max()).item() > 0.01, "the step cannot be seen"
    out[name + "/before"] = reference(before)
    out[name + "/loss"] = reference(value.reshape(1))
    out[name + "/head"] = reference(head.weight[:, ::64])
    out[name + "/conv"] = reference(net.layer1[0].conv1.weight[::16, ::16])
    out[name + "/after"] = reference(after)
print(json.dumps(out, separators=(",", ":")))
