// Package safetensors reads and writes named tensors in the safetensors format.
//
// A file is an 8-byte little-endian length, a JSON header of that length, and the
// bytes of the tensors one after another:
//
//	{"__metadata__": {"k": "v"}, "conv1.weight": {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [0, 37632]}}
//
// The format was chosen by Hugging Face so that a reader needs to trust nothing:
// no code, no compression, no pointers out of the file. This reader keeps that
// promise. It accepts a file only if the header is at most 100 MB and no longer
// than the file, no name occurs twice, every shape's product times the size of an
// element is the length of its range, and the ranges cover the data exactly, in
// one piece, without holes, overlaps or bytes at the end. Every refusal wraps
// ErrFormat and names the tensor and the numbers. No memory is asked for on the
// word of a header: only for bytes that have come or that the file's size allows.
//
// An element type that the reader does not know takes what its range says. Such a
// tensor can be listed and its bytes read, and it keeps nobody from the others.
// Metadata that are no strings are kept as JSON text.
//
// Open reads through an io.ReaderAt and keeps the header only, so that a file of
// 500 MB need not be in memory to take one tensor out of it. Read takes a stream.
package safetensors
