#!/usr/bin/env python3
"""Makes dense.json, amplify.json and tied.json: losses, gradients and one optimizer step of Keep, Amplify, Dense and a Mix of them, by PyTorch.

needs: torch==2.1.2 numpy<2; run in this folder. The Go test holds the same formulas for features, masks and weights. Only inner cells are stored; the others' gradients are zero.
"""
import json, math
import torch, torch.nn.functional as F

B, N, T, SIDE = 3, 2, 5, 64
CH, GRID, REACH = [2, 3, 4], [16, 8, 4], [24, 40, 64]
CLS = torch.tensor([1, 0, 1])


def draw(k, *shape):
    n = math.prod(shape)
    return torch.tensor([math.sin(0.7 * k + 1.3 * i + 0.01 * i * i) for i in range(n)], dtype=torch.float64).float().reshape(shape)


def features(l, k, *lead):
    return draw(10 * l + k, *lead, CH[l], GRID[l], GRID[l])


TN = [features(l, 1, B) for l in range(3)]
TA = [TN[l] + 1.1 * features(l, 2, B) ** 5 for l in range(3)]
FN = [(TN[l] + 0.9 * features(l, 3, B) ** 3).requires_grad_() for l in range(3)]
SPARE = False
TIED = torch.zeros(B, 1, 1, dtype=torch.bool)  # pairs that are only held to the start
FA = [(TA[l] + 1.6 * features(l, 4, B) ** 3).requires_grad_() for l in range(3)]
W = [draw(60 + l, T, CH[l]).requires_grad_() for l in range(3)]
BIAS = [draw(70 + l, T).requires_grad_() for l in range(3)]
NORMAL, ABNORMAL = F.normalize(draw(80, N, T), dim=1), F.normalize(draw(81, N, T), dim=1)

M = torch.zeros(B, 1, SIDE, SIDE)
M[0, 0, 14:36, 12:30] = 1  # large
M[1, 0, 46:49, 44:46] = 1  # covers no cell by 0.3

# Spread of two products of six images each. The second is smoother in its last channel.
PRODUCTS = [[features(l, 5, 6) for l in range(3)], [features(l, 6, 6) * torch.linspace(1, 0.2, CH[l]).reshape(1, -1, 1, 1) for l in range(3)]]


def whiten(f, diagonal):
    n, C = f.shape[:2]
    v = (f - f.mean(0)).permute(0, 2, 3, 1).reshape(-1, C).double()
    S = v.T @ v / len(v) * n / (n - 1)
    if diagonal:
        S = torch.diag(torch.diag(S))
    e = 0.1 * S.trace() / C
    return torch.linalg.cholesky(torch.linalg.inv(S + e * torch.eye(C).double()))


