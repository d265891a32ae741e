"""Writes the .pth files of this folder and make.json, which says what each holds.

Made with Python 3.11 and torch 2.1.2. Run in this folder: python make.py
"""
import builtins
import collections
import json
import os
import pickle
import zipfile

import torch

specials = [0.0, -0.0, 1.5, -2.5, float("inf"), 65504.0, 2.0**-14, 2.0**-24]
base = torch.arange(60, dtype=torch.float32) * 0.5 - 7
tied = torch.arange(6, dtype=torch.float32).reshape(2, 3)

flat = collections.OrderedDict(
    contiguous=base.clone().reshape(3, 4, 5),
    transposed=base.clone().reshape(3, 4, 5).permute(2, 0, 1),
    channels_last=base.clone()[:48].clone().reshape(2, 3, 2, 4).contiguous(memory_format=torch.channels_last),
    sliced=base[7:47].reshape(8, 5)[1::2, 1:4],
    expanded=torch.tensor([[1.0], [2.0]]).expand(2, 3),
    scalar=torch.tensor(2**40 + 1),
    empty=torch.zeros(0, 3),
    f64=torch.arange(3, dtype=torch.float64) / 3,
    f16=torch.tensor(specials, dtype=torch.float16),
    bf16=torch.tensor(specials, dtype=torch.bfloat16),
    i32=torch.tensor([-(2**31), 7], dtype=torch.int32),
    i16=torch.tensor([-(2**15), 7], dtype=torch.int16),
    i8=torch.tensor([-128, 7], dtype=torch.int8),
    u8=torch.tensor([255, 7], dtype=torch.uint8),
    flag=torch.tensor([True, False]),
    tied_a=tied,
    tied_b=tied,
    tied_c=tied.t(),
    parameter=torch.nn.Parameter(torch.tensor([3.0, 4.0])),
)
torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3, bias=False), torch.nn.BatchNorm2d(3))
module = net.state_dict()  # with _metadata


def describe(d):
    out = []
    for name, t in d.items():
        t = t.detach().contiguous()
        raw = t.reshape(-1).view(torch.uint8) if t.dtype != torch.bool else t.to(torch.uint8)
        out.append({"name": name, "dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape),
                    "hex": raw.numpy().tobytes().hex()})
    return out


torch.save(flat, "flat.pth")
torch.save(dict(flat), "plain.pth", pickle_protocol=4)
torch.save(module, "module.pth")
torch.save({"epoch": 3, "lr": 0.1, "tags": ["a", None, True], "state_dict": module, "model": {}}, "wrapped.pth")
torch.save({"model": module, "state_dict": "none"}, "model.pth")
json.dump({"flat": describe(flat), "plain": describe(flat), "module": describe(module), "wrapped": describe(module),
           "model": describe(module)}, open("make.json", "w"))

torch.save(module, "legacy.pth", _use_new_zipfile_serialization=False)
torch.jit.save(torch.jit.script(net), "script.pth")
torch.save(net, "wholemodel.pth")  # the module itself, not its state dict


class Call:
    """Unpickles to the result of a call: what an attacker would save."""

    def __init__(self, f, *args):
        self.f, self.args = f, args

    def __reduce__(self):
        return self.f, self.args


torch.save({"conv1.weight": base, "x": Call(os.system, "echo this file ran a command")}, "system.pth")
torch.save({"conv1.weight": base, "x": Call(builtins.eval, "1+1")}, "eval.pth", pickle_protocol=4)

# A deflated copy, as a repacking program would make it.
with zipfile.ZipFile("module.pth") as src, zipfile.ZipFile("deflated.pth", "w", zipfile.ZIP_DEFLATED) as dst:
    for entry in src.infolist():
        dst.writestr(entry.filename, src.read(entry))
