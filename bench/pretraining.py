#!/usr/bin/env python3
"""Steps of pre-training in plain PyTorch, as the other side of bench/pretraining: the same flags, the same losses, the same JSON.

usage: pretraining.py [-objective keep|amplify|dense|recipe|joint] [-pairs N] [-side N] [-seconds S] [-threads N] [-device D] [-tf32] [-bf16]
       pretraining.py -versus PROGRAM [-rounds N] [-objective NAME,...] [the same]   both in turns; PROGRAM is the built bench/pretraining
needs: torch, of any version from 2.1 on, and nothing else
Channels-last, random weights, fixed batch norm statistics, AdamW, gradients clipped at norm 1; a frozen copy where the loss compares
with it, without gradients. The formulas are those of tab/testdata/parity/dense.py and objectives.py. Each step begins with images and masks
on the host and ends with moved weights. -bf16 is autocast. With -versus the exit status is 1 where ours is slower.
"""
import argparse, contextlib, copy, json, math, os, statistics, subprocess, sys, time

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("-objective", default="recipe")
ap.add_argument("-pairs", type=int, default=16)
ap.add_argument("-side", type=int, default=128)
ap.add_argument("-seconds", type=float, default=3)
ap.add_argument("-threads", type=int, default=0)
ap.add_argument("-device", default="cpu")
ap.add_argument("-tf32", action="store_true")
ap.add_argument("-bf16", action="store_true")
ap.add_argument("-versus", metavar="PROGRAM")
ap.add_argument("-rounds", type=int, default=5)
A = ap.parse_args()


def versus():
    threads = A.threads or len(os.sched_getaffinity(0))
    env = dict(os.environ, GOMAXPROCS=str(threads), OMP_NUM_THREADS=str(threads))
    print("| step of 16 pairs of 128 pixels | gotab | PyTorch | ratio |\n| --- | --- | --- | --- |".replace("16", str(A.pairs)).replace("128", str(A.side)))
    slower = []
    for name in A.objective.split(","):
        args = ["-objective", name, "-pairs", str(A.pairs), "-side", str(A.side), "-seconds", str(A.seconds), "-threads", str(threads), "-device", A.device,
                *(["-tf32"] if A.tf32 else []), *(["-bf16"] if A.bf16 else [])]
        sides = ([A.versus], []), ([sys.executable, os.path.abspath(__file__)], [])
        for _ in range(A.rounds):
            for program, rates in sides:
                p = subprocess.run(program + args, capture_output=True, text=True, env=env)
                if p.returncode != 0:
                    sys.exit(f"pretraining.py: {' '.join(program + args)} ended with {p.returncode}:\n{p.stderr[-2000:]}")
                rates.append(json.loads(p.stdout.strip().splitlines()[-1])["images_per_second"])
        a, b = (rates for _, rates in sides)
        ratio = statistics.median(x / y for x, y in zip(a, b))
        print(f"| {name} | {statistics.median(a):.1f} | {statistics.median(b):.1f} | {ratio:.2f} |", flush=True)
        if ratio < 1:
            slower.append(name)
    sys.exit("slower here: " + ", ".join(slower) if slower else 0)


if A.versus:
    versus()

import torch, torch.nn as nn, torch.nn.functional as F

if A.threads:
    torch.set_num_threads(A.threads)
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = A.tf32
torch.backends.cudnn.benchmark = True
torch.manual_seed(1)
DEV, B, SIDE, WIDTH = torch.device(A.device), A.pairs, A.side, 384
PARTS = {"recipe": {"amplify": 1, "dense": 0.3, "keep": 1}}.get(A.objective, {A.objective: 1})
if A.objective not in ("keep", "amplify", "dense", "recipe", "joint"):
    ap.error(f"there is no objective {A.objective}")
POOLED, COMPARES = A.objective == "joint", A.objective not in ("dense", "joint")
CHANNELS, REACH = (64, 128, 256), (24, 40, 64)


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None if stride == 1 and i == o else nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        two = lambda i, o, s: nn.Sequential(Block(i, o, s), Block(o, o, 1))
        self.stages = nn.ModuleList([two(64, 64, 1), two(64, 128, 2), two(128, 256, 2), two(256, 512, 2)][:4 if POOLED else 3])

    def forward(self, x):
        x, out = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            out.append(x)
        return out


net = Net().to(DEV, memory_format=torch.channels_last).eval()  # fixed statistics; the weights learn
start = copy.deepcopy(net).requires_grad_(False)
net.stem.requires_grad_(False)
anchors = F.normalize(torch.randn(2, 2, WIDTH, device=DEV), dim=2)  # normal and abnormal, of two products
head = nn.ModuleList([nn.Linear(512, WIDTH)] if POOLED else [nn.Conv2d(c, WIDTH, 1) for c in CHANNELS] if "dense" in PARTS else []).to(DEV)
scale = nn.Parameter(torch.tensor(math.log(1 / 0.07), device=DEV)) if POOLED else None
rates = [0.3, 0.6, 1, 1]
opt = torch.optim.AdamW([{"params": list(s.parameters()), "lr": 3e-4 * r} for s, r in zip(net.stages, rates)] +
                        [{"params": list(head.parameters()) + ([scale] if POOLED else []), "lr": 1e-3}], weight_decay=0.0)
LEARN = [p for g in opt.param_groups for p in g["params"]]
cast = (lambda: torch.autocast(DEV.type, torch.bfloat16)) if A.bf16 else contextlib.nullcontext

