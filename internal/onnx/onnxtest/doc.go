// Package onnxtest runs ONNX models for the tests of what writes them: [Eval] in Go,
// slowly and operator by operator as ONNX defines them, and [Runtime] by ONNX
// Runtime in Python, where the environment variable PYTHON names one that has it.
package onnxtest
