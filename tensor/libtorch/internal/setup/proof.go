package setup

import (
	"context"
	"crypto/sha256"
	_ "embed" // the proof program
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed proof.cc.txt
var proofSource []byte

// Prove compiles, links and runs a small C++ program with exactly the flags in vars and the libraries that the floor names,
// and returns the line that it printed. A success is remembered below root under a key made of program, flags, compiler
// and library, so that it costs nothing the next time; log gets a line when it really runs.
func Prove(ctx context.Context, root string, in Installation, floor Floor, c Compiler, vars []Var, log io.Writer) (line string, err error) {
	key, err := proofKey(in, c, vars)
	if err != nil {
		return "", err
	}
	record := filepath.Join(root, "proof", key)
	if raw, err := os.ReadFile(record); err == nil {
		return strings.TrimSpace(string(raw)), nil
	}
	fmt.Fprintln(log, "libtorch: compiling and running a small C++ program to prove the flags (some ten seconds, once)")
	if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
		return "", fmt.Errorf("setup: proof: %w; set TAB_CACHE to a folder that you can write", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(record), "tmp-")
	if err != nil {
		return "", fmt.Errorf("setup: proof: %w; set TAB_CACHE to a folder that you can write", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	src, bin := filepath.Join(dir, "proof.cc"), filepath.Join(dir, "proof")
	if err := os.WriteFile(src, proofSource, 0o644); err != nil {
		return "", fmt.Errorf("setup: proof: %w", err)
	}
	args := append(c.CXX[1:len(c.CXX):len(c.CXX)], "-std="+standard(in.Dir))
	args = append(args, split(value(vars, "CGO_CXXFLAGS"))...)
	args = append(args, src, "-o", bin)
	args = append(args, split(value(vars, "CGO_LDFLAGS"))...)
	args = append(args, floor.libraries()...)
	compile := exec.CommandContext(ctx, c.CXX[0], args...)
	compile.Dir = dir
	compile.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := compile.CombinedOutput()
	if ctx.Err() != nil {
		return "", fmt.Errorf("setup: proof: %w", ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("setup: %w to compile: %v; %s\n%s said:\n%s", ErrProof, err, compileAdvice(string(out)), strings.Join(c.CXX, " "), tail(out, 12))
	}
	out, err = exec.CommandContext(ctx, bin).CombinedOutput()
	if ctx.Err() != nil {
		return "", fmt.Errorf("setup: proof: %w", ctx.Err())
	}
	line = strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("setup: %w to run: %v; %s\nit said:\n%s", ErrProof, err, runAdvice(line+" "+err.Error()), tail(out, 6))
	}
	if want := "gotab-proof " + in.Version + " sum=12 config=1 "; !strings.HasPrefix(line, want) {
		return "", fmt.Errorf("setup: %w: it printed %q, not %q; another libtorch is in the way: look at LD_LIBRARY_PATH and CPATH", ErrProof, line, want)
	}
	if err := replaceFile(record, []byte(line+"\n")); err != nil {
		return "", fmt.Errorf("setup: proof: %w; set TAB_CACHE to a folder that you can write", err)
	}
	return line, nil
}

func proofKey(in Installation, c Compiler, vars []Var) (string, error) {
	h := sha256.New()
	h.Write(proofSource)
	fmt.Fprintf(h, "%q %q %q\n", vars, c.CXX, c.About)
	for _, lib := range []string{"libc10.so", "libtorch_cpu.so"} {
		st, err := os.Stat(filepath.Join(in.Dir, "lib", lib))
		if err != nil {
			return "", fmt.Errorf("setup: proof: %w", err)
		}
		fmt.Fprintln(h, lib, st.Size(), st.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}

func value(vars []Var, name string) string {
	for _, v := range vars {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

const siblingAdvice = "a shared library is missing; an installation from wheels needs its sibling folder nvidia/ (cuda_runtime and cuda_cupti for the CPU): " +
	"install those, or unset TAB_LIBTORCH to have a complete copy fetched"

func compileAdvice(out string) string {
	switch {
	case strings.Contains(out, "c++17"), strings.Contains(out, "C++17"), strings.Contains(out, "c++20"), strings.Contains(out, "unrecognized command"):
		return "the compiler is too old: libtorch 2.1 needs C++17 (GCC 9 or newer, Clang 9 or newer), the newest C++20 (GCC 11 or newer, Clang 14 or newer); set CXX to another one"
	case strings.Contains(out, "No space left"):
		return "the disk is full: free some space, or set TAB_CACHE to a folder on another disk"
	case strings.Contains(out, "Killed"), strings.Contains(out, "out of memory"), strings.Contains(out, "virtual memory exhausted"):
		return "the compiler ran out of memory: the first build needs about 3 GB free"
	case strings.Contains(out, "needed by") && strings.Contains(out, "not found"):
		return siblingAdvice
	case strings.Contains(out, "undefined reference"), strings.Contains(out, "undefined symbol"):
		return "headers and libraries do not fit together: the installation is mixed from two, or its C++ ABI is not the detected one"
	case strings.Contains(out, "-lstdc++"):
		return "the C++ standard library's development files are missing (Debian, Ubuntu: apt install g++)"
	case strings.Contains(out, "No such file or directory"), strings.Contains(out, "cannot find"):
		return "a header or a library is missing: install the compiler's standard headers (Debian, Ubuntu: apt install g++ libc6-dev), or give a complete libtorch"
	}
	return "see what the compiler says below"
}

func runAdvice(out string) string {
	if strings.Contains(out, "cannot open shared object file") {
		return siblingAdvice
	}
	if strings.Contains(out, "GLIBC") {
		return "the system's glibc or libstdc++ is older than this libtorch needs; use a newer system or unset TAB_LIBTORCH"
	}
	if strings.Contains(out, "illegal instruction") {
		return "the processor lacks instructions that this libtorch was compiled for: `libtorch doctor` names them; in a virtual machine let the guest have the host's processor"
	}
	return "see what it says below, and look at LD_LIBRARY_PATH and LD_PRELOAD"
}
