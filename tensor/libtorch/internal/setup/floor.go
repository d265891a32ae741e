package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Floor says what package tensor is compiled on.
type Floor string

const (
	// Gotch is gotch's C layer, generated from libtorch 2.1 and bound to it.
	Gotch Floor = "gotch"
	// Libtorch is the module's own C++ file, for libtorch 2.1 and later.
	Libtorch Floor = "libtorch"
)

// Tag is the build tag that chooses [Libtorch].
const Tag = "gotab_libtorch"

// DistTag is the build tag that compiles tensor/dist's engine in.
const DistTag = "gotab_dist"

// newest is the minor version of libtorch 2 up to which [Libtorch] has been tried.
const newest = 15

// ParseFloor reads the value of a -floor flag.
func ParseFloor(s string) (Floor, error) {
	switch f := Floor(s); f {
	case Gotch, Libtorch:
		return f, nil
	}
	return "", fmt.Errorf("setup: floor %q is none of gotch, libtorch", s)
}

// check refuses a version that the floor does not compile against. note says in a
// sentence what is not known of an accepted one.
func (f Floor) check(version string) (note string, err error) {
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return "", fmt.Errorf("%w: %q is no version", ErrVersion, version)
	}
	switch {
	case f == Gotch && (major != 2 || minor != 1):
		return "", fmt.Errorf("%w: it is %s, and 2.1 is needed (gotch's C layer was generated from 2.1); give a libtorch 2.1, unset TAB_LIBTORCH to have 2.1.2 fetched, or take the floor that compiles against later ones: -floor libtorch", ErrVersion, version)
	case f == Libtorch && (major != 2 || minor < 1):
		return "", fmt.Errorf("%w: it is %s, and 2.1 to 2.%d are supported; give one of those, or unset TAB_LIBTORCH to have one fetched", ErrVersion, version, newest)
	case f == Libtorch && minor > newest:
		return fmt.Sprintf("libtorch %s is newer than 2.%d, the newest that this was tried with", version, newest), nil
	}
	return "", nil
}

// libraries are what the floor's cgo lines name, in their order.
func (f Floor) libraries() []string {
	if f == Libtorch {
		return []string{"-lstdc++", "-lc10", "-ltorch_cpu"}
	}
	return []string{"-lstdc++", "-ltorch", "-lc10", "-ltorch_cpu", "-lcuda", "-lcudart", "-lcublas", "-lcudnn", "-lcaffe2_nvrtc",
		"-lnvrtc-builtins", "-lnvrtc", "-lnvToolsExt", "-lc10_cuda", "-ltorch_cuda"}
}

// goFlags returns old, a value of GOFLAGS, with the floor's build tag and without
// another's, and without tensor/dist's.
func (f Floor) goFlags(old string) string {
	var keep, tags []string
	for _, flag := range strings.Fields(old) {
		list, ok := strings.CutPrefix("-"+strings.TrimLeft(flag, "-"), "-tags=") // one dash or two
		if !ok {
			keep = append(keep, flag)
			continue
		}
		for _, t := range strings.Split(list, ",") {
			if t != "" && t != Tag && t != DistTag {
				tags = append(tags, t)
			}
		}
	}
	if f == Libtorch {
		tags = append(tags, Tag)
	}
	if len(tags) > 0 {
		keep = append(keep, "-tags="+strings.Join(tags, ","))
	}
	return strings.Join(keep, " ")
}

// standard is the C++ standard that the headers in dir ask for.
func standard(dir string) string {
	raw, err := os.ReadFile(filepath.Join(dir, "include", "ATen", "ATen.h"))
	if err == nil && strings.Contains(string(raw), "202002L") {
		return "c++20"
	}
	return "c++17"
}
