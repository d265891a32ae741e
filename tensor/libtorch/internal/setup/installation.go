package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/gotab/gotab/tensor/libtorch/internal/elfs"
)

// Installation is a libtorch on disk that fits.
type Installation struct {
	Dir     string // holds include/ and lib/, absolute
	Source  string // where it comes from, for people: "TAB_LIBTORCH" or "cache"
	Version string // for example "2.1.2"
	ABI     int    // value of _GLIBCXX_USE_CXX11_ABI that it was compiled with
	CUDA    bool   // it holds the CUDA libraries too
	Note    string // what is not known of its version, in a sentence; empty for one that was tried
}

var (
	reVersion = regexp.MustCompile(`(?m)^\s*#\s*define\s+TORCH_VERSION_(MAJOR|MINOR|PATCH)\s+(\d+)`)
	reABI     = regexp.MustCompile(`_GLIBCXX_USE_CXX11_ABI=([01])`)
)

// Inspect looks at the libtorch in dir. For gotch's floor its version must be 2.1: gotch's C layer was generated from that
// version's functions, and others fail to compile in dozens of places. cuda asks for the CUDA libraries as well.
func Inspect(dir, source string, floor Floor, cuda bool) (Installation, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Installation{}, fmt.Errorf("setup: inspect libtorch: %w", err)
	}
	in := Installation{Dir: abs, Source: source}
	name := source + "=" + dir
	if _, err := os.Stat(abs); err != nil {
		return in, fmt.Errorf("setup: %s: %w: %v; give the folder that holds include/ and lib/", name, ErrInstallation, err)
	}
	for _, lib := range []string{"libc10.so", "libtorch_cpu.so"} {
		if exists(filepath.Join(abs, "lib", lib)) {
			continue
		}
		if exists(filepath.Join(abs, "torch", "lib", lib)) {
			return in, fmt.Errorf("setup: %s: %w: there is no lib/%s; the libtorch is one level below: %s", name, ErrInstallation, lib, filepath.Join(abs, "torch"))
		}
		return in, fmt.Errorf("setup: %s: %w: there is no lib/%s; give the folder that holds include/ and lib/ (in a Python installation site-packages/torch)", name, ErrInstallation, lib)
	}
	if in.Version, err = readVersion(abs); err != nil {
		return in, fmt.Errorf("setup: %s: %w", name, err)
	}
	if in.Note, err = floor.check(in.Version); err != nil {
		return in, fmt.Errorf("setup: %s: %w", name, err)
	}
	if in.ABI, err = readABI(abs); err != nil {
		return in, fmt.Errorf("setup: %s: %w", name, err)
	}
	in.CUDA = exists(filepath.Join(abs, "lib", "libtorch_cuda.so")) && exists(filepath.Join(abs, "lib", "libc10_cuda.so"))
	if cuda && !in.CUDA {
		return in, fmt.Errorf("setup: %s: %w: it is built for the CPU alone (no lib/libtorch_cuda.so); leave out -cuda, give a CUDA build, or unset TAB_LIBTORCH to have one fetched", name, ErrInstallation)
	}
	return in, nil
}

func readVersion(dir string) (string, error) {
	path := filepath.Join(dir, "include", "torch", "csrc", "api", "include", "torch", "version.h")
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: its C++ headers are not complete: %v", ErrInstallation, err)
	}
	if newer := filepath.Join(dir, "include", "torch", "headeronly", "version.h"); exists(newer) { // the other includes it
		if raw, err = os.ReadFile(newer); err != nil {
			return "", fmt.Errorf("%w: its C++ headers are not complete: %v", ErrInstallation, err)
		}
	}
	part := map[string]string{}
	for _, m := range reVersion.FindAllStringSubmatch(string(raw), -1) {
		part[m[1]] = m[2]
	}
	if part["MAJOR"] == "" || part["MINOR"] == "" || part["PATCH"] == "" {
		return "", fmt.Errorf("%w: %s names no version", ErrVersion, path)
	}
	return part["MAJOR"] + "." + part["MINOR"] + "." + part["PATCH"], nil
}

// readABI asks the library itself, and the CMake file beside it only where the library does not tell.
func readABI(dir string) (int, error) {
	abi, err := elfs.ABI(filepath.Join(dir, "lib", "libc10.so"))
	if err == nil {
		return abi, nil
	}
	if !errors.Is(err, elfs.ErrNoABI) {
		return 0, fmt.Errorf("%w: %w", ErrInstallation, err)
	}
	raw, readErr := os.ReadFile(filepath.Join(dir, "share", "cmake", "Torch", "TorchConfig.cmake"))
	if readErr == nil {
		if m := reABI.FindStringSubmatch(string(raw)); m != nil {
			return int(m[1][0] - '0'), nil
		}
	}
	return 0, fmt.Errorf("%w: neither lib/libc10.so nor share/cmake/Torch/TorchConfig.cmake tells the C++ ABI; the installation is not complete", ErrInstallation)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// CheckPlatform refuses what the wheels and the C layer do not run on. loader is the path of glibc's program loader.
func CheckPlatform(goos, goarch, loader string) error {
	if goos != "linux" || goarch != "amd64" {
		return fmt.Errorf("setup: %w: this is %s/%s, supported is linux/amd64 with glibc; packages synth, prompt, dataset and metrics work everywhere (CGO_ENABLED=0)", ErrPlatform, goos, goarch)
	}
	if !exists(loader) {
		return fmt.Errorf("setup: %w: there is no %s, so this Linux does not use glibc (Alpine's musl, for one); libtorch needs glibc: use a Debian, Ubuntu or Fedora based system or image", ErrPlatform, loader)
	}
	return nil
}
