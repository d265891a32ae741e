#!/usr/bin/env python3
"""Makes tab_resnet18.pkl: the data.pkl of a file in the form of the released TAB weights, which is
torch.save(backbone.state_dict()) of torchvision's ResNet-18, fc included, trained on a GPU.

Made with torch 2.1.2, torchvision 0.16.2; run in this folder. The storages (45 MB) are left out: storage k is the k-th
tensor of the state dict, and the Go test writes them by its formula.
"""
import io, zipfile
import torch, torchvision

torch.serialization.location_tag = lambda storage: "cuda:0"  # what torch.save writes for a tensor on a GPU
state = torchvision.models.resnet18().state_dict()
file = io.BytesIO()
torch.save(state, file)
with zipfile.ZipFile(file) as z:
    names = z.namelist()
    (pickle,) = [n for n in names if n.endswith("/data.pkl")]
    for k, t in enumerate(state.values()):
        assert z.getinfo(pickle.replace("data.pkl", f"data/{k}")).file_size == t.numel() * t.element_size()
    with open("tab_resnet18.pkl", "wb") as out:
        out.write(z.read(pickle))
print([n for n in names if "/data/" not in n])
