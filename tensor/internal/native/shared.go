//go:build gotab_libtorch && gotab_shared

package native

// With the tag gotab_shared no C++ is compiled into the program: the files of this folder are a library of their own,
// libgotab_native.so, which is compiled where the program runs, against the libtorch that is there. Only C crosses the
// border, so the program fits every libtorch from 2.1 on (bench/gpu.sh).

/*
#cgo LDFLAGS: -lgotab_native
*/
import "C"
