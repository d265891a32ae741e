// Command libtorch finds or fetches libtorch and prints the cgo environment that builds Go programs with it.
//
//	eval "$(go run github.com/gotab/gotab/tensor/libtorch env)"
//
// Run it without arguments for its subcommands. It needs neither cgo nor root, and writes only below the cache folder
// (TAB_CACHE, else gotab in the user's cache folder) and, for bundle, into the folder that it is given.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/gotab/gotab/tensor/libtorch/internal/bundle"
	"github.com/gotab/gotab/tensor/libtorch/internal/gloo"
	"github.com/gotab/gotab/tensor/libtorch/internal/setup"
	"github.com/gotab/gotab/tensor/libtorch/internal/wheels"
)

const usage = `libtorch finds or fetches libtorch for Go programs that use gotab.

  libtorch env [-floor F] [-cuda] [-dist] [-format shell|make|json]   set up what is missing, prove it, print the cgo environment
  libtorch fetch [-floor F] [-cuda]                fetch libtorch into the cache folder, print where it is
  libtorch doctor [-floor F] [-cuda]               look at everything that is needed, change nothing but the proof
  libtorch bundle [-floor F] PROGRAM DIR                     copy a finished program and its libraries into DIR
  libtorch version                                           print the versions and hashes of what is fetched

  -floor gotch     the C layer of gotch, on libtorch 2.1 (the default)
  -floor libtorch  this module's own, on libtorch 2.1 to 2.15: for GPUs newer than Hopper, for a Python with a newer PyTorch,
                   and for a first build of one minute

  -dist            compile tensor/dist's engine in, for training over several processes (libtorch 2.1)

  TAB_LIBTORCH  an existing libtorch (the folder with include/ and lib/), used instead of fetching one
  TAB_CACHE     cache folder; default: gotab in the user's cache folder
  TAB_PYTHON    Python whose pip downloads; default: python3, pip3, pip or python on the PATH
  TAB_GLOO      for -dist: an existing folder that holds gloo/, with gloo's headers of mid-2022
  CC, CXX       compilers, as the go command takes them
`

// errUsage asks for the usage text and exit code 2.
var errUsage = errors.New("wrong arguments")

// loader is glibc's program loader on linux/amd64; its absence shows another C library.
const loader = "/lib64/ld-linux-x86-64.so.2"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := app{getenv: os.Getenv, stdout: os.Stdout, stderr: os.Stderr, goos: runtime.GOOS, goarch: runtime.GOARCH, loader: loader,
		free: wheels.FreeSpace, pins: wheels.Pins, tty: isTerminal(os.Stderr), floor: setup.Gotch,
		root: os.DirFS("/"), processors: runtime.NumCPU(), nvidia: askNvidia, headers: gloo.Headers}
	err := a.run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "libtorch: %v\n\n%s", err, usage)
		os.Exit(2)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "libtorch: stopped; run again to go on, finished wheels are kept")
		os.Exit(130)
	default:
		fmt.Fprintf(os.Stderr, "libtorch: %v\n", err)
		os.Exit(1)
	}
}

// app is the command with everything that it takes from outside.
type app struct {
	getenv         func(string) string
	stdout, stderr io.Writer
	goos, goarch   string
	loader         string
	free           func(string) (int64, error)
	pins           func(version string, cuda bool) []wheels.Pin
	floor          setup.Floor
	tty            bool
	root           fs.FS // of the file system, for what the kernel says
	processors     int   // that the kernel lets this process use
	nvidia         func(ctx context.Context, args ...string) (string, error)
	headers        gloo.Pin // of -dist
}

