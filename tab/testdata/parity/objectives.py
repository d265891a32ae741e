#!/usr/bin/env python3
"""Makes objectives.json: losses, accuracies and gradients of the alignment objectives, and cosine schedules, by PyTorch.

needs: torch==2.1.2 numpy<2; run in this folder. The Go test holds the same formula for the inputs.
"""
import json, math
import torch, torch.nn.functional as F

B, N, C = 5, 3, 12


def draw(k, *shape):
    n = math.prod(shape)
    return torch.tensor([math.sin(0.7 * k + 1.3 * i + 0.01 * i * i) for i in range(n)], dtype=torch.float64).float().reshape(shape)


fn, fa = draw(1, B, C), draw(2, B, C)
tn, ta = F.normalize(draw(3, N, C), dim=1), F.normalize(draw(4, N, C), dim=1)
y = torch.tensor([0, 2, 1, 1, 0])


def case(name, raw, exp, f):
    a, b, t = fn.clone().requires_grad_(), fa.clone().requires_grad_(), torch.tensor([raw], dtype=torch.float32, requires_grad=True)
    s = t.clamp(max=math.log(100)).exp() if exp else t
    loss, acc = f(F.normalize(a, dim=1), F.normalize(b, dim=1), s)
    loss.backward()
    return {"name": name, "loss": loss.item(), "accuracy": acc.item(), "normal": a.grad.flatten().tolist(),
            "abnormal": [] if b.grad is None else b.grad.flatten().tolist(), "scale": t.grad.item()}


def acc(l, y):
    return (l.argmax(1) == y).float().mean()


def apart(tn, ta):
    def f(a, b, s):
        l1, l2 = s * a @ tn.T, s * b @ ta.T
        return F.cross_entropy(l1, y) + F.cross_entropy(l2, y), (acc(l1, y) + acc(l2, y)) / 2
    return f


def joint(a, b, s):
    l, k = s * torch.cat([a, b]) @ torch.cat([tn, ta]).T, torch.cat([y, y + N])
    return F.cross_entropy(l, k), acc(l, k)


def normal(a, b, s):
    l = s * a @ tn.T
    return F.cross_entropy(l, y), acc(l, y)


log = math.log(1 / 0.07)
# The released code stacks class vectors along dim 1 and reshapes: torch.stack(..., dim=1).reshape(N, C).
scr = lambda t: torch.stack(list(t), dim=1).reshape(N, C)
cases = [case("paper", log, True, apart(tn, ta)), case("official", log, False, apart(scr(tn), scr(ta))),
         case("joint", log, True, joint), case("normal", log, True, normal)]


def cosine(epochs, period):
    p = torch.nn.Parameter(torch.zeros(1))
    o = torch.optim.SGD([p], 1.0)
    s = torch.optim.lr_scheduler.CosineAnnealingLR(o, period)
    out = []
    for _ in range(epochs):
        out.append(o.param_groups[0]["lr"])
        o.step(); s.step()
    return out


json.dump({"torch": torch.__version__, "cases": cases, "cosine": cosine(10, 10), "rising": cosine(12, 8)}, open("objectives.json", "w"))
print([(c["name"], c["loss"], c["accuracy"]) for c in cases])
