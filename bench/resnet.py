#!/usr/bin/env python3
"""ResNet-18 in plain PyTorch, as the other side of bench/resnet: the same flags, the same JSON.

usage: resnet.py [-mode eval|train] [-batch N] [-side N] [-seconds S] [-threads N] [-device D] [-tf32] [-bf16] [-frozen]
needs: torch, of any version from 2.1 on, and nothing else
Channels-last, random weights. Evaluation is in inference mode; -frozen has TorchScript fold and fuse it (CPU), as a user may who
knows of that. Each pass begins with the images on the host and ends with its result there. -bf16 is autocast.
"""
import argparse, contextlib, json, time
import torch, torch.nn as nn, torch.nn.functional as F

ap = argparse.ArgumentParser()
ap.add_argument("-mode", default="eval", choices=("eval", "train"))
ap.add_argument("-batch", type=int, default=1)
ap.add_argument("-side", type=int, default=224)
ap.add_argument("-seconds", type=float, default=3)
ap.add_argument("-threads", type=int, default=0)
ap.add_argument("-device", default="cpu")
ap.add_argument("-tf32", action="store_true")
ap.add_argument("-bf16", action="store_true")
ap.add_argument("-frozen", action="store_true")
A = ap.parse_args()
if A.threads:
    torch.set_num_threads(A.threads)
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = A.tf32
torch.backends.cudnn.benchmark = True
torch.manual_seed(1)


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


net = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
                    Block(64, 64, 1), Block(64, 64, 1), Block(64, 128, 2), Block(128, 128, 1), Block(128, 256, 2), Block(256, 256, 1),
                    Block(256, 512, 2), Block(512, 512, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
dev = torch.device(A.device)
net = net.to(dev, memory_format=torch.channels_last)
images = torch.rand(A.batch, A.side, A.side, 3) * 2 - 1
if dev.type == "cuda":
    images = images.pin_memory()
cast = (lambda: torch.autocast(dev.type, torch.bfloat16)) if A.bf16 else contextlib.nullcontext
opt = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
net.train(A.mode == "train")
model = net
if A.frozen and A.mode == "eval":
    with torch.inference_mode():
        sample = images.permute(0, 3, 1, 2).to(dev)
        model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, sample)))


def batch():
    return images.to(dev, non_blocking=True).permute(0, 3, 1, 2)


def evaluate():
    with torch.inference_mode(), cast():
        return model(batch()).float().cpu().numpy()


def train():
    with cast():
        loss = net(batch()).float().square().mean()
    opt.zero_grad(set_to_none=True)
    loss.backward()
    opt.step()
    return loss.item()


one = evaluate if A.mode == "eval" else train
for _ in range(3 if A.frozen else 2):
    one()
passes, start = 0, time.perf_counter()
while passes == 0 or time.perf_counter() - start < A.seconds:
    one()
    passes += 1
rate = A.batch * passes / (time.perf_counter() - start)
print(json.dumps({"mode": A.mode, "batch": A.batch, "side": A.side, "device": str(dev), "pytorch": torch.__version__, "threads": torch.get_num_threads(),
                  "passes": passes, "images_per_second": rate}))
