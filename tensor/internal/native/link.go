//go:build gotab_libtorch && !gotab_shared

package native

/*
#cgo CXXFLAGS: -O2
#cgo LDFLAGS: -lstdc++ -lc10 -ltorch_cpu
*/
import "C"
