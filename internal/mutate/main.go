// Mutate asks whether the tests would notice a fault. It changes one place of the library at a time (a sign, a comparison,
// a number by one, a negated condition, a dropped lock, a returned error), chosen at random, runs the tests of the package
// and then of the packages that import it, and reports which changes no test noticed.
//
//	go run ./internal/mutate -n 50 -seed 1 tab downstream tensor dataset metrics synth
//
// The tree is not touched: the go command gets each changed file as an overlay. A change that does not compile is drawn
// again and not counted. A dropped lock is tested under the race detector. It takes about a minute a change and needs the
// cgo environment (make env).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

type options struct {
	n       int
	seed    uint64
	timeout time.Duration
	list    bool
	only    string
}

func run(ctx context.Context, args []string) error {
	var o options
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.IntVar(&o.n, "n", 50, "number of changes to try")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the choice")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "time for the tests of one package; a change that hangs them is noticed")
	f.BoolVar(&o.list, "list", false, "print the changes and run nothing")
	f.StringVar(&o.only, "only", "", "try the one change with this place, FILE:LINE:COLUMN, as a report names it")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 || o.n < 1 {
		return errors.New("name the folders of packages to change, such as: tab tensor; -n must be 1 or more")
	}
	var all []mutant
	for _, dir := range f.Args() {
		ms, err := mutants(dir)
		if err != nil {
			return err
		}
		all = append(all, ms...)
	}
	rand.New(rand.NewPCG(o.seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if o.only != "" {
		var one []mutant
		for _, m := range all {
			if m.place() == o.only {
				one = append(one, m)
			}
		}
		all, o.n = one, len(one)
	}
	if o.list {
		for _, m := range all[:min(o.n, len(all))] {
			fmt.Println(m)
		}
		return nil
	}
	return o.try(ctx, all)
}

// try runs the tests against changes until n of them have compiled.
func (o options) try(ctx context.Context, all []mutant) error {
	users, err := importers(ctx)
	if err != nil {
		return err
	}
	var caught, tried int
	var survivors []mutant
	for _, m := range all {
		if tried == o.n {
			break
		}
		start := time.Now()
		by, err := o.judge(ctx, m, users)
		if errors.Is(err, errNotCompiled) {
			continue
		}
		if err != nil {
			return err
		}
		tried++
		if by == "" {
			survivors = append(survivors, m)
			by = "NOT NOTICED"
		} else {
			caught++
		}
		fmt.Printf("%3d %s: %s (%.0f s)\n", tried, m, by, time.Since(start).Seconds())
	}
	fmt.Printf("%d of %d changes were noticed\n", caught, tried)
	for _, m := range survivors {
		fmt.Println("not noticed:", m)
	}
	return nil
}

var errNotCompiled = errors.New("does not compile")

// judge names the package whose tests noticed the change, or returns "".
func (o options) judge(ctx context.Context, m mutant, users map[string][]string) (string, error) {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	changed := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(changed, m.changed, 0o600); err != nil {
		return "", err
	}
	file, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		return "", err
	}
	pkg := "./" + filepath.ToSlash(filepath.Dir(m.file))
	for _, p := range append([]string{pkg}, users[pkg]...) {
		args := []string{"test", "-overlay", overlay, "-count=1", "-failfast", "-vet=off", "-timeout", o.timeout.String()}
		if m.race {
			args = append(args, "-race")
		}
		out, err := goCommand(ctx, append(args, p)...)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err == nil {
			continue
		}
		if notCompiled(out) {
			return "", errNotCompiled
		}
		return "noticed by " + p + firstFailure(out), nil
	}
	return "", nil
}

func goCommand(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	return string(out), err
}

func notCompiled(out string) bool {
	return strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") || strings.Contains(out, "declared and not used") || strings.Contains(out, "imported and not used") ||
		strings.Contains(out, "cannot use ") || strings.Contains(out, "invalid operation")
}

func firstFailure(out string) string {
	for l := range strings.Lines(out) {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, "--- FAIL: ") {
			name, _, _ := strings.Cut(strings.TrimPrefix(l, "--- FAIL: "), " ")
			return " " + name
		}
	}
	switch {
	case strings.Contains(out, "panic: test timed out"):
		return " (hangs)"
	case strings.Contains(out, "DATA RACE"):
		return " (data race)"
	}
	return " (the test program died)"
}

// importers returns for each package of the module those that import it directly and have tests.
func importers(ctx context.Context) (map[string][]string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", `{{$p := .}}{{if or .TestGoFiles .XTestGoFiles}}{{range .Imports}}{{.}} {{$p.ImportPath}}{{"\n"}}{{end}}{{end}}`, "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	const module = "github.com/gotab/gotab/"
	users := map[string][]string{}
	for l := range strings.Lines(string(out)) {
		to, from, _ := strings.Cut(strings.TrimSpace(l), " ")
		to, ok := strings.CutPrefix(to, module)
		if ok && !strings.HasPrefix(from, module+"examples/") {
			users["./"+to] = append(users["./"+to], "./"+strings.TrimPrefix(from, module))
		}
	}
	return users, nil
}
