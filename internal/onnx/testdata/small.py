# Writes small.onnx, the model of small() in onnx_test.go, by the package onnx:
#
#   pip install onnx && python small.py
import onnx
from onnx import helper, numpy_helper
import numpy

w = numpy_helper.from_array(numpy.array([[1, -2]], "<f4"), "w")
i = numpy_helper.from_array(numpy.array([-1, 300], "<i8"), "i")
gather = onnx.NodeProto(op_type="Gather", name="z", input=["y", "i"], output=["z"])
gather.attribute.append(onnx.AttributeProto(name="axis", type=onnx.AttributeProto.INT, i=-1))
gather.attribute.append(onnx.AttributeProto(name="none", type=onnx.AttributeProto.INTS))
gather.attribute.append(onnx.AttributeProto(name="some", type=onnx.AttributeProto.INTS, ints=[1, -2]))
graph = onnx.GraphProto(
    name="g",
    node=[onnx.NodeProto(op_type="Add", name="y", input=["x", "w"], output=["y"]), gather],
    initializer=[w, i],
    input=[helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])],
    output=[helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 2])],
)
model = onnx.ModelProto(ir_version=8, producer_name="p", doc_string="d", graph=graph)
model.opset_import.append(onnx.OperatorSetIdProto(version=17))
model.metadata_props.append(onnx.StringStringEntryProto(key="a", value=""))
model.metadata_props.append(onnx.StringStringEntryProto(key="b", value="2"))
with open("small.onnx", "wb") as f:
    f.write(model.SerializeToString(deterministic=True))
