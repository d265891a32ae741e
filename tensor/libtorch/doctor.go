package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gotab/gotab/tensor/libtorch/internal/machine"
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

// add prints what was found.
func (r *report) add(findings ...machine.Finding) {
	for _, f := range findings {
		switch f.Level {
		case machine.OK:
			r.ok(f.What, "%s", f.Text)
		case machine.Note:
			r.note(f.What, "%s", f.Text)
		default:
			r.fail(f.What, errors.New(f.Text))
		}
	}
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
	version := a.version()
	if found {
		version = in.Version
	}
	r.add(machine.Processor(a.root, version), machine.Cores(a.root, a.processors, a.getenv("GOMAXPROCS")), machine.Threads(a.root, a.processors),
		machine.Memory(a.root, a.floor.BuildMemory()))
	a.doctorBuild(ctx, r)
	for _, dir := range filepath.SplitList(a.getenv("LD_LIBRARY_PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "libc10.so")); err == nil {
			r.note("loader", "LD_LIBRARY_PATH names %s, which holds another libtorch and wins over the linked one; unset it", dir)
		}
	}
	library, err := machine.Describe(in.Dir, version)
	if err != nil {
		r.fail("libtorch", err)
	}
	r.add(machine.GPUs(ctx, a.root, library, cuda, a.nvidia)...)
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
	var tags []string
	if strings.Contains(a.goFlags(ctx), setup.DistTag) { // of a shell that `env -dist` has set up
		tags = append(tags, setup.DistTag)
	}
	vars, err := a.environ(ctx, root, in, cuda, tags...)
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

// doctorBuild looks at the room for what the go command compiles: its cache, and the folder for temporary files.
func (a *app) doctorBuild(ctx context.Context, r *report) {
	need := a.floor.BuildDisk()
	folders := []string{a.getenv("TMPDIR")}
	if folders[0] == "" {
		folders[0] = "/tmp"
	}
	if out, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output(); err == nil && len(bytes.TrimSpace(out)) > 0 {
		folders = append(folders, string(bytes.TrimSpace(out)))
	}
	for _, dir := range folders {
		there := dir
		for there != filepath.Dir(there) {
			if _, err := os.Stat(there); err == nil {
				break
			}
			there = filepath.Dir(there)
		}
		free, err := a.free(there)
		switch {
		case err != nil:
			r.fail("disk", err)
		case free < need:
			r.note("disk", "%s has %d MB free; the first build needs up to %d MB there: free some, or set TMPDIR and GOCACHE to folders on another disk", dir, free/1e6, need/1e6)
		default:
			r.ok("disk", "%s has %d MB free for the first build", dir, free/1e6)
		}
	}
}

// askNvidia runs nvidia-smi for some seconds at most: it hangs where the driver does.
func askNvidia(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", args...).Output()
	if err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return string(out), nil
}
