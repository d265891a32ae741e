package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// BuildMemory is what the first build needs at most, in bytes, with two files compiled at a time.
func (f Floor) BuildMemory() int64 {
	if f == Libtorch {
		return 1e9
	}
	return 3e9
}

// BuildDisk is what the first build needs in the folder for temporary files and in Go's build cache, in bytes.
func (f Floor) BuildDisk() int64 {
	if f == Libtorch {
		return 300e6
	}
	return 1e9
}

// libraries are what the floor's cgo lines name, in their order.
func (f Floor) libraries() []string {
	if f == Libtorch {
		return []string{"-lstdc++", "-lc10", "-ltorch_cpu"}
	}
	return []string{"-lstdc++", "-ltorch", "-lc10", "-ltorch_cpu", "-lcuda", "-lcudart", "-lcublas", "-lcudnn", "-lcaffe2_nvrtc",
		"-lnvrtc-builtins", "-lnvrtc", "-lnvToolsExt", "-lc10_cuda", "-ltorch_cuda"}
}

// goFlags returns old, a value of GOFLAGS, with the floor's build tag or without it, and with
// tensor/dist's only if also has it: old itself where that is so already.
// A value is never empty for a new one: the go command takes an empty variable for one that is not set and reads what
// `go env -w` has written instead.
func (f Floor) goFlags(old string, also ...string) (string, error) {
	flags, open := arguments(old)
	if open != "" {
		return "", fmt.Errorf("setup: %w: GOFLAGS is %s, where a quote has no end; correct it (`go env -u GOFLAGS` drops what `go env -w` has written)", ErrQuote, old)
	}
	var keep, tags []string
	for _, flag := range flags {
		list, ok := strings.CutPrefix("-"+strings.TrimLeft(flag, "-"), "-tags=") // one dash or two
		if !ok {
			keep = append(keep, flag)
			continue
		}
		// Of several lists the go command takes the last. Blanks between tags are an old way that it knows still.
		if strings.ContainsAny(list, " '") {
			tags = split(list)
		} else {
			tags = strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
		}
	}
	own := map[string]bool{Tag: f == Libtorch, DistTag: slices.Contains(also, DistTag)}
	right := true
	for t, wanted := range own {
		right = right && slices.Contains(tags, t) == wanted
	}
	if right {
		return old, nil
	}
	tags = slices.DeleteFunc(tags, func(t string) bool { _, ours := own[t]; return ours })
	for _, t := range []string{Tag, DistTag} {
		if own[t] {
			tags = append(tags, t)
		}
	}
	for _, t := range tags {
		if strings.ContainsAny(t, " \t\r\n'\",") {
			return "", fmt.Errorf("setup: %w: GOFLAGS is %s, and %q is no build tag; correct it", ErrQuote, old, t)
		}
	}
	if len(tags) > 0 || len(keep) == 0 {
		keep = append(keep, "-tags="+strings.Join(tags, ","))
	}
	return join(keep...)
}

// standard is the C++ standard that the headers in dir ask for.
func standard(dir string) string {
	raw, err := os.ReadFile(filepath.Join(dir, "include", "ATen", "ATen.h"))
	if err == nil && strings.Contains(string(raw), "202002L") {
		return "c++20"
	}
	return "c++17"
}