def spread(f, diagonal):
    """The trials took the quantiles over the same images as mean and covariance; here each half is judged by the other."""
    n, C = f.shape[:2]
    a, b = f[:n // 2], f[n // 2:]
    held = [(((x - y.mean(0)).permute(0, 2, 3, 1).reshape(-1, C).double() @ whiten(y, diagonal)) ** 2).sum(1) / C for x, y in ((a, b), (b, a))]
    return whiten(f, diagonal).float(), torch.quantile(torch.cat(held), torch.tensor([0.95, 0.99]).double()).float()


METRIC = {d: [[spread(f, d) for f in p] for p in PRODUCTS] for d in (False, True)}


def square(l, v, k, d=False):
    L = torch.stack([METRIC[d][i][l][0] for i in k])
    C = v.shape[1]
    return ((v.permute(0, 2, 3, 1).reshape(len(v), -1, C) @ L) ** 2).sum(2).reshape(len(v), GRID[l], GRID[l]) / C


def cells(l):
    g, r = GRID[l], REACH[l]
    m = F.adaptive_avg_pool2d(M, g)[:, 0]
    most = m.flatten(1).max(1)[0][:, None, None]
    bad = (m >= 0.3) | ((m >= 0.999 * most) & (most > 0))
    near = F.max_pool2d(M, 2 * r + 1, 1, r)
    clean = F.adaptive_max_pool2d(near, g)[:, 0] == 0
    b = max(1, round(16 / (SIDE / g)))
    inner = torch.zeros(g, g, dtype=torch.bool)
    inner[b:g - b, b:g - b] = True
    bad, clean = bad & inner, clean & inner
    within = torch.zeros_like(bad)
    if SPARE:  # pixel by pixel at every stage: does anything stand out of the spread there?
        out = torch.zeros(B, 1, SIDE, SIDE)
        for j in range(3):
            q95 = torch.stack([METRIC[False][i][j][1][0] for i in CLS])[:, None, None]
            far = (square(j, TA[j] - TN[j], CLS) > q95).float()[:, None]
            out = torch.maximum(out, F.interpolate(far, size=SIDE, mode="nearest"))
        within = bad & (F.adaptive_max_pool2d(out, g)[:, 0] == 0)
    bad, within, clean = bad & ~TIED, within & ~TIED, clean | (TIED & inner)
    return bad & ~within, clean, inner, clean | within


def keep(weight=1):
    """The cells of pairs that are tied count weight times."""
    loss = right = 0
    times = torch.where(TIED, float(weight), 1.0)
    for l in range(3):
        bad, _, inner, clean = cells(l)
        q = torch.cat([square(l, FN[l] - TN[l], CLS), square(l, FA[l] - TA[l], CLS)])
        use = torch.cat([inner.expand(B, -1, -1), clean])
        bound = torch.stack([METRIC[False][i][l][1][0] for i in CLS])[:, None, None].expand(B, GRID[l], GRID[l])
        k = (q * torch.cat([times, times]))[use]
        loss = loss + k.mean() + 0.2 * k.topk(max(1, len(k) // 100))[0].mean()
        right += (q <= torch.cat([bound, bound]))[use].float().mean().item() / 3
    return loss, right


def amplify():
    loss = right = 0
    for l in range(3):
        bad, clean, inner, _ = cells(l)
        d, d0 = square(l, FA[l] - FN[l].detach(), CLS), square(l, TA[l] - TN[l], CLS)
        q = torch.stack([METRIC[False][i][l][1] for i in CLS])
        t = torch.minimum(torch.maximum(4 * d0, q[:, :1, None]), 4 * q[:, 1:, None])
        hinge = F.softplus((t.log() - (d + 1e-4).log()) / 0.5) * 0.5
        n = bad.flatten(1).sum(1)
        mean = lambda x: ((x * bad).flatten(1).sum(1)[n > 0] / n[n > 0]).mean()
        loss, right = loss + mean(hinge), right + mean((d >= t).float()).item() / 3
    return loss, right


def dense(kind):
    loss = right = 0
    for l in range(3):
        bad, clean, inner, _ = cells(l)
        f = torch.cat([FN[l], FA[l]])
        z = F.conv2d(f / f.pow(2).mean(1, keepdim=True).sqrt().clamp(min=1e-3), W[l][:, :, None, None], BIAS[l])
        z = F.normalize(z, dim=1)
        k = torch.cat([CLS, CLS])
        x = torch.einsum("bthw,bt->bhw", z, ABNORMAL[k] - NORMAL[k]) / 0.07
        lab = torch.cat([torch.zeros_like(bad), bad])
        use = torch.cat([inner & ~TIED, (bad | clean) & ~TIED])
        ce = F.binary_cross_entropy_with_logits(x, lab.float(), reduction="none")
        p, y = torch.sigmoid(x)[use], lab[use].float()
        if kind == "balanced":
            term = 0.5 * ce[lab & use].mean() + 0.5 * ce[~lab & use].mean()
        else:
            focal = (torch.where(y > 0, 0.75 * (1 - p) ** 2, 0.25 * p ** 2) * ce[use]).mean()
            dice = lambda a, b: 1 - (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1)
            term = focal + dice(p, y) + dice(1 - p, 1 - y)
        loss, right = loss + term, right + ((x > 0) == lab)[use].float().mean().item() / 3
    return loss, right


LEAVES = FN + FA + W + BIAS
short = lambda t: [float(f"{v:.6g}") for v in t.flatten().tolist()]
inside = lambda l, t: short(t[:, :, cells(l)[2]])


def case(name, f):
    for t in LEAVES:
        t.grad = None
    loss, right = f()
    loss.backward()
    g = lambda t: torch.zeros_like(t) if t.grad is None else t.grad
    out = {"name": name, "loss": loss.item(), "right": right}
    out["normal"] = [inside(l, g(FN[l])) if g(FN[l]).any() else [] for l in range(3)]
    out["abnormal"] = [inside(l, g(FA[l])) for l in range(3)]
    out["heads"] = [short(g(t)) if g(t).any() else [] for t in W + BIAS]
    return out


def mix(weight=1):
    a, d, k = amplify(), dense("balanced"), keep(weight)
    return a[0] + 0.3 * d[0] + 2 * k[0], (a[1] + 0.3 * d[1] + 2 * k[1]) / 3.3


probe = [[[short(square(l, features(l, 7, 1), [k], d)[:, ::3, ::3]) + short(METRIC[d][k][l][1]) for l in range(3)] for k in range(N)] for d in (False, True)]
first = {"torch": torch.__version__, "metric": probe, "cases": [case("keep", keep), case("amplify", amplify)]}
second = {"torch": torch.__version__, "cases": [case("balanced", lambda: dense("balanced")), case("focal", lambda: dense("focal"))]}
m = case("mix", mix)
SPARE = True
first["cases"].append(case("within", mix))
spared = [(cells(l)[3].sum() - cells(l)[1].sum()).item() for l in range(3)]
SPARE = False
TIED[0] = True
third = {"torch": torch.__version__, "cases": [case("tied", lambda: mix(3))]}
TIED[0] = False
case("mix", mix)
opt = torch.optim.AdamW(LEAVES, lr=1e-2, weight_decay=0.0)
opt.step()
first["mix"] = {"loss": m["loss"], "right": m["right"], "abnormal": [inside(l, FA[l]) for l in range(1, 3)], "normal": [inside(l, FN[l]) for l in range(1, 3)], "heads": [short(t) for t in W + BIAS]}
json.dump(first, open("amplify.json", "w"))
json.dump(second, open("dense.json", "w"))
json.dump(third, open("tied.json", "w"))
for c in first["cases"] + second["cases"] + third["cases"] + [m]:
    print(c["name"], c["loss"], c["right"])
for l in range(3):
    bad, clean, inner, _ = cells(l)
    print(l, spared[l], bad.flatten(1).sum(1).tolist(), clean.flatten(1).sum(1).tolist(), inner.sum().item())
