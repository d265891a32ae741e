# Runs an ONNX model on one input with ONNX Runtime on the CPU.
#
#   python run.py MODEL INPUT SHAPE FOLDER
#
# INPUT has little-endian float32 values, SHAPE is their shape such as 2,3,64,64. Each
# output is written to FOLDER in the same form, and a line of JSON says of each its
# name and shape, and last the model's metadata.
import json
import os
import sys

import numpy
import onnxruntime

model, given, shape, folder = sys.argv[1:]
try:
    import onnx
except ImportError:
    onnx = None
if onnx is not None:
    onnx.checker.check_model(model, full_check=True)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
x = numpy.fromfile(given, "<f4").reshape([int(n) for n in shape.split(",")])
names = [o.name for o in session.get_outputs()]
for name, y in zip(names, session.run(names, {session.get_inputs()[0].name: x})):
    numpy.ascontiguousarray(y, "<f4").tofile(os.path.join(folder, name))
    print(json.dumps({"name": name, "shape": list(y.shape)}))
print(json.dumps({"metadata": session.get_modelmeta().custom_metadata_map}))
