package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/gotab/gotab/tensor/libtorch/internal/elfs"
)

// runpath is where a bundled program looks for its libraries: the folder lib beside it.
const runpath = "$ORIGIN/lib"

// Result says what a bundle holds.
type Result struct {
	Program   string   // path of the program in the bundle
	Libraries []string // names of the libraries in its lib folder, sorted
	Bytes     int64    // of program and libraries
	Glibc     string   // oldest glibc that the target may have; empty if the program asks for none
}

// Make copies program into dir and the shared libraries that it needs into dir/lib, sets the copy's search path to
// $ORIGIN/lib, copies the licences that lie beside the libraries to dir/licenses, and lets the system's loader confirm
// that every library is found in the bundle. dir must be missing or empty; it appears by one rename, so a failure leaves
// nothing behind. Libraries are looked for where the program's own search path says, then in dirs, then in the system's
// folders. glibc and the GPU's driver stay the target machine's. log gets lines for people.
func Make(ctx context.Context, program, dir string, dirs []string, log io.Writer) (res Result, err error) {
	st, err := os.Stat(program)
	if err != nil {
		return res, fmt.Errorf("bundle: %w: %v; build it first (go build -o NAME) and name the file", ErrProgram, err)
	}
	if !st.Mode().IsRegular() {
		return res, fmt.Errorf("bundle: %w: %s is no ordinary file; name the file that go build wrote", ErrProgram, program)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return res, fmt.Errorf("bundle: %w: %s is not empty; remove it or name another", ErrTarget, dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return res, fmt.Errorf("bundle: %w: %v", ErrTarget, err)
	}
	libs, glibc, err := closure(program, append(dirs[:len(dirs):len(dirs)], systemDirs()...))
	if err != nil {
		return res, err
	}
	res.Glibc = glibc
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return res, fmt.Errorf("bundle: %w: %v", ErrTarget, err)
	}
	part, err := os.MkdirTemp(parent, ".bundle-")
	if err != nil {
		return res, fmt.Errorf("bundle: %w: %v", ErrTarget, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(part)) }()
	base := filepath.Base(program)
	if base == "lib" || base == "licenses" {
		return res, fmt.Errorf("bundle: %w: it is called %q, as one of the bundle's folders; rename it", ErrProgram, base)
	}
	n, err := copyFile(ctx, program, filepath.Join(part, base), 0o755)
	if err != nil {
		return res, err
	}
	res.Bytes = n
	for name := range libs {
		res.Libraries = append(res.Libraries, name)
	}
	sort.Strings(res.Libraries)
	for _, name := range res.Libraries {
		n, err := copyFile(ctx, libs[name], filepath.Join(part, "lib", name), 0o755)
		if err != nil {
			return res, err
		}
		res.Bytes += n
		fmt.Fprintf(log, "libtorch: lib/%s, %.1f MB, from %s\n", name, float64(n)/1e6, filepath.Dir(libs[name]))
	}
	if len(libs) > 0 {
		if err := point(filepath.Join(part, base)); err != nil {
			return res, err
		}
		if err := copyLicences(ctx, libs, filepath.Join(part, "licenses")); err != nil {
			return res, err
		}
		if err := confirm(ctx, part, base, res.Libraries); err != nil {
			return res, err
		}
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return res, fmt.Errorf("bundle: %w", err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return res, fmt.Errorf("bundle: %w: %v", ErrTarget, err)
	}
	if err := os.Rename(part, dir); err != nil {
		return res, fmt.Errorf("bundle: %w", err)
	}
	res.Program = filepath.Join(dir, base)
	return res, nil
}

// point sets the program's search path. Where its bytes cannot be changed, a path that already begins with the right
// entry (as the environment of this command makes it) does as well.
func point(program string) error {
	err := elfs.SetRunpath(program, runpath)
	if err == nil {
		return nil
	}
	info, readErr := elfs.Read(program)
	if readErr == nil && len(info.Runpath) > 0 && info.Runpath[0] == runpath {
		return nil
	}
	return fmt.Errorf("bundle: %w: %w; build it with the environment that `libtorch env` prints, which gives it a search path that begins with %s", ErrProgram, err, runpath)
}

// confirm lets the loader list what the program would load, without running it, and checks that every bundled library
// comes from the bundle. This is the machine's own answer, where closure is our reading of the files.
func confirm(ctx context.Context, dir, base string, libs []string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(abs, base))
	cmd.Env = []string{"LD_TRACE_LOADED_OBJECTS=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("bundle: %w: the loader refuses it: %v: %s", ErrProgram, err, strings.TrimSpace(string(out)))
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	inside := map[string]bool{}
	for _, l := range libs {
		inside[l] = true
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		name, path, ok := strings.Cut(strings.TrimSpace(line), " => ")
		if !ok || isGlibc(name) || isDriver(name) {
			continue
		}
		path, _, _ = strings.Cut(path, " (0x")
		if path == "not found" {
			return fmt.Errorf("bundle: %w %s is not found in the bundle", ErrLibrary, name)
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if inside[name] && filepath.Dir(path) != filepath.Join(abs, "lib") {
			return fmt.Errorf("bundle: %w %s is taken from %s instead of the bundle", ErrLibrary, name, path)
		}
	}
	return nil
}

// systemDirs are the folders where a linux/amd64 system keeps its libraries, those named by the user first.
func systemDirs() []string {
	var out []string
	for _, d := range filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")) {
		if filepath.IsAbs(d) {
			out = append(out, d)
		}
	}
	return append(out, "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
}

// copyLicences copies the licence files of the wheels (site/NAME.dist-info) from which libraries were taken.
func copyLicences(ctx context.Context, libs map[string]string, to string) error {
	sites := map[string]bool{}
	for _, path := range libs {
		for d := filepath.Dir(path); len(d) > 1; d = filepath.Dir(d) {
			if base := filepath.Base(d); base == "torch" || base == "nvidia" {
				sites[filepath.Dir(d)] = true
				break
			}
		}
	}
	for site := range sites {
		for _, pattern := range []string{"torch-*.dist-info/*", "nvidia_*.dist-info/*", "torch-*.dist-info/licenses/*", "nvidia_*.dist-info/licenses/*"} {
			found, err := filepath.Glob(filepath.Join(site, pattern))
			if err != nil {
				return fmt.Errorf("bundle: %w", err)
			}
			for _, f := range found {
				upper := strings.ToUpper(filepath.Base(f))
				st, err := os.Stat(f)
				if err != nil || !st.Mode().IsRegular() || !strings.HasPrefix(upper, "LICENSE") && !strings.HasPrefix(upper, "NOTICE") {
					continue
				}
				rel, err := filepath.Rel(site, f)
				if err != nil {
					return fmt.Errorf("bundle: %w", err)
				}
				wheel, _, _ := strings.Cut(filepath.ToSlash(rel), ".dist-info")
				if _, err := copyFile(ctx, f, filepath.Join(to, wheel, filepath.Base(f)), 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func copyFile(ctx context.Context, from, to string, mode fs.FileMode) (n int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("bundle: copy: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, fmt.Errorf("bundle: copy: %w", err)
	}
	in, err := os.Open(from)
	if err != nil {
		return 0, fmt.Errorf("bundle: copy: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, fmt.Errorf("bundle: copy: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if n, err = io.Copy(out, in); err != nil {
		return n, fmt.Errorf("bundle: copy %s: %w", filepath.Base(from), err)
	}
	return n, nil
}
