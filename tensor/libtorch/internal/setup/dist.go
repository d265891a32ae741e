package setup

import (
	"fmt"
	"os"
	"strings"
)

// ErrDist reports a libtorch with which tensor/dist does not go.
var ErrDist = fmt.Errorf("tensor/dist goes with libtorch 2.1")

// WithDist adds to vars, of Environ, what compiles tensor/dist's engine: its build tag, and
// the folder of gloo's headers. That goes by way of the compiler's own variable: in
// CGO_CXXFLAGS it would be part of the key of all that is compiled, and libtorch's
// C layer would be compiled again. goFlags and searched are the values of GOFLAGS and
// CPLUS_INCLUDE_PATH of before.
func WithDist(vars []Var, in Installation, floor Floor, include, goFlags, searched string) ([]Var, error) {
	if !strings.HasPrefix(in.Version, "2.1.") {
		return nil, fmt.Errorf("setup: %w, whose gloo has the headers that are fetched, and not with %s; leave -dist or -floor libtorch out", ErrDist, in.Version)
	}
	flags, err := floor.goFlags(goFlags, DistTag)
	if err != nil {
		return nil, err
	}
	out := make([]Var, 0, len(vars)+2)
	for _, v := range vars {
		if v.Name != "GOFLAGS" {
			out = append(out, v)
		}
	}
	path := include
	for _, dir := range strings.Split(searched, string(os.PathListSeparator)) {
		if dir != "" && dir != include {
			path += string(os.PathListSeparator) + dir
		}
	}
	return append(out, Var{"GOFLAGS", flags}, Var{"CPLUS_INCLUDE_PATH", path}), nil
}