func (a *app) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: a subcommand is missing", errUsage)
	}
	fs := flag.NewFlagSet("libtorch "+args[0], flag.ContinueOnError)
	fs.SetOutput(a.stderr)
	cuda, dist, format, floor := false, false, "shell", string(setup.Gotch)
	switch args[0] {
	case "env", "fetch", "doctor":
		fs.StringVar(&floor, "floor", floor, "what package tensor is compiled on: gotch, or libtorch itself")
		fs.BoolVar(&cuda, "cuda", false, "link the CUDA libraries too; downloads 2.6 GB (4.3 GB unpacked) where they are missing")
	case "bundle":
		fs.StringVar(&floor, "floor", floor, "what the program was compiled on: gotch, or libtorch itself")
	case "version":
	case "help", "-h", "-help", "--help":
		fmt.Fprint(a.stdout, usage)
		return nil
	default:
		return fmt.Errorf("%w: there is no subcommand %q", errUsage, args[0])
	}
	if args[0] == "env" {
		fs.StringVar(&format, "format", "shell", "shell, make or json")
		fs.BoolVar(&dist, "dist", false, "compile in what trains over several processes (tensor/dist); fetches gloo's headers, 50 KB")
	}
	if err := fs.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	var err error
	if a.floor, err = setup.ParseFloor(floor); err != nil {
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	if args[0] == "bundle" {
		if fs.NArg() != 2 {
			return fmt.Errorf("%w: bundle takes a program and a folder", errUsage)
		}
	} else if fs.NArg() > 0 {
		return fmt.Errorf("%w: %q is too much", errUsage, fs.Arg(0))
	}
	if args[0] == "version" {
		return a.versions()
	}
	if args[0] == "doctor" {
		return a.doctor(ctx, cuda)
	}
	if err := setup.CheckPlatform(a.goos, a.goarch, a.loader); err != nil {
		return err
	}
	switch args[0] {
	case "env":
		return a.env(ctx, cuda, dist, format)
	case "fetch":
		return a.fetch(ctx, cuda)
	default:
		return a.bundle(ctx, fs.Arg(0), fs.Arg(1))
	}
}

// cacheRoot is the only folder that this command writes to of its own accord.
func (a *app) cacheRoot() (string, error) {
	if dir := a.getenv("TAB_CACHE"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("TAB_CACHE: %w", err)
		}
		return abs, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set TAB_CACHE to a folder that you can write", err)
	}
	return filepath.Join(dir, "gotab"), nil
}

// version is the version that is fetched for the floor.
func (a *app) version() string {
	if a.floor == setup.Libtorch {
		return wheels.Newest
	}
	return wheels.Version
}

func (a *app) fetcher(root string, cuda bool) *wheels.Fetcher {
	version := a.version()
	name := "libtorch-" + version + "-cpu"
	if cuda {
		name = "libtorch-" + version + "-cuda"
	}
	return &wheels.Fetcher{Root: root, Name: name, Pins: a.pins(version, cuda), About: "libtorch " + version, Python: a.getenv("TAB_PYTHON"), Log: a.stderr, TTY: a.tty, Free: a.free}
}

// locate returns the libtorch to use: TAB_LIBTORCH, a cached copy, else, if allowed, one that it fetches. found is
// false where none is there and fetching is not allowed.
func (a *app) locate(ctx context.Context, root string, cuda, mayFetch bool) (in setup.Installation, found bool, err error) {
	if dir := a.getenv("TAB_LIBTORCH"); dir != "" {
		in, err = setup.Inspect(dir, "TAB_LIBTORCH", a.floor, cuda)
		return in, err == nil, err
	}
	kinds := []bool{cuda}
	if !cuda {
		kinds = []bool{false, true} // a copy with CUDA serves the CPU as well
	}
	for _, kind := range kinds {
		f := a.fetcher(root, kind)
		ok, err := f.Cached()
		if ok {
			in, err = setup.Inspect(filepath.Join(f.Dir(), "torch"), "cache", a.floor, cuda)
			return in, err == nil, err
		}
		if err != nil && !mayFetch {
			return in, false, fmt.Errorf("%w; `libtorch fetch` fetches it again", err)
		}
	}
	if !mayFetch {
		return in, false, nil
	}
	dir, err := a.fetcher(root, cuda).Fetch(ctx)
	if err != nil {
		return in, false, err
	}
	in, err = setup.Inspect(filepath.Join(dir, "torch"), "cache", a.floor, cuda)
	return in, err == nil, err
}

// goFlags is GOFLAGS as the go command sees it: the variable or, where that is empty, what `go env -w` has written.
func (a *app) goFlags(ctx context.Context) string {
	if flags := a.getenv("GOFLAGS"); flags != "" {
		return flags
	}
	out, err := exec.CommandContext(ctx, "go", "env", "GOFLAGS").Output()
	if err != nil {
		return "" // no go command here: the environment is for elsewhere
	}
	return strings.TrimSpace(string(out))
}

