// Package onnx writes and reads the part of ONNX that this module's exports need:
// a model of one graph, whose nodes have whole numbers as attributes and whose
// constants are float32 or int64. The format is that of onnx.proto, IR version 8,
// operator set 17 of the default domain, in protobuf's wire format, which is
// written by hand because the generated code would be a dependency for some twenty
// fields. Written bytes depend on the model alone.
//
// [Read] takes what [Model.Write] writes and refuses every field that it does not
// know, so that a model which is read, added to and written again has lost nothing.
package onnx
