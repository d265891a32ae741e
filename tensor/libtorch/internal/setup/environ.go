package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Var is one variable of the cgo environment.
type Var struct{ Name, Value string }

// Stubs returns the library names that the floor's cgo lines ask for and that must not be linked: of gotch's driver and
// toolkit always, since the torch libraries name what they need of them, and for the CPU the CUDA half of libtorch as well.
func Stubs(floor Floor, cuda bool) []string {
	if floor == Libtorch {
		return nil
	}
	names := []string{"cuda", "cudart", "cublas", "cudnn", "caffe2_nvrtc", "nvrtc-builtins", "nvrtc", "nvToolsExt"}
	if !cuda {
		names = append(names, "torch", "torch_cuda", "c10_cuda")
	}
	return names
}

// WriteStubs makes sure that dir holds an empty archive for every name; an empty archive satisfies the linker and leaves
// nothing behind in the program. Where all are there, nothing is written, so that a read-only cache does.
func WriteStubs(dir string, names []string) error {
	empty := []byte("!<arch>\n")
	for _, n := range names {
		path := filepath.Join(dir, "lib"+n+".a")
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, empty) {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("setup: write stub libraries: %w; set TAB_CACHE to a folder that you can write", err)
		}
		if err := replaceFile(path, empty); err != nil {
			return fmt.Errorf("setup: write stub libraries: %w; set TAB_CACHE to a folder that you can write", err)
		}
	}
	return nil
}

// replaceFile writes path by way of a temporary file, so that another process sees the old content or the new one.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one that tells
	}
	return err
}

// Environ returns the variables with which Go compiles and links the floor against the installation. The ABI and the
// headers must come through CGO_CXXFLAGS, because gotch's own define reaches C files only; the folder of stubs comes before
// libtorch's own, and --no-as-needed keeps the CUDA libraries, of which no symbol is used by name. The search path
// $ORIGIN/lib comes first, so that a program with its libraries beside it takes those. goFlags is the GOFLAGS of before,
// which gets or loses the floor's build tag, and tensor/dist's, which tags may name; where that changes nothing the variable is
// not among those returned.
func Environ(in Installation, stubs string, floor Floor, cuda bool, goFlags string, tags ...string) ([]Var, error) {
	inc := filepath.Join(in.Dir, "include")
	lib := filepath.Join(in.Dir, "lib")
	args := []string{"-O2"}
	if floor == Libtorch { // gotch's cgo lines name their own
		args = append(args, "-std="+standard(in.Dir))
	}
	cxx, err := join(append(args, fmt.Sprintf("-D_GLIBCXX_USE_CXX11_ABI=%d", in.ABI), "-isystem", inc, "-isystem", filepath.Join(inc, "torch", "csrc", "api", "include"))...)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(lib, ",:") {
		return nil, fmt.Errorf("setup: %w: %q holds a comma or a colon, which a library search path cannot; move it", ErrQuote, lib)
	}
	args = []string{"-Wl,--no-as-needed"}
	if floor == Gotch {
		args = append(args, "-L"+stubs)
	}
	args = append(args, "-L"+lib, "-Wl,-rpath,$ORIGIN/lib", "-Wl,-rpath,"+lib)
	if floor == Libtorch && cuda {
		args = append(args, "-lc10_cuda", "-ltorch_cuda")
	}
	ld, err := join(args...)
	if err != nil {
		return nil, err
	}
	vars := []Var{{"CGO_ENABLED", "1"}, {"CGO_CXXFLAGS", cxx}, {"CGO_LDFLAGS", ld}}
	flags, err := floor.goFlags(goFlags, tags...)
	if err != nil {
		return nil, err
	}
	if flags != goFlags {
		vars = append(vars, Var{"GOFLAGS", flags})
	}
	return vars, nil
}

// join makes one string of arguments as the go command splits it: by spaces, with quotes around an argument.
func join(args ...string) (string, error) {
	out := make([]string, len(args))
	for i, a := range args {
		switch {
		case strings.ContainsAny(a, "\n\r"), strings.Contains(a, "'") && strings.Contains(a, `"`):
			return "", fmt.Errorf("setup: %w: %q holds a line break or both kinds of quotes; move it", ErrQuote, a)
		case !strings.ContainsAny(a, " \t'\""):
			out[i] = a
		case strings.Contains(a, "'"):
			out[i] = `"` + a + `"`
		default:
			out[i] = "'" + a + "'"
		}
	}
	return strings.Join(out, " "), nil
}

// split undoes join. A quote without an end ends with the string.
func split(s string) []string {
	out, _ := arguments(s)
	return out
}

// arguments splits as the go command does; open is what follows a quote without an end.
func arguments(s string) (args []string, open string) {
	const blanks = " \t\r\n"
	for s = strings.TrimLeft(s, blanks); s != ""; s = strings.TrimLeft(s, blanks) {
		if q := s[0]; q == '\'' || q == '"' {
			arg, rest, closed := strings.Cut(s[1:], string(q))
			if !closed {
				open = s
			}
			args, s = append(args, arg), rest
			continue
		}
		i := strings.IndexAny(s, blanks)
		if i < 0 {
			i = len(s)
		}
		args, s = append(args, s[:i]), s[i:]
	}
	return args, open
}

// Format writes vars for a shell (eval), for make (include) or as one JSON object.
func Format(vars []Var, format string) (string, error) {
	var b strings.Builder
	switch format {
	case "shell":
		for _, v := range vars {
			fmt.Fprintf(&b, "export %s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
		}
	case "make":
		for _, v := range vars {
			fmt.Fprintf(&b, "export %s := %s\n", v.Name, strings.NewReplacer("$", "$$", "#", `\#`).Replace(v.Value))
		}
	case "json":
		m := map[string]string{}
		for _, v := range vars {
			m[v.Name] = v.Value
		}
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(m); err != nil {
			return "", fmt.Errorf("setup: format: %w", err)
		}
	default:
		return "", fmt.Errorf("setup: format %q is none of shell, make, json", format)
	}
	return b.String(), nil
}