func (a *app) environ(ctx context.Context, root string, in setup.Installation, cuda bool, tags ...string) ([]setup.Var, error) {
	stubs := filepath.Join(root, "stubs-cpu")
	if cuda {
		stubs = filepath.Join(root, "stubs-cuda")
	}
	if err := setup.WriteStubs(stubs, setup.Stubs(a.floor, cuda)); err != nil {
		return nil, err
	}
	return setup.Environ(in, stubs, a.floor, cuda, a.goFlags(ctx), tags...)
}

func (a *app) env(ctx context.Context, cuda, dist bool, format string) error {
	if _, err := setup.Format(nil, format); err != nil {
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	root, err := a.cacheRoot()
	if err != nil {
		return err
	}
	// The compiler is looked for before anything is fetched: it is the cheaper thing to find missing.
	c, err := setup.FindCompiler(ctx, a.getenv)
	if err != nil {
		return err
	}
	in, _, err := a.locate(ctx, root, cuda, true)
	if err != nil {
		return err
	}
	vars, err := a.environ(ctx, root, in, cuda)
	if err != nil {
		return err
	}
	if in.Note != "" {
		fmt.Fprintf(a.stderr, "libtorch: %s\n", in.Note)
	}
	if _, err := setup.Prove(ctx, root, in, a.floor, c, vars, a.stderr); err != nil {
		return err
	}
	if dist {
		if vars, err = a.dist(ctx, root, in, vars); err != nil {
			return err
		}
	}
	text, err := setup.Format(append(vars, c.Extra...), format)
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, text)
	return err
}

// dist adds to the environment what tensor/dist's engine needs.
func (a *app) dist(ctx context.Context, root string, in setup.Installation, vars []setup.Var) ([]setup.Var, error) {
	var include string
	var err error
	if dir := a.getenv("TAB_GLOO"); dir != "" {
		include, err = gloo.Given(dir)
	} else {
		include, err = gloo.Fetcher{Root: root, Pin: a.headers, Log: a.stderr}.Fetch(ctx)
	}
	if err != nil {
		return nil, err
	}
	return setup.WithDist(vars, in, a.floor, include, a.goFlags(ctx), a.getenv("CPLUS_INCLUDE_PATH"))
}

func (a *app) fetch(ctx context.Context, cuda bool) error {
	root, err := a.cacheRoot()
	if err != nil {
		return err
	}
	in, _, err := a.locate(ctx, root, cuda, true)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, in.Dir)
	return err
}

func (a *app) bundle(ctx context.Context, program, dir string) error {
	root, err := a.cacheRoot()
	if err != nil {
		return err
	}
	var dirs []string
	// The program's own search path comes first; a libtorch that is there helps where it has none for a library.
	if in, found, err := a.locate(ctx, root, false, false); err != nil {
		fmt.Fprintf(a.stderr, "libtorch: going by the program's own search path alone: %v\n", err)
	} else if found {
		dirs = append(dirs, filepath.Join(in.Dir, "lib"))
	}
	res, err := bundle.Make(ctx, program, dir, dirs, a.stderr)
	if err != nil {
		return err
	}
	if len(res.Libraries) == 0 {
		fmt.Fprintln(a.stderr, "libtorch: the program needs no shared library but glibc's; it can be copied as it is")
	}
	if res.Glibc != "" {
		fmt.Fprintf(a.stderr, "libtorch: %d libraries, %d MB in all; the target machine needs linux/amd64 with glibc %s or newer\n", len(res.Libraries), res.Bytes/1e6, res.Glibc)
	}
	_, err = fmt.Fprintln(a.stdout, res.Program)
	return err
}

func (a *app) versions() error {
	for _, version := range []string{wheels.Version, wheels.Newest} {
		if _, err := fmt.Fprintf(a.stdout, "libtorch %s, linux/amd64, glibc\n", version); err != nil {
			return err
		}
		cpu := map[string]bool{}
		for _, p := range a.pins(version, false) {
			cpu[p.Name] = true
		}
		for _, p := range a.pins(version, true) {
			kind := "cuda"
			if cpu[p.Name] {
				kind = "cpu "
			}
			if _, err := fmt.Fprintf(a.stdout, "%s %9.1f MB  sha256 %s  %s\n", kind, float64(p.Size)/1e6, p.SHA256, p.File); err != nil {
				return err
			}
		}
	}
	return nil
}

// isTerminal tells a terminal from a file or a pipe, closely enough to choose between two ways of showing progress.
func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
