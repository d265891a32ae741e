# Writes names.json: the parameters of other libraries' ResNets, by which names_test.go
# judges what is written. Of the transformers library every name with its shape; of timm
# the SHA-256 of the same lines, "name shape", sorted, since they are torchvision's.
#
#   pip install torch transformers timm && python names.py
import hashlib
import json

import timm
import torch
import transformers


def state(model):
    return {name: list(t.shape) for name, t in model.state_dict().items()}


def digest(names):
    lines = sorted(f"{name} {shape}" for name, shape in names.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


sizes = {
    "resnet18": ("basic", [2, 2, 2, 2], [64, 128, 256, 512]),
    "resnet50": ("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]),
}
huggingface = {}
for arch, (kind, depths, widths) in sizes.items():
    config = transformers.ResNetConfig(layer_type=kind, depths=depths, hidden_sizes=widths, num_labels=1000)
    huggingface[arch] = state(transformers.ResNetForImageClassification(config))
result = {
    "made_with": {"torch": torch.__version__, "transformers": transformers.__version__, "timm": timm.__version__},
    "huggingface": huggingface,
    "timm": {arch: digest(state(timm.create_model(arch))) for arch in ["resnet18", "resnet34", "resnet50", "wide_resnet50_2"]},
}
with open("names.json", "w") as f:
    json.dump(result, f, separators=(",", ":"))
    f.write("\n")
