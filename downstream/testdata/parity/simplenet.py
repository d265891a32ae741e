#!/usr/bin/env python3
"""Makes simplenet.json: two training steps of SimpleNet and its scores in PyTorch, on features and weights given by formulas.

usage: simplenet.py > simplenet.json
needs: torch==2.1.2 numpy<2 scipy
Written from the method's description: neighbourhoods unfolded on each layer's grid, interpolated bilinearly to the first,
adaptive average pooling to 18 values layer by layer and then of the layers together to 12; a linear adaptor; true features
and the same plus noise in one batch through Linear, BatchNorm1d, LeakyReLU(0.2), Linear without bias; hinge loss on both;
AdamW for the adaptor, Adam for the discriminator. The rates are large so that a wrong step shows. Everything is in float64,
so that the fixture carries the method and not the rounding of one program.
"""
import json, sys
import numpy as np, scipy, torch, torch.nn as nn, torch.nn.functional as F
from scipy.ndimage import gaussian_filter

LAYER_DIM, DIM, HIDDEN, SIDE, IMAGES = 18, 12, 10, 3, 3
MARGIN, NOISE = 0.5, 0.3
ADAPTOR_RATE, ADAPTOR_DECAY, RATE, DECAY = 0.02, 0.1, 0.05, 0.03
torch.set_default_dtype(torch.float64)


def waves(shape, phase):
    i = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return torch.sin(i * i * 0.37 + phase).reshape(shape).float().double()


def patches(layers):
    n, out = layers[0].shape[0], []
    for f in layers:
        c, h, w = f.shape[1:]
        u = F.unfold(f, SIDE, padding=SIDE // 2).reshape(n, c * SIDE * SIDE, h, w)
        u = F.interpolate(u, size=layers[0].shape[2:], mode="bilinear", align_corners=False)
        out.append(F.adaptive_avg_pool1d(u.permute(0, 2, 3, 1).reshape(-1, 1, c * SIDE * SIDE), LAYER_DIM).squeeze(1))
    return F.adaptive_avg_pool1d(torch.stack(out, 1).reshape(out[0].shape[0], 1, -1), DIM).squeeze(1)


x = patches([waves((IMAGES, 6, 7, 5), 2), waves((IMAGES, 5, 4, 3), 3)])  # [105, 12]
adaptor = nn.Linear(DIM, DIM)
hidden, norm, last = nn.Linear(DIM, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.Linear(HIDDEN, 1, bias=False)
discriminator = nn.Sequential(hidden, norm, nn.LeakyReLU(0.2), last)
named = {
    "adaptor.weight": adaptor.weight, "adaptor.bias": adaptor.bias,
    "discriminator.hidden.weight": hidden.weight, "discriminator.hidden.bias": hidden.bias,
    "discriminator.norm.weight": norm.weight, "discriminator.norm.bias": norm.bias,
    "discriminator.norm.running_mean": norm.running_mean, "discriminator.norm.running_var": norm.running_var,
    "discriminator.out.weight": last.weight,
}
with torch.no_grad():
    for k, (name, p) in enumerate(named.items()):
        v = 0.4 * waves(tuple(p.shape), 10 + k)
        p.copy_((v + 1 if name.endswith("running_var") or name.endswith("norm.weight") else v).float().double())
biases = adaptor.bias.detach().clone(), hidden.bias.detach().clone()
optimizers = [torch.optim.AdamW(adaptor.parameters(), lr=ADAPTOR_RATE, weight_decay=ADAPTOR_DECAY),
              torch.optim.Adam(discriminator.parameters(), lr=RATE, weight_decay=DECAY)]


def numbers(t):
    return [float("%.7g" % v) for v in t.detach().flatten()]


steps = []
for step in range(2):
    noise = (NOISE * waves(tuple(x.shape), 30 + step)).float().double()
    true = adaptor(x)
    d = discriminator(torch.cat([true, true + noise]))
    loss = F.relu(MARGIN - d[:len(x)]).mean() + F.relu(MARGIN + d[len(x):]).mean()
    for o in optimizers:
        o.zero_grad()
    loss.backward()
    gradients = {k: numbers(p.grad) for k, p in named.items() if p.grad is not None}
    for o in optimizers:
        o.step()
    with torch.no_grad():  # batch norm takes these away again: their gradients are rounding, which Adam would magnify
        for p, v in zip((adaptor.bias, hidden.bias), biases):
            p.copy_(v)
    steps.append({"loss": float(loss), "gradients": gradients, "weights": {k: numbers(p) for k, p in named.items()}})

discriminator.eval()
with torch.no_grad():
    scores = -discriminator(adaptor(x)).reshape(IMAGES, 7, 5)
    up = F.interpolate(scores[:, None], size=(28, 20), mode="bilinear", align_corners=False)[:, 0].numpy()
json.dump({
    "made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__},
    "layer_dim": LAYER_DIM, "dim": DIM, "hidden": HIDDEN, "images": IMAGES, "margin": MARGIN, "noise": NOISE,
    "adaptor_rate": ADAPTOR_RATE, "adaptor_decay": ADAPTOR_DECAY, "rate": RATE, "decay": DECAY,
    "patches": numbers(x[:8]), "steps": steps, "scores": numbers(scores), "best": [float(v) for v in scores.flatten(1).max(1).values],
    "map": [float("%.7g" % v) for v in gaussian_filter(up[2], 2.0).ravel()],
}, sys.stdout)
print()
