package elfs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

var (
	// ErrFormat is returned for a file that is no 64-bit little-endian ELF file.
	ErrFormat = errors.New("not a 64-bit little-endian ELF file")
	// ErrNoABI is returned where no symbol tells the C++ ABI.
	ErrNoABI = errors.New("no symbol that tells the C++ ABI")
	// ErrNoRunpath is returned for a program that was linked without any search path.
	ErrNoRunpath = errors.New("no DT_RUNPATH or DT_RPATH")
	// ErrRunpathShared is returned where the linker merged the search path with another string.
	ErrRunpathShared = errors.New("the search path shares its bytes with another string")
	// ErrRunpathLong is returned where the new search path is longer than the old one.
	ErrRunpathLong = errors.New("the new search path is longer than the old one")
)

// Info is what the dynamic section of a program or a shared library says.
type Info struct {
	Needed  []string // file names of the libraries it asks the loader for, in order
	Runpath []string // entries of DT_RUNPATH, else of DT_RPATH, with $ORIGIN left as it is
	Glibc   string   // newest glibc symbol version it needs, for example "2.34"; empty if none
}

// Read returns the dynamic information of the file at path. A statically linked program has an empty Info.
func Read(path string) (Info, error) {
	f, err := open(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	var in Info
	if f.SectionByType(elf.SHT_DYNAMIC) == nil {
		return in, nil
	}
	if in.Needed, err = f.DynString(elf.DT_NEEDED); err != nil {
		return Info{}, fmt.Errorf("elfs: read needed libraries of %s: %w", path, err)
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		vals, err := f.DynString(tag)
		if err != nil {
			return Info{}, fmt.Errorf("elfs: read search path of %s: %w", path, err)
		}
		if len(vals) > 0 && vals[0] != "" {
			in.Runpath = strings.Split(vals[0], ":")
			break
		}
	}
	if f.SectionByType(elf.SHT_GNU_VERNEED) == nil {
		return in, nil
	}
	needs, err := f.DynamicVersionNeeds()
	if err != nil {
		return Info{}, fmt.Errorf("elfs: read symbol versions of %s: %w", path, err)
	}
	for _, lib := range needs {
		for _, dep := range lib.Needs {
			if v, ok := strings.CutPrefix(dep.Dep, "GLIBC_"); ok && Newer(v, in.Glibc) {
				in.Glibc = v
			}
		}
	}
	return in, nil
}

// Newer reports whether the dotted version a is newer than b. A version that is not made of numbers (such as
// "PRIVATE") is older than any other, and so is the empty one.
func Newer(a, b string) bool {
	x, y := dotted(a), dotted(b)
	for i := range max(len(x), len(y)) {
		var p, q int
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			return p > q
		}
	}
	return false
}

func dotted(v string) []int {
	var out []int
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}

// ABI returns the value of _GLIBCXX_USE_CXX11_ABI (0 or 1) that the libc10.so at path was compiled with. The
// constructor of c10::Error takes a std::string, whose mangled name differs between the two.
func ABI(path string) (int, error) {
	f, err := open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	syms, err := f.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("elfs: read symbols of %s: %w", path, err)
	}
	for _, s := range syms {
		if !strings.HasPrefix(s.Name, "_ZN3c105ErrorC") {
			continue
		}
		if strings.Contains(s.Name, "7__cxx1112basic_string") {
			return 1, nil
		}
		if strings.Contains(s.Name, "Ss") {
			return 0, nil
		}
	}
	return 0, fmt.Errorf("elfs: %s: %w", path, ErrNoABI)
}

func open(path string) (*elf.File, error) {
	f, err := elf.Open(path)
	if err != nil {
		var disk *fs.PathError
		if errors.As(err, &disk) {
			return nil, fmt.Errorf("elfs: open: %w", err)
		}
		return nil, fmt.Errorf("elfs: open %s: %w (%v)", path, ErrFormat, err)
	}
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return nil, errors.Join(fmt.Errorf("elfs: open %s: %w", path, ErrFormat), f.Close())
	}
	return f, nil
}
