package setup

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Compiler is the pair of compilers that the go command will use.
type Compiler struct {
	CC, CXX []string // command and leading arguments
	Extra   []Var    // CC or CXX where the go command's own default is not installed and another compiler is
	About   string   // first line of CXX --version
}

// FindCompiler finds what the go command will run: CC and CXX from the environment or `go env`, which default to gcc and
// g++. Where those are missing and clang or cc is there, it says so in Extra, to be exported with the rest.
func FindCompiler(ctx context.Context, getenv func(string) string) (Compiler, error) {
	var c Compiler
	var err error
	if c.CXX, err = pick(ctx, getenv, "CXX", &c.Extra, "g++", "c++", "clang++"); err != nil {
		return c, err
	}
	if c.CC, err = pick(ctx, getenv, "CC", &c.Extra, "gcc", "cc", "clang"); err != nil {
		return c, err
	}
	out, err := exec.CommandContext(ctx, c.CXX[0], append(c.CXX[1:len(c.CXX):len(c.CXX)], "--version")...).CombinedOutput()
	if err != nil {
		return c, fmt.Errorf("setup: %w: %s --version: %v: %s; set CXX to a C++17 compiler", ErrCompiler, strings.Join(c.CXX, " "), err, tail(out, 3))
	}
	c.About, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return c, nil
}

func pick(ctx context.Context, getenv func(string) string, name string, extra *[]Var, defaults ...string) ([]string, error) {
	set := getenv(name)
	if set == "" {
		if out, err := exec.CommandContext(ctx, "go", "env", name).Output(); err == nil {
			set = strings.TrimSpace(string(out))
		}
	}
	if set != "" && set != defaults[0] {
		cmd := split(set)
		if _, err := exec.LookPath(cmd[0]); err != nil {
			return nil, fmt.Errorf("setup: %w: %s is set to %q, which is not there; unset it or install it (%v)", ErrCompiler, name, set, err)
		}
		return cmd, nil
	}
	for i, d := range defaults {
		if _, err := exec.LookPath(d); err == nil {
			if i > 0 {
				*extra = append(*extra, Var{name, d})
			}
			return []string{d}, nil
		}
	}
	return nil, fmt.Errorf("setup: %w: none of %s is on the PATH; install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++) or set %s",
		ErrCompiler, strings.Join(defaults, ", "), name)
}

func tail(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
