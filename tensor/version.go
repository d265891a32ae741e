package tensor

// extern const char *tab_libtorch_version(void);
import "C"

// LibtorchVersion is the version of libtorch that the program was compiled for,
// such as "2.1.2": results differ between versions in their last digits, so it
// belongs beside a number that is published.
func LibtorchVersion() string { return C.GoString(C.tab_libtorch_version()) }
