#!/usr/bin/env python3
"""A ResNet-18 at 224 in ONNX Runtime and OpenVINO, in float32, bfloat16 and int8: images a second, beside `bench/resnet`.

usage: engines.py WEIGHTS IMAGES FOLDER
WEIGHTS is a ResNet-18 (.safetensors), IMAGES a folder of good images by which int8 is calibrated (64 at most; per channel), FOLDER keeps the
models. Both cores, batches of 1 and 32, three seconds each, not in turns. int8 lies in the model as ONNX Runtime writes it; OpenVINO reads the same file.
needs: torch torchvision safetensors onnx onnxruntime openvino pillow numpy
"""
import glob, os, sys, time

if len(sys.argv) != 4:
    sys.exit(__doc__)
import numpy as np, onnxruntime, openvino, torch, torchvision
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image
from safetensors.torch import load_file

weights, images, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
CORES = len(os.sched_getaffinity(0))
net = torchvision.models.resnet18()
net.load_state_dict(load_file(weights), strict=False)
net.fc = torch.nn.Identity()
net.eval()
raw, plain, whole = (os.path.join(folder, f) for f in ("raw.onnx", "float32.onnx", "int8.onnx"))
torch.onnx.export(net, torch.zeros(1, 3, 224, 224), raw, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=13)
mean, std = np.array([0.485, 0.456, 0.406], "f4"), np.array([0.229, 0.224, 0.225], "f4")


def read(path):
    pixels = np.asarray(Image.open(path).convert("RGB").resize((224, 224)), "f4") / 255
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]


good = [read(p) for p in sorted(glob.glob(images + "/*"))[:64]]
if not good:
    sys.exit(f"engines.py: {images} holds no image")


class Calibration(CalibrationDataReader):
    def __init__(self):
        self.left = iter(good)

    def get_next(self):
        x = next(self.left, None)
        return None if x is None else {"x": x}


quant_pre_process(raw, plain)
quantize_static(plain, whole, Calibration(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def rate(run, x, seconds=3):
    for _ in range(3):
        run(x)
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        run(x)
        n += len(x)
    return n / (time.perf_counter() - start)


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = CORES
core = openvino.Core()
print("| engine | precision | batch 1, images/s | batch 32 |\n| --- | --- | --- | --- |")
for name, path in (("float32", plain), ("int8", whole)):
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batches = [np.concatenate((good * 32)[:b]) for b in (1, 32)]
    print(f"| ONNX Runtime {onnxruntime.__version__} | {name} | " + " | ".join(f"{rate(lambda x: session.run(None, {'x': x}), x):.1f}" for x in batches) + " |", flush=True)
    for precision, hint in ((name, "f32"), ("bfloat16", "bf16")):
        if name == "int8" and hint == "bf16":
            continue
        rates = []
        for x in batches:
            model = core.read_model(path)
            model.reshape(list(x.shape))
            request = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": CORES, "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
            rates.append(rate(lambda x: request.infer({0: x}), x))
        print(f"| OpenVINO {openvino.__version__.split('-')[0]} | {precision} | " + " | ".join(f"{r:.1f}" for r in rates) + " |", flush=True)
