package tensor

import "github.com/gotab/gotab/tensor/internal/native"

// LibtorchVersion is the version of libtorch that the program was compiled for,
// such as "2.1.2": results differ between versions in their last digits, so it
// belongs beside a number that is published.
func LibtorchVersion() string { return native.Version() }
