#!/usr/bin/env python3
"""Makes padim.json: maps of three paper images by PaDiM R18-Rd100 in PyTorch, every 12th value of every 12th row.

usage: padim.py WEIGHTS.safetensors CLASSDIR > padim.json
needs: torch==2.1.2 torchvision==0.16.2 numpy<2 scipy pillow safetensors
Written from the method's description: last block of stages 1 to 3, deeper maps repeated, random.sample(range(448), 100)
with seed 1024, unbiased covariance plus 0.01, distances by a dense inverse in double precision, bilinear to 224, gaussian_filter(4).
Everything after the network is in float64, so that the fixture carries the method and not the rounding of one program.
"""
import glob, json, os, random, sys
import numpy as np, PIL, scipy, torch, torch.nn.functional as F, torchvision
from PIL import Image
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

weights, root = sys.argv[1:]
torch.set_num_threads(2)
net = torchvision.models.resnet18()
net.load_state_dict({k: v for k, v in load_file(weights).items() if not k.startswith("fc.")}, strict=False)
net.eval()
random.seed(1024)
channels = torch.tensor(random.sample(range(448), 100))
mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def load(path):
    im = Image.open(path).convert("RGB")
    assert im.size == (128, 128)
    im = im.resize((256, 256), Image.LANCZOS).crop((16, 16, 240, 240))
    return torch.from_numpy((np.array(im).astype(np.float32) / np.float32(255) - mean) / std).permute(2, 0, 1)


@torch.inference_mode()
def embed(paths):
    out = []
    for i in range(0, len(paths), 8):
        x = torch.stack([load(p) for p in paths[i:i + 8]])
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        a = net.layer1(x); b = net.layer2(a); c = net.layer3(b)
        e = torch.cat([a, F.interpolate(b, size=a.shape[2:]), F.interpolate(c, size=a.shape[2:])], 1)
        out.append(e[:, channels].flatten(2).permute(2, 0, 1).double())
    return torch.cat(out, 1)  # [3136, N, 100]


train = embed(sorted(glob.glob(root + "/train/good/*.png")))
m = train.mean(1, keepdim=True)
d = train - m
inv = torch.linalg.inv(d.transpose(1, 2) @ d / (train.shape[1] - 1) + 0.01 * torch.eye(100).double())
names = ["test/good/" + os.path.basename(sorted(glob.glob(root + "/test/good/*.png"))[0])]
names += ["test/impurity/" + os.path.basename(p) for p in sorted(glob.glob(root + "/test/impurity/*.png"))[:2]]
x = embed([os.path.join(root, n) for n in names]) - m
q = ((x @ inv) * x).sum(2).clamp(min=0).sqrt()
up = F.interpolate(q.T.reshape(-1, 1, 56, 56), size=224, mode="bilinear", align_corners=False)[:, 0].numpy()
maps = [gaussian_filter(v, 4) for v in up]
json.dump({
    "made_with": {"python": sys.version.split()[0], "torch": torch.__version__, "torchvision": torchvision.__version__,
                  "numpy": np.__version__, "scipy": scipy.__version__, "pillow": PIL.__version__},
    "class": os.path.basename(root.rstrip("/")), "step": 12,
    "images": [{"name": n, "score": v.max(), "values": [float("%.7g" % y) for y in v[::12, ::12].ravel()]} for n, v in zip(names, maps)],
}, sys.stdout)
print()
