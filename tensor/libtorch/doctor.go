package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/tensor/libtorch/internal/setup"
	"github.com/gotab/gotab/tensor/libtorch/internal/wheels"
)

// errDoctor makes doctor end with exit code 1; what is wrong has been printed by then.
var errDoctor = errors.New("something is missing: see the lines with !! above")

// report prints one line for each thing that was looked at.
type report struct {
	a   *app
	bad bool
}

func (r *report) ok(what, format string, args ...any) {
	fmt.Fprintf(r.a.stdout, "ok  %-10s %s\n", what, fmt.Sprintf(format, args...))
}
func (r *report) note(what, format string, args ...any) {
	fmt.Fprintf(r.a.stdout, "--  %-10s %s\n", what, fmt.Sprintf(format, args...))
}
func (r *report) fail(what string, err error) {
	r.bad = true
	fmt.Fprintf(r.a.stdout, "!!  %-10s %s\n", what, strings.ReplaceAll(err.Error(), "\n", "\n               "))
}

// doctor looks at everything that a build needs and says what to do about what is missing. It fetches nothing.
func (a *app) doctor(ctx context.Context, cuda bool) error {
	r := &report{a: a}
	if err := setup.CheckPlatform(a.goos, a.goarch, a.loader); err != nil {
		r.fail("platform", err)
		return errDoctor
	}
	r.ok("platform", "%s/%s, glibc", a.goos, a.goarch)
	if out, err := exec.CommandContext(ctx, "go", "version").Output(); err == nil {
		r.ok("go", "%s", strings.TrimSpace(string(out)))
	} else {
		r.note("go", "not on the PATH (%v)", err)
	}
	c, compilerErr := setup.FindCompiler(ctx, a.getenv)
	if compilerErr != nil {
		r.fail("compiler", compilerErr)
	} else {
		r.ok("compiler", "%s: %s", strings.Join(c.CXX, " "), c.About)
	}
	root, err := a.cacheRoot()
	if err != nil {
		r.fail("cache", err)
		return errDoctor
	}
	in, found, err := a.locate(ctx, root, cuda, false)
	switch {
	case err != nil:
		r.fail("libtorch", err)
	case found:
		r.ok("libtorch", "%s (%s), version %s, C++ ABI %d, CUDA libraries %t", in.Dir, in.Source, in.Version, in.ABI, in.CUDA)
	default:
		r.note("libtorch", "not here yet; `libtorch env` fetches it")
	}
	a.doctorCache(ctx, r, root, found || err != nil, cuda)
	if found && compilerErr == nil {
		a.doctorProof(ctx, r, root, in, c, cuda)
	}
	if free, ok := memAvailable(); ok && free < 3<<30 {
		r.note("memory", "%.1f GB are available; the first build of libtorch's C layer needs about 3 GB", float64(free)/1e9)
	} else if ok {
		r.ok("memory", "%.1f GB available; the first build needs about 3 GB", float64(free)/1e9)
	}
	for _, dir := range filepath.SplitList(a.getenv("LD_LIBRARY_PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "libc10.so")); err == nil {
			r.note("loader", "LD_LIBRARY_PATH names %s, which holds another libtorch and wins over the linked one; unset it", dir)
		}
	}
	if _, err := os.Stat("/dev/nvidiactl"); err == nil {
		r.ok("gpu", "an NVIDIA driver is loaded; use `libtorch env -cuda` to link for it")
	} else if cuda {
		r.note("gpu", "no NVIDIA driver is loaded here: a program built with -cuda runs on the CPU on this machine")
	} else {
		r.note("gpu", "no NVIDIA driver; the CPU is used")
	}
	if r.bad {
		return errDoctor
	}
	return nil
}

// doctorCache looks at the cache folder and, where something is still to be fetched, at pip and the disk.
func (a *app) doctorCache(ctx context.Context, r *report, root string, have, cuda bool) {
	dir := root
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	free, err := a.free(dir)
	if err != nil {
		r.fail("cache", err)
		return
	}
	if f, err := os.CreateTemp(dir, ".gotab-doctor-"); err != nil {
		if !have {
			r.fail("cache", fmt.Errorf("%s cannot be written (%v); make it writable or set TAB_CACHE", root, err))
			return
		}
		r.note("cache", "%s cannot be written; that does as long as nothing is missing", root)
	} else {
		name := f.Name()
		if err := errors.Join(f.Close(), os.Remove(name)); err != nil {
			r.fail("cache", err)
			return
		}
		r.ok("cache", "%s, %d MB free", root, free/1e6)
	}
	if have {
		return
	}
	var size, unpacked int64
	for _, p := range a.pins(a.version(), cuda) {
		size, unpacked = size+p.Size, unpacked+p.Unpacked
	}
	if free < size+unpacked {
		r.note("space", "%d MB are downloaded and unpack to at most %d MB; free some or set TAB_CACHE to a folder on another disk", size/1e6, unpacked/1e6)
	}
	pip, err := wheels.FindPip(ctx, a.getenv("TAB_PYTHON"))
	if err != nil {
		r.fail("pip", err)
		return
	}
	r.ok("pip", "%s", strings.Join(pip, " "))
}

// doctorProof proves the environment and compares it with what this shell exports.
func (a *app) doctorProof(ctx context.Context, r *report, root string, in setup.Installation, c setup.Compiler, cuda bool) {
	vars, err := a.environ(ctx, root, in, cuda)
	if err != nil {
		r.fail("flags", err)
		return
	}
	line, err := setup.Prove(ctx, root, in, a.floor, c, vars, a.stderr)
	if err != nil {
		r.fail("proof", err)
		return
	}
	r.ok("proof", "%s", line)
	for _, v := range vars {
		got := a.getenv(v.Name)
		if got == "" {
			r.note("flags", "%s is not set in this shell; make sets it by itself, elsewhere run: eval \"$(go run github.com/gotab/gotab/tensor/libtorch env)\"", v.Name)
			return
		}
		if got != v.Value {
			r.note("flags", "%s in this shell is %q, not %q: the C layer would be compiled again for it; eval the environment anew", v.Name, got, v.Value)
			return
		}
	}
	r.ok("flags", "this shell exports them")
}

// memAvailable returns the memory that programs can still take, from the kernel's table.
func memAvailable() (int64, bool) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kb int64
		if n, err := fmt.Sscanf(s.Text(), "MemAvailable: %d kB", &kb); err == nil && n == 1 {
			return kb << 10, true
		}
	}
	return 0, false
}
