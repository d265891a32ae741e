"""Writes the parity fixtures of package tensor: what PyTorch computes.

    python make.py        (made with torch 2.1.2+cu121, numpy 1.26.4, on the CPU with one thread)

Inputs are not stored. Both languages derive them from one integer formula, so
that every value is exact in float32:

    h(i, seed) = (31 i^2 + 1237 i + 1009 seed) mod 2003
    x(seed, shape)[i]      = (h - 1001) / 1024        in (-0.98, 0.98)
    pos(seed, shape)[i]    = 1.25 + x                 in (0.27, 2.23)
    ints(seed, mod, shape)[i] = h mod `mod`
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
HERE = os.path.dirname(os.path.abspath(__file__))


def h(seed, shape):
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    return ((31 * i * i + 1237 * i + 1009 * seed) % 2003).reshape(shape)


def x(seed, *shape):
    return torch.from_numpy(((h(seed, shape) - 1001) / 1024).astype(np.float32))


def pos(seed, *shape):
    return x(seed, *shape) + 1.25


def ints(seed, mod, *shape):
    return torch.from_numpy(h(seed, shape) % mod)


def spd(seed, b, n):
    a = x(seed, b, n, n).double()
    return a @ a.transpose(1, 2) + torch.eye(n, dtype=torch.float64)


def write(name, cases):
    out = []
    for case, t in cases.items():
        t = t.detach()
        v = t.double().contiguous().flatten()
        spread = v.max() - v.min() if len(v) > 1 else v.abs().max()
        assert spread >= 0.1, (name, case, float(spread))
        assert torch.isfinite(v).all(), (name, case)
        out.append('  "%s": {"shape": %s, "values": [%s]}' % (
            case, json.dumps(list(t.shape)), ", ".join("%.9g" % e for e in v.tolist())))
    path = os.path.join(HERE, name + ".json")
    with open(path, "w") as f:
        f.write("{\n" + ",\n".join(out) + "\n}\n")
    assert os.path.getsize(path) <= 50_000, (name, os.path.getsize(path))


def elementwise():
    a, b, u, p = x(1, 2, 3, 4), x(2, 3, 1), 3 * x(3, 3, 7), pos(4, 3, 7)
    return {
        "Add/same": a + x(2, 2, 3, 4),
        "Add/broadcast": a + b,
        "Minus/broadcast": b - a,
        "Mul/broadcast": a * b,
        "Div/broadcast": a / pos(2, 3, 1),
        "Maximum/broadcast": torch.maximum(a, b),
        "Equal/broadcast": torch.eq(ints(1, 3, 4, 5), ints(2, 3, 5)),
        "AddScalar": u + 0.7,
        "MulScalar": u * -1.3,
        "ClampMin": u.clamp_min(0.25),
        "Pow/whole": u.pow(3),
        "Pow/fraction": p.pow(1.5),
        "Neg": -u, "Abs": u.abs(), "Exp": u.exp(), "Log": p.log(), "Sqrt": p.sqrt(), "Rsqrt": p.rsqrt(),
        "Square": u.square(), "Sigmoid": u.sigmoid(), "Tanh": u.tanh(), "ReLU": u.relu(),
        "Sin": u.sin(), "Cos": u.cos(), "LeakyReLU": F.leaky_relu(u, 0.2),
        "GELU": F.gelu(u), "QuickGELU": u * torch.sigmoid(1.702 * u),
    }


def reduce():
    q = x(5, 2, 3, 4, 5)
    return {
        "Sum/all": pos(5, 2, 3, 4, 5).sum(),
        "Sum/dims": q.sum((1, 3)),
        "Sum/keep": q.sum((-1,), keepdim=True),
        "Mean/all": pos(5, 2, 3, 4, 5).mean(),
        "Mean/dims": q.mean((0, 2)),
        "Mean/keep": q.mean((-1, 1), keepdim=True),
        "Max/all": q.amax(),
        "Max/dims": q[:, :, :2, :2].amax((2, 3)),
        "Max/keep": q.amax((1,), keepdim=True),
        "ArgMax/middle": q.argmax(1),
        "ArgMax/last": q.argmax(-1),
        "Softmax/last": (3 * q).softmax(-1),
        "Softmax/first": (3 * q).softmax(0),
        "LogSoftmax": (3 * q).log_softmax(1),
        "Normalize/rows": F.normalize(q, dim=-1, eps=1e-12),
        "Normalize/eps": F.normalize(q, dim=1, eps=1.1),
        "CosineSimilarity/channels": F.cosine_similarity(q, x(6, 2, 3, 4, 5), dim=1),
        "CosineSimilarity/eps": F.cosine_similarity(q, x(6, 2, 3, 4, 5), dim=-1, eps=1.1),
    }


def shape():
    q, m = x(6, 2, 3, 4, 5), x(7, 3, 4)
    top = x(8, 3, 9).topk(4, -1, True, True)
    low = x(8, 3, 9).topk(2, 0, False, True)
    nhwc = x(9, 2, 3, 4, 3)
    return {
        "Reshape": q.reshape(6, -1),
        "Permute": q.permute(0, 3, 1, 2).contiguous(),
        "Transpose": q.transpose(1, -1),
        "Expand": x(10, 3, 1).expand(2, 3, 4),
        "Narrow": q.narrow(2, 1, 2),
        "Select/last": q.select(-1, -2),
        "Unsqueeze": m.unsqueeze(-1),
        "Cat/first": torch.cat([m, x(10, 2, 4)], 0),
        "Cat/last": torch.cat([m, x(10, 3, 2), m], -1),
        "IndexSelect": q.index_select(2, torch.tensor([3, 0, 3])),
        "Gather": m.gather(1, ints(3, 4, 3, 6)),
        "TopK/values": top.values, "TopK/indices": top.indices,
        "TopK/smallest": low.values, "TopK/smallest-indices": low.indices,
        "Cast/integer": (3 * q).to(torch.int64),
        "Cast/double": q.double(),
        "Contiguous": q.permute(3, 1, 0, 2).contiguous(),
        "ChannelsLast": q,
        "Clone": q, "Detach": q, "To": q,
        "CopyInto/broadcast": m[1].expand(3, 4),
        "AddInto/broadcast": m + 0.3 * x(10, 4),
        "ScaleInto": m * -2.5,
        "IncrementInto": m + 1,
        "FromNHWC": nhwc.permute(0, 3, 1, 2),
        "FromFloats": m, "FromFloat64s": m.double(), "FromInts": ints(3, 7, 3, 4), "FromBytes": ints(3, 200, 3, 4),
        "FromArray": m,
        "Eye": torch.eye(4),
    }


def linalg():
    a = spd(11, 2, 5)
    low = torch.linalg.cholesky(a)
    acc = torch.baddbmm(x(14, 2, 3, 5), x(12, 2, 3, 4), x(13, 2, 4, 5), beta=0.9, alpha=1)
    return {
        "MatMul/matrices": x(12, 3, 4) @ x(13, 4, 5),
        "MatMul/broadcast": x(12, 2, 1, 3, 4) @ x(13, 6, 4, 2),
        "MatMul/vector": x(12, 3, 4) @ x(13, 4),
        "Bmm": torch.bmm(x(12, 2, 3, 4), x(13, 2, 4, 5)),
        "AddBmmInto": acc,
        "Cholesky/double": low,
        "Cholesky/single": torch.linalg.cholesky(a.float()),
        "SolveLower": torch.linalg.solve_triangular(low, x(14, 2, 5, 3).double(), upper=False),
        "Linear/bias": F.linear(x(12, 2, 3, 4), x(13, 6, 4), x(14, 6)),
        "Linear/plain": F.linear(x(12, 3, 4), x(13, 6, 4)),
    }


def conv():
    img, w, b = x(20, 2, 4, 9, 7), x(21, 6, 4, 3, 3), x(22, 6)
    return {
        "Conv2d/plain": F.conv2d(img, w),
        "Conv2d/bias": F.conv2d(img, w, b, padding=1),
        "Conv2d/stride": F.conv2d(img, w, None, stride=2, padding=1),
        "Conv2d/groups": F.conv2d(img, x(21, 6, 2, 3, 3), b, padding=1, groups=2),
        "Conv2d/depthwise": F.conv2d(img, x(21, 4, 1, 3, 3), None, padding=1, groups=4),
        "Conv2d/dilation": F.conv2d(img, w, b, padding=2, dilation=2),
        "Conv2d/pointwise": F.conv2d(img, x(21, 3, 4, 1, 1), None, stride=2),
        "Conv2d/channels-last": F.conv2d(img, w, b, stride=2, padding=1),
    }


def warp():
    img, theta, grid = x(20, 2, 4, 9, 7), x(40, 2, 2, 3), 1.7 * x(41, 2, 5, 3, 2)
    sampled = F.grid_sample(img, grid, padding_mode="reflection", align_corners=False)
    at = F.affine_grid(theta, (2, 1, 9, 7), align_corners=False)
    return {
        "AffineGrid": F.affine_grid(theta, (2, 1, 3, 4), align_corners=False),
        "GridSample/reflection": sampled, "GridSample/channels-last": sampled,
        "GridSample/affine": F.grid_sample(img, at, padding_mode="reflection", align_corners=False)[:, :, :4, :4],
        "ConvTranspose2d/double": F.conv_transpose2d(x(20, 2, 4, 4, 3), x(21, 4, 5, 2, 2), None, stride=2),
        "ConvTranspose2d/bias": F.conv_transpose2d(x(20, 2, 4, 4, 3), x(21, 4, 3, 3, 3), x(22, 6), padding=1, groups=2),
        "Flip": x(6, 2, 3, 4, 5).flip(-1, 1),
        "Rot90": x(6, 2, 3, 4, 5).rot90(3, (2, 3)),
    }


def nn():
    img = x(20, 2, 4, 9, 7)
    gamma, beta, mean, var = pos(23, 4), x(24, 4), x(25, 4), pos(26, 4)
    m1, v1 = mean.clone(), var.clone()
    trained = F.batch_norm(img, m1, v1, gamma, beta, True, 0.1, 1e-5)
    m2, v2 = mean.clone(), var.clone()
    flat = F.batch_norm(x(27, 5, 4), m2, v2, gamma, beta, True, 0.3, 1e-3)
    return {
        "BatchNorm/evaluation": F.batch_norm(img[:, :, :4, :4], mean, var, gamma, beta, False, 0.1, 1e-5),
        "BatchNorm/training": trained[:, :, :4, :4],
        "BatchNorm/training-mean": m1, "BatchNorm/training-variance": v1,
        "BatchNorm/flat": flat, "BatchNorm/flat-mean": m2, "BatchNorm/flat-variance": v2,
        "LayerNorm": F.layer_norm(x(28, 3, 4, 6), (6,), pos(29, 6), x(30, 6), 1e-5),
        "Embedding": F.embedding(ints(31, 7, 2, 5), x(32, 7, 3)),
        "MaxPool2d": F.max_pool2d(img, 3, 2, 1),
        "AvgPool2d/padding": F.avg_pool2d(img, 3, 2, 1),
        "AvgPool2d/smoothing": F.avg_pool2d(img, 3, 1, 1)[:, :, :4, :4],
        "GlobalAvgPool": img.mean((2, 3)),
        "UpsampleBilinear/up": F.interpolate(x(33, 1, 2, 3, 4), (7, 9), mode="bilinear", align_corners=False),
        "UpsampleBilinear/down": F.interpolate(img, (4, 5), mode="bilinear", align_corners=False),
        "UpsampleNearest": F.interpolate(x(33, 1, 2, 3, 4), (7, 9), mode="nearest"),
        "CrossEntropy/rows": F.cross_entropy(3 * x(34, 6, 5), ints(35, 5, 6)),
        "CrossEntropy/positions": F.cross_entropy(3 * x(34, 2, 5, 3, 4), ints(35, 5, 2, 3, 4)),
        "BCEWithLogits": F.binary_cross_entropy_with_logits(3 * x(34, 4, 5), ints(36, 2, 4, 5).float()),
    }


def losses():
    return {
        "CrossEntropyWeighted/rows": F.cross_entropy(3 * x(34, 6, 5), ints(35, 5, 6), weight=pos(37, 5)),
        "CrossEntropyWeighted/positions": F.cross_entropy(3 * x(34, 2, 5, 3, 4), ints(35, 5, 2, 3, 4), weight=pos(37, 5)),
        "BCEWithLogitsWeighted/rows": F.binary_cross_entropy_with_logits(3 * x(34, 4, 5), ints(36, 2, 4, 5).float(), pos_weight=3 * pos(37, 5)),
        "BCEWithLogitsWeighted/more": F.binary_cross_entropy_with_logits(3 * x(34, 2, 4, 3), ints(36, 2, 2, 4, 3).float(), pos_weight=pos(37, 3)),
    }


def loss_gradients():
    """Of ten times the loss, with respect to the logits."""
    out = {}
    y = (3 * x(34, 6, 5)).requires_grad_()
    (10 * F.cross_entropy(y, ints(35, 5, 6), weight=pos(37, 5))).backward()
    out["CrossEntropyWeighted"] = y.grad
    y = (3 * x(34, 4, 5)).requires_grad_()
    (10 * F.binary_cross_entropy_with_logits(y, ints(36, 2, 4, 5).float(), pos_weight=3 * pos(37, 5))).backward()
    out["BCEWithLogitsWeighted"] = y.grad
    return out


def fused():
    img, w, b = x(50, 2, 8, 9, 7), x(51, 16, 8, 3, 3), x(52, 16)
    y = F.conv2d(img, w, b, stride=2, padding=1)
    return {
        "none": y, "relu": y.relu(),
        "add": (y + x(53, *y.shape)).relu(),
        "groups": F.conv2d(img, x(51, 16, 4, 3, 3), b, padding=1, groups=2)[:, :, 2:6, 2:6],
    }


def gradients():
    """Small nets: a convolutional one, one like a text tower, and one that warps, enlarges and compares directions."""
    out = {}
    par = {
        "conv": x(40, 4, 3, 3, 3), "bn.weight": pos(41, 4), "bn.bias": x(42, 4),
        "fc.weight": x(43, 5, 4), "fc.bias": x(44, 5),
    }
    for p in par.values():
        p.requires_grad_()
    m, v = x(47, 4), pos(48, 4)
    y = F.conv2d(x(45, 6, 3, 8, 8), par["conv"], None, stride=2, padding=1)
    y = F.batch_norm(y, m, v, par["bn.weight"], par["bn.bias"], True, 0.1, 1e-5)
    y = F.linear(F.max_pool2d(y.relu(), 3, 2, 1).mean((2, 3)), par["fc.weight"], par["fc.bias"])
    loss = 40 * F.cross_entropy(2 * y, ints(46, 5, 6))
    loss.backward()
    out["net/loss"], out["net/mean"], out["net/variance"] = loss, m, v
    for n, p in par.items():
        out["net/" + n] = p.grad
    par = {
        "table": x(60, 9, 6), "position": x(61, 5, 6), "ln.weight": pos(62, 6), "ln.bias": x(63, 6),
        "up.weight": 2 * x(64, 8, 6), "up.bias": x(65, 8), "down": x(66, 6, 8), "head": 2 * x(67, 6, 4),
    }
    for p in par.values():
        p.requires_grad_()
    t = F.embedding(ints(68, 9, 3, 5), par["table"]) + par["position"]
    n = F.layer_norm(t, (6,), par["ln.weight"], par["ln.bias"], 1e-5)
    t = t + torch.matmul((torch.matmul(n, n.transpose(1, 2)) * 0.5).softmax(-1), n)
    u = F.linear(n, par["up.weight"], par["up.bias"])
    t = t + F.linear(F.gelu(u) + u * torch.sigmoid(1.702 * u), par["down"])
    z = F.normalize(torch.matmul(t[:, 4], par["head"]), dim=-1, eps=1e-12)
    loss = 100 * F.binary_cross_entropy_with_logits(4 * z, ints(69, 2, 3, 4).float())
    loss.backward()
    out["tower/loss"] = loss
    for n, p in par.items():
        out["tower/" + n] = p.grad
    par = {"theta": x(90, 2, 3), "up": x(91, 4, 3, 2, 2), "late": x(92, 2, 3, 18, 14)}
    for p in par.values():
        p.requires_grad_()
    t = torch.cat([par["theta"].cos(), par["theta"].sin()], 1).reshape(2, 2, 3)
    y = F.grid_sample(x(20, 2, 4, 9, 7), F.affine_grid(t, (2, 1, 9, 7), align_corners=False), padding_mode="reflection",
                      align_corners=False)
    y = F.leaky_relu(F.conv_transpose2d(y, par["up"], None, stride=2), 0.2)
    loss = 40 * (1 - F.cosine_similarity(y, par["late"], dim=1)).mean()
    loss.backward()
    out["warp/loss"] = loss
    for n, p in par.items():
        out["warp/" + n] = p.grad if n != "late" else p.grad[:, :, :4, :4]
    return out


def optimizers():
    """Five steps; the weight "late" has no gradient in the first two."""
    configs = {
        "sgd": (torch.optim.SGD, {}),
        "momentum": (torch.optim.SGD, dict(momentum=0.9)),
        "dampening": (torch.optim.SGD, dict(momentum=0.8, dampening=0.3)),
        "decay": (torch.optim.SGD, dict(momentum=0.9, weight_decay=0.2)),
        "nesterov": (torch.optim.SGD, dict(momentum=0.9, weight_decay=0.1, nesterov=True)),
        "adamw": (torch.optim.AdamW, {}),
        "adamw-own": (torch.optim.AdamW, dict(betas=(0.7, 0.95), eps=1e-3, weight_decay=0.5)),
        "adam": (torch.optim.Adam, dict(betas=(0.5, 0.999))),
        "adam-own": (torch.optim.Adam, dict(betas=(0.7, 0.95), eps=1e-3, weight_decay=0.5)),
    }
    out = {}
    for name, (cls, kw) in configs.items():
        w = {"conv": x(70, 4, 3, 3, 3), "late": x(71, 7)}
        for p in w.values():
            p.requires_grad_()
        opt = cls([{"params": [w["conv"]]}, {"params": [w["late"]]}], lr=1.0, foreach=False, **kw)
        for step in range(5):
            opt.param_groups[0]["lr"] = 0.05 / (1 + step)
            opt.param_groups[1]["lr"] = 0.02
            for k, (n, p) in enumerate(w.items()):
                p.grad = x(80 + 10 * step + k, *p.shape)
            if step < 2:
                w["late"].grad = None
            opt.step()
        for n, p in w.items():
            out[name + "/" + n] = p
    return out


for f in (elementwise, reduce, shape, linalg, conv, warp, nn, losses, loss_gradients, fused, gradients, optimizers):
    write(f.__name__, f())
