#!/usr/bin/env python3
"""The other side of bench/detect: a detector that it has prepared, from the bytes of a PNG file to the decision, one image at a time.

usage: endtoend.py DIR [-method padim|patchcore] [-with onnx|torch] [-bf16] [-seconds S] [-threads N]
DIR is what `detect prepare` filled. onnx: the whole of PaDiM, network, distances and smoothed map, in ONNX Runtime (padim.onnx). torch: the
network in PyTorch, channels-last, folded and fused by TorchScript in float32 and autocast in bfloat16 (-bf16), PaDiM's distances as
one batched product, PatchCore's as anomalib has them (products with the whole bank, the neighbour by its least expanded distance), SciPy's
Gaussian on the map.
needs: numpy pillow, and onnxruntime, or torch, scipy and safetensors
Prints one JSON object: milliseconds an image, median, fastest and 90th percentile, processor time of all threads, and how many pictures were rejected.
"""
import argparse, glob, io, json, os, time
import numpy as np
from PIL import Image

ap = argparse.ArgumentParser()
ap.add_argument("dir")
ap.add_argument("-method", default="padim", choices=("padim", "patchcore"))
ap.add_argument("-with", dest="engine", default="onnx", choices=("onnx", "torch"))
ap.add_argument("-bf16", action="store_true")
ap.add_argument("-seconds", type=float, default=5)
ap.add_argument("-threads", type=int, default=len(os.sched_getaffinity(0)))
A = ap.parse_args()
FILES = [open(f, "rb").read() for f in sorted(glob.glob(A.dir + "/pictures/*.png"))]


def pixels(data, mean, std):
    """[1, 3, H, W]"""
    x = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)
    x *= np.float32(1 / 255) / std
    x -= mean / std
    return x.transpose(2, 0, 1)[None]


def onnx():
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = A.threads
    session = ort.InferenceSession(A.dir + "/padim.onnx", options, providers=["CPUExecutionProvider"])
    meta = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(meta[k]), np.float32) for k in ("mean", "std"))
    threshold = float(meta["threshold"])

    def one(data):
        _, score = session.run(["map", "score"], {"images": np.ascontiguousarray(pixels(data, mean, std))})
        return float(score[0]) >= threshold

    return one, "onnxruntime " + ort.__version__


def torch_side():
    import torch, torch.nn as nn, torch.nn.functional as F
    from safetensors import safe_open
    from safetensors.torch import load_file
    from scipy.ndimage import gaussian_filter
    torch.set_num_threads(A.threads)
    torch.set_grad_enabled(False)
    at = f"{A.dir}/{A.method}{'-bf16' if A.bf16 else ''}.gotab"
    with safe_open(at, "pt") as f:
        meta, arrays = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
    st = json.loads(meta["settings"])
    mean, std = (np.array(st[k], np.float32) for k in ("normalize_mean", "normalize_std"))
    threshold = json.loads(meta["calibration"])["point"]["Cut"]["Threshold"] if "calibration" in meta else float("inf")
    w = load_file(A.dir + "/resnet18.safetensors")

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
            self.conv1, self.bn1, self.relu, self.maxpool = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
            stage = lambda i, o, s: nn.Sequential(Block(i, o, s), Block(o, o, 1))
            self.layer1, self.layer2, self.layer3 = stage(64, 64, 1), stage(64, 128, 2), stage(128, 256, 2)

        def forward(self, x):
            a = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
            b = self.layer2(a)
            return a, b, self.layer3(b)

    net = Net()
    net.load_state_dict({k: v for k, v in w.items() if not k.startswith(("layer4", "fc"))})
    net = net.eval().to(memory_format=torch.channels_last)
    sample = torch.from_numpy(pixels(FILES[0], mean, std)).contiguous(memory_format=torch.channels_last)
    side = sample.shape[2]
    if A.bf16:
        def model(x):
            with torch.autocast("cpu", torch.bfloat16):
                return [m.float() for m in net(x)]
    else:
        model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, sample)))
    if A.method == "padim":
        # Channels count through the layers.
        ch = torch.tensor(st["channels"])
        parts = [ch[ch < 64], ch[(ch >= 64) & (ch < 192)] - 64, ch[ch >= 192] - 192]
        c, m, n = len(ch), arrays["mean"], len(arrays["mean"])
        white = torch.zeros(n, c, c)
        r, k = torch.tril_indices(c, c)
        white[:, k, r] = arrays["whitening"]  # transposed: rows times matrices

        def distances(maps):
            h = maps[0].shape[2]
            e = torch.cat([maps[0][:, parts[0]], F.interpolate(maps[1][:, parts[1]], size=h), F.interpolate(maps[2][:, parts[2]], size=h)], 1)
            d = e.permute(0, 2, 3, 1).reshape(n, 1, c) - m[:, None]
            return torch.bmm(d, white)[:, 0].norm(dim=1).reshape(h, h)
    else:
        bank = arrays["patches"]
        half, shift = (bank * bank).sum(1), arrays["mean"]

        def distances(maps):
            b = maps[1]
            d = F.interpolate(F.avg_pool2d(maps[2], 3, 1, 1), size=b.shape[2:], mode="bilinear", align_corners=False)
            q = torch.cat([F.avg_pool2d(b, 3, 1, 1), d], 1).permute(0, 2, 3, 1).reshape(-1, bank.shape[1]) - shift
            near = (q @ bank.T).mul_(-2).add_(half).argmin(1)
            return ((q - bank[near]) ** 2).sum(1).reshape(b.shape[2:])

    def one(data):
        with torch.inference_mode():
            x = torch.from_numpy(pixels(data, mean, std)).contiguous(memory_format=torch.channels_last)
            d = distances(model(x))
            up = F.interpolate(d[None, None], size=side, mode="bilinear", align_corners=False)[0, 0].numpy()
        smooth = gaussian_filter(up, st["sigma"])
        return (smooth.max() if A.method == "padim" else float(d.max())) >= threshold

    return one, "torch " + torch.__version__


one, version = onnx() if A.engine == "onnx" else torch_side()
rejected = sum(bool(one(f)) for f in FILES)
ms, start, busy = [], time.perf_counter(), time.process_time()
while not ms or time.perf_counter() - start < A.seconds:
    t = time.perf_counter()
    one(FILES[len(ms) % len(FILES)])
    ms.append(1e3 * (time.perf_counter() - t))
busy = 1e3 * (time.process_time() - busy) / len(ms)
ms.sort()
print(json.dumps({"method": A.method, "precision": "bfloat16" if A.bf16 else "float32", "with": version, "threads": A.threads, "images": len(ms),
                  "ms": ms[len(ms) // 2], "ms_fastest": ms[0], "ms_90": ms[len(ms) * 9 // 10], "ms_processor": busy, "rejected": rejected}))
