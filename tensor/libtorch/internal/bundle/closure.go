package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/gotab/gotab/tensor/libtorch/internal/elfs"
)

// isGlibc reports whether the library is a part of glibc, which belongs to the target machine together with its loader.
func isGlibc(name string) bool {
	if strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "linux-vdso") {
		return true
	}
	base, _, _ := strings.Cut(name, ".so")
	switch base {
	case "libc", "libm", "libdl", "libpthread", "librt", "libutil", "libresolv", "libanl", "libnsl", "libmvec", "libBrokenLocale":
		return true
	}
	return false
}

// isDriver reports whether the library belongs to the GPU's driver, which is the target machine's too.
func isDriver(name string) bool {
	return strings.HasPrefix(name, "libcuda.so") || strings.HasPrefix(name, "libnvidia-")
}

// onDemand names, as patterns, what the CUDA half of libtorch opens by name while it runs; no file lists it as needed.
func onDemand() []string {
	return []string{"libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so", "libnvrtc.so.*", "libnvrtc-builtins.so.*", "libcudnn_*.so.*"}
}

// closure finds every library that the program needs, directly or through others. The result maps the name by which a
// library is asked for to the file that holds it. dirs are searched after what the files themselves say.
func closure(program string, dirs []string) (libs map[string]string, glibc string, err error) {
	libs = map[string]string{}
	type item struct {
		path  string
		chain []string // folders where what it needs may lie, its loaders' included
	}
	queue := []item{{program, nil}}
	cuda := ""
	for len(queue) > 0 {
		it := queue[0]
		queue = queue[1:]
		real, err := filepath.EvalSymlinks(it.path)
		if err != nil {
			return nil, "", fmt.Errorf("bundle: %w", err)
		}
		info, err := elfs.Read(real)
		if err != nil {
			return nil, "", fmt.Errorf("bundle: %w", err)
		}
		if elfs.Newer(info.Glibc, glibc) {
			glibc = info.Glibc
		}
		chain := append(expand(info.Runpath, real), it.chain...)
		for _, name := range info.Needed {
			if isGlibc(name) || isDriver(name) || libs[name] != "" {
				continue
			}
			path := find(name, chain, dirs)
			if path == "" {
				return nil, "", fmt.Errorf("bundle: %w %s, which %s needs, is not found; build the program with the environment that `libtorch env` prints, "+
					"or name its folder in LD_LIBRARY_PATH", ErrLibrary, name, filepath.Base(it.path))
			}
			libs[name] = path
			queue = append(queue, item{path, chain})
			if name == "libtorch_cuda.so" {
				cuda = path
			}
		}
		if len(queue) > 0 || cuda == "" {
			continue
		}
		// Everything listed is there; now, once, what is opened by name, and whatever that needs in turn.
		folders := append([]string{filepath.Dir(cuda)}, chainOf(cuda)...)
		for _, pattern := range onDemand() {
			for _, dir := range folders {
				found, err := filepath.Glob(filepath.Join(dir, pattern))
				if err != nil {
					return nil, "", fmt.Errorf("bundle: %w", err)
				}
				sort.Strings(found)
				for _, path := range found {
					if name := filepath.Base(path); libs[name] == "" {
						libs[name] = path
						queue = append(queue, item{path, folders})
					}
				}
			}
		}
		cuda = ""
	}
	return libs, glibc, nil
}

func chainOf(path string) []string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	info, err := elfs.Read(real)
	if err != nil {
		return nil
	}
	return expand(info.Runpath, real)
}

// expand makes folders of search path entries; $ORIGIN is the folder of the file that holds them.
func expand(entries []string, file string) []string {
	origin := filepath.Dir(file)
	var out []string
	for _, e := range entries {
		e = strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(e)
		if filepath.IsAbs(e) {
			out = append(out, filepath.Clean(e))
		}
	}
	return out
}

func find(name string, lists ...[]string) string {
	for _, dirs := range lists {
		for _, d := range dirs {
			p := filepath.Join(d, name)
			if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
				return p
			}
		}
	}
	return ""
}