normal = torch.rand(B, SIDE, SIDE, 3) * 2 - 1
abnormal, mask = normal.clone(), torch.zeros(B, 1, SIDE, SIDE)
box = slice(SIDE * 3 // 8, SIDE * 9 // 16), slice(SIDE * 5 // 16, SIDE * 7 // 16)
abnormal[:, box[0], box[1]] = torch.rand_like(abnormal[:, box[0], box[1]]) * 2 - 1
mask[:, :, box[0], box[1]] = 1
images = torch.cat([normal, abnormal])
if DEV.type == "cuda":
    images, mask = images.pin_memory(), mask.pin_memory()
product = torch.arange(B, device=DEV) % 2


def measured():
    """Per stage, of two products: the whitening [2, C, C] and the quantiles [2, 2]; from noise, as the other side's."""
    out = []
    with torch.no_grad():
        sets = [start((torch.rand(8, 3, SIDE, SIDE, device=DEV) + k).contiguous(memory_format=torch.channels_last)) for k in range(2)]
    for l, c in enumerate(CHANNELS):
        white, quantiles = [], []
        for f in (s[l] for s in sets):
            v = (f - f.mean(0)).permute(0, 2, 3, 1).reshape(-1, c)
            s = v.T @ v / len(v)
            w = torch.linalg.cholesky(torch.linalg.inv(s + 0.1 * s.trace() / c * torch.eye(c, device=DEV)))
            q = ((v @ w) ** 2).sum(1) / c
            white.append(w)
            quantiles.append(torch.quantile(q[torch.randperm(len(q), device=DEV)[:20000]], torch.tensor([0.95, 0.99], device=DEV)))
        out.append((torch.stack(white), torch.stack(quantiles)))
    return out


METRIC = measured() if COMPARES else None


def square(l, v):
    n, c, h, w = v.shape
    white = METRIC[l][0][product]
    return ((v.permute(0, 2, 3, 1).reshape(n, -1, c) @ white) ** 2).sum(2).reshape(n, h, w) / c


def cells(l, m, g):
    share = F.adaptive_avg_pool2d(m, g)[:, 0]
    most = share.flatten(1).amax(1)[:, None, None]
    bad = (share >= 0.3) | ((share >= 0.999 * most) & (most > 0))
    r = REACH[l]
    near = F.max_pool2d(F.max_pool2d(m, (2 * r + 1, 1), 1, (r, 0)), (1, 2 * r + 1), 1, (0, r))
    clean = F.adaptive_max_pool2d(near, g)[:, 0] == 0
    b = max(1, round(16 / (SIDE / g)))
    inner = torch.zeros(g, g, dtype=torch.bool)
    inner[b:g - b, b:g - b] = True
    return bad & inner, clean & inner, inner


def dense_loss(x, m):
    loss = 0
    with torch.no_grad():
        frozen = start(x) if COMPARES else None
    with cast():
        stages = net(x)
    for l in range(3):
        f = stages[l].float()
        n, a = f[:B], f[B:]
        bad, clean, inner = (t.to(DEV, non_blocking=True) for t in cells(l, m, f.shape[2]))
        if COMPARES:
            tn, ta = frozen[l][:B], frozen[l][B:]
            q = METRIC[l][1][product]
        if "keep" in PARTS:
            k = torch.cat([square(l, n - tn)[:, inner].flatten(), square(l, a - ta)[clean]])
            loss = loss + PARTS["keep"] * (k.mean() + 0.2 * k.topk(max(1, len(k) // 100))[0].mean())
        if "amplify" in PARTS:
            d = square(l, a - n.detach())
            with torch.no_grad():
                t = torch.minimum(torch.maximum(4 * square(l, ta - tn), q[:, :1, None]), 4 * q[:, 1:, None])
            hinge = F.softplus((t.log() - (d + 1e-4).log()) / 0.5) * 0.5
            count = bad.flatten(1).sum(1)
            loss = loss + PARTS["amplify"] * ((hinge * bad).flatten(1).sum(1) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)
        if "dense" in PARTS:
            z = F.normalize(head[l](f / f.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)), dim=1)
            z = (z.permute(0, 2, 3, 1) * (anchors[1] - anchors[0])[product].repeat(2, 1)[:, None, None]).sum(3) / 0.07
            label = torch.cat([torch.zeros_like(bad), bad])
            use = torch.cat([inner.expand(B, -1, -1), bad | clean])
            ce = F.binary_cross_entropy_with_logits(z, label.float(), reduction="none")
            yes, no = label & use, ~label & use
            loss = loss + PARTS["dense"] * 0.5 * ((ce * yes).sum() / yes.sum().clamp(min=1) + (ce * no).sum() / no.sum().clamp(min=1))
    return loss


def joint_loss(x, _):
    with cast():
        f = net(x)[-1].mean((2, 3))
    f = F.normalize(head[0](f.float()), dim=1)
    return F.cross_entropy(scale.clamp(max=math.log(100)).exp() * f @ anchors.flatten(0, 1).T, torch.cat([product, product + 2]))


def step():
    x = images.to(DEV, non_blocking=True).permute(0, 3, 1, 2)
    loss = (joint_loss if POOLED else dense_loss)(x, mask)
    opt.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(LEARN, 1.0)
    opt.step()
    return loss.item()


for _ in range(2):
    step()
steps, begin = 0, time.perf_counter()
while steps == 0 or time.perf_counter() - begin < A.seconds:
    loss = step()
    steps += 1
print(json.dumps({"objective": A.objective, "pairs": B, "side": SIDE, "device": str(DEV), "pytorch": torch.__version__, "threads": torch.get_num_threads(),
                  "steps": steps, "loss": loss, "images_per_second": 2 * B * steps / (time.perf_counter() - begin)}))
