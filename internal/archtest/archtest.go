package archtest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	module = "github.com/gotab/gotab"
	gotch  = "github.com/sugarme/gotch"
	libtch = gotch + "/libtch"
	floor  = "tensor/internal/native"
	// engine is the one other package with native code, under a build tag: what several
	// processes need of libtorch.
	engine  = "tensor/dist/internal/c10d"
	testify = "github.com/stretchr/testify"
	// plot brings its fonts with it, which a service does not need: only what writes
	// reports pays for it.
	plot = "gonum.org/v1/plot"
	// zstd is a compression of TIFF that the standard library does not have.
	zstd = "github.com/klauspost/compress"
	// testutil serves tests alone and counts tensors.
	testutil = "internal/testutil"
	// hostile serves tests alone and has no native code.
	hostile = "internal/hostile"
	// faulttest serves tests alone and lets writers fail.
	faulttest = "internal/faulttest"
	// onnxtest serves tests alone and runs models.
	onnxtest = "internal/onnx/onnxtest"
	// ranktest serves tests alone and is a group of ranks in one process.
	ranktest = "internal/ranktest"
	// plots is the one package of the library that draws them.
	plots = "evaluate/report"
	// rooms are what stands under the detectors of downstream.
	rooms = "downstream/internal"
	// layers are blocks of networks, on tensor.
	layers = "internal/layers"
	// service is the one package of the library that answers requests, and server listens.
	service = "inspect/service"
	server  = "inspect/server"
)

// jobs are the rooms that do what a program does, with files and settings, for whoever does it
// from Go: the library does not stand on them, so that nothing else carries what they need.
func jobs() []string {
	return []string{"tab/training", "downstream/classify/compare", "evaluate/session", "evaluate/study", "evaluate/sweep", "evaluate/article",
		"evaluate/figures", "evaluate/beforeafter", "inspect/pack", server}
}

// isJob says whether a folder may stand on jobs.
func isJob(dir string) bool { return under(dir, "examples") || slices.Contains(jobs(), dir) }

// Result is what a walk found.
type Result struct {
	Packages   []string // folders with Go files, relative to the root, rising
	Violations []string // one sentence each, rising; empty if every arrow is allowed
}

// rule says what the files of a package may import.
type rule struct {
	native   bool     // links libtorch, directly or through another package
	public   []string // packages of this module
	foreign  []string // modules, or packages with all below them
	internal bool     // internal/*
	anyTest  bool     // its tests may import every package but the examples
}

// numeric are the modules that any package may use.
func numeric() []string { return []string{"golang.org/x/image", "gonum.org/v1/gonum"} }

// ruleFor returns the rule of a folder, or false for one that has no place in the
// design.
func ruleFor(dir string) (rule, bool) {
	switch dir {
	case "synth", "prompt", "metrics", "scalars":
		return rule{internal: true, foreign: numeric()}, true
	case "tab/card": // is read by programs without native code
		return rule{internal: true}, true
	case "tab/clipbank": // brings the text encoder to the anchors, which tab itself does not know
		return rule{native: true, internal: true, public: []string{"clipenc", "prompt", "tab", "tab/card", "tensor"}, anyTest: true}, true
	case "metrics/tsne": // its tests measure what it makes
		return rule{internal: true, foreign: numeric(), anyTest: true}, true
	case "dataset": // lists in UTF-16, and names in the code page of zip files
		return rule{internal: true, foreign: append(numeric(), "golang.org/x/text")}, true
	case "dataset/drawn": // a data set of nothing but a seed
		return rule{internal: true, public: []string{"dataset"}, foreign: numeric()}, true
	case "dataset/wafers": // its tests read back what it writes
		return rule{internal: true, foreign: numeric(), anyTest: true}, true
	case "synth/sheet": // shows twins of the images of a data set
		return rule{internal: true, public: []string{"dataset", "synth"}, foreign: numeric()}, true
	case "dataset/audit": // looks at all of a data set, and draws it
		return rule{internal: true, public: []string{"dataset"}, foreign: numeric()}, true
	case floor:
		return rule{native: true, foreign: []string{libtch, "C"}}, true
	case engine:
		return rule{foreign: []string{"C"}}, true
	case "tensor/dist": // connects processes, so nothing of the library imports it
		return rule{native: true, internal: true, public: []string{engine, "tensor"}, anyTest: true}, true
	case "tensor":
		return rule{native: true, internal: true, public: []string{floor}, foreign: numeric()}, true
	case "backbone":
		return rule{native: true, internal: true, public: []string{"tensor"}, foreign: numeric(), anyTest: true}, true
	case "clipenc":
		return rule{native: true, internal: true, public: []string{"tensor"}, anyTest: true,
			foreign: append(numeric(), "github.com/sugarme/tokenizer", "golang.org/x/text")}, true
	case "downstream":
		return rule{native: true, internal: true, public: []string{"backbone", "dataset", "metrics", "tensor", rooms}, foreign: numeric(), anyTest: true}, true
	case "downstream/classify": // is fitted and saved as detectors are, and is none
		return rule{native: true, internal: true, public: []string{"backbone", "dataset", "downstream", "tensor"}, foreign: numeric(), anyTest: true}, true
	case "downstream/heatmap": // draws results, so it stands above the detectors
		return rule{native: true, internal: true, public: []string{"downstream", "dataset"}, foreign: numeric(), anyTest: true}, true
	case "tab":
		return rule{native: true, internal: true, public: []string{"backbone", "prompt", "synth", "dataset", "tensor"}, foreign: numeric(), anyTest: true}, true
	case "tab/training": // a training with its files
		return job("backbone", "dataset", "downstream", "evaluate/detectors", "scalars", "synth", "tab", "tensor"), true
	case "downstream/classify/compare":
		return job("backbone", "dataset", "downstream", "metrics", "scalars", "tensor"), true
	case "evaluate/controls": // networks that no training has made better
		return job("backbone", "dataset", "tensor"), true
	case "evaluate/study":
		return job("backbone", "dataset", "evaluate", "metrics", "tab", "tensor"), true
	case "evaluate/sweep", "evaluate/article":
		return job("backbone", "dataset", "downstream", "evaluate", "metrics", "synth", "tab", "tensor"), true
	case "evaluate/session": // which logs the trainings of detectors
		return job("backbone", "dataset", "downstream", "evaluate", "metrics", "scalars", "synth", "tensor"), true
	case "evaluate/figures", "evaluate/beforeafter":
		return job("backbone", "dataset", "downstream", "evaluate", "metrics", "synth", "tensor"), true
	case "inspect/pack":
		return job("backbone", "dataset", "downstream", "inspect", "metrics", "tab/card", "tensor"), true
	case server: // listens, so nothing of the library imports it
		return job("inspect", "tensor"), true
	case "evaluate": // judges whatever finds defects, so it knows no detector
		return rule{internal: true, public: []string{"dataset", "metrics"}, foreign: numeric()}, true
	case "evaluate/detectors":
		return rule{native: true, internal: true, public: []string{"backbone", "dataset", "downstream", "evaluate", "metrics", "synth", "tab", "tab/card", "tensor"}, foreign: numeric(), anyTest: true}, true
	case plots: // nothing of the library imports it
		return rule{native: true, internal: true, public: []string{"dataset", "downstream", "evaluate", "metrics"}, foreign: append(numeric(), plot), anyTest: true}, true
	case "inspect": // what a service holds
		return rule{native: true, internal: true, public: []string{"backbone", "dataset", "downstream", "metrics", "tensor", "inspect/internal"}, foreign: numeric(), anyTest: true}, true
	case "inspect/internal/batch", "inspect/internal/drift": // queues and statistics, tested without native code
		return rule{internal: true}, true
	case service: // speaks HTTP, so nothing of the library imports it
		return rule{native: true, internal: true, public: []string{"dataset", "downstream", "inspect"}, anyTest: true}, true
	case "bench/internal/program": // what those below bench share
		return rule{native: true, public: []string{"backbone", "tensor"}}, true
	case "bench/resnet": // the side of this module in a comparison with PyTorch
		return rule{native: true, internal: true, public: []string{"backbone", "bench/internal/program", "tensor"}}, true
	case "bench/pretraining": // likewise
		return rule{native: true, internal: true, public: []string{"backbone", "bench/internal/program", "dataset", "synth", "tab", "tensor"}}, true
	case "bench/growth": // how its own work grows with the images
		return rule{native: true, internal: true, public: []string{"backbone", "bench/internal/program", "dataset", "downstream", "metrics", "synth", "tab", "tensor"}}, true
	case "bench/detect": // and with a detector from end to end
		return rule{native: true, internal: true, public: []string{"backbone", "bench/internal/program", "dataset", "dataset/drawn", "downstream", "metrics", "tensor"}}, true
	case layers:
		return rule{native: true, public: []string{"tensor"}, anyTest: true}, true
	case testutil:
		return rule{native: true, internal: true, public: []string{"tensor"}, foreign: []string{testify}}, true
	}
	switch top, _, _ := strings.Cut(dir, "/"); {
	case under(dir, rooms): // arithmetic on images, arrays and tensors: no public type of detectors
		return rule{native: true, internal: true, public: []string{"backbone", "dataset", "tensor", rooms}, foreign: numeric(), anyTest: true}, true
	case dir == "internal/tiff":
		return rule{internal: true, foreign: append(numeric(), zstd)}, true
	case under(dir, "tensor/libtorch"): // what a container leaves is asked for in one place
		return rule{public: []string{"tensor/libtorch", "internal/cpus"}}, true
	case top == "internal":
		return rule{internal: true, foreign: numeric()}, true
	case top == "examples":
		return rule{native: true, anyTest: true, foreign: append(numeric(), plot), public: []string{"tab", "downstream", "backbone",
			"clipenc", "tensor", "synth", "prompt", "dataset", "metrics", "scalars", "evaluate", "inspect", ownExample(dir), "examples/internal", "internal/atomicfile", "internal/cpus"}}, true
	}
	return rule{}, false
}

// job is the rule of a room that does what a program does.
func job(public ...string) rule {
	return rule{native: true, internal: true, public: public, foreign: numeric(), anyTest: true}
}

// ownExample is the folder of the example that dir belongs to: its parts may use
// one another.
func ownExample(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return path.Join(parts[:min(2, len(parts))]...)
}

// under says whether name is root or below it.
func under(name, root string) bool { return name == root || strings.HasPrefix(name, root+"/") }

// Check walks the module whose root is fsys and compares every import with the
// rules. The error is for what could not be read or parsed.
func Check(fsys fs.FS) (Result, error) {
	var r Result
	err := walk(fsys, func(name string, src []byte) error {
		if dir := path.Dir(name); !slices.Contains(r.Packages, dir) {
			r.Packages = append(r.Packages, dir)
			r.Violations = append(r.Violations, checkName(dir)...)
		}
		for _, check := range []func(name string, src []byte) ([]string, error){checkFile, checkWrites} {
			found, err := check(name, src)
			r.Violations = append(r.Violations, found...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Result{}, fmt.Errorf("archtest: walk the module: %w", err)
	}
	slices.Sort(r.Packages)
	slices.Sort(r.Violations)
	return r, nil
}

// walk calls f for every Go file of the module whose root is fsys. Modules below
// it, testdata and hidden folders are none of its own.
func walk(fsys fs.FS, f func(name string, src []byte) error) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == "." {
				return nil
			}
			if base := d.Name(); base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
			if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		return f(name, src)
	})
}

// checkName refuses names under which anything could be put.
func checkName(dir string) []string {
	if _, ok := ruleFor(dir); !ok {
		return []string{dir + ": the package has no place in the design; give it one in internal/archtest"}
	}
	switch path.Base(dir) {
	case "util", "utils", "common", "helpers", "types", "misc":
		return []string{dir + ": the name says nothing about what is inside"}
	}
	return nil
}

// checkFile compares the imports of one file with the rule of its folder.
func checkFile(name string, src []byte) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	dir := path.Dir(name)
	rule, ok := ruleFor(dir)
	if !ok {
		return nil, nil // said once for the folder
	}
	test := strings.HasSuffix(name, "_test.go")
	var found []string
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		if why := refuse(dir, rule, test, imported); why != "" {
			found = append(found, fmt.Sprintf("%s imports %s: %s", name, imported, why))
		}
	}
	return found, nil
}

// refuse says why a file of dir must not import a package, or "".
func refuse(dir string, r rule, test bool, imported string) string {
	if to, ok := strings.CutPrefix(imported, module+"/"); ok {
		return refuseOwn(dir, r, test, to)
	}
	allowed := slices.ContainsFunc(r.foreign, func(root string) bool { return under(imported, root) })
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case allowed || test && under(imported, testify):
		return ""
	case imported == "C" || under(imported, gotch):
		return "native code is met in " + floor + " alone, through " + libtch
	case strings.Contains(first, "."):
		return "this module is not among what the package may use"
	case imported == "math/rand":
		return "randomness comes from math/rand/v2, as an argument"
	case first == "net" && imported != "net/url" && !under(dir, "tensor/libtorch") && !under(dir, "examples") && dir != service && dir != server && dir != "tensor/dist":
		return "the library opens no connection"
	}
	return "" // the standard library
}

// refuseOwn is refuse for the packages of this module; to is a folder.
func refuseOwn(dir string, r rule, test bool, to string) string {
	toRule, ok := ruleFor(to)
	switch {
	case !ok:
		return "the package has no place in the design"
	case to == dir:
		return "" // an external test of the package itself
	case (to == testutil || to == hostile || to == faulttest || to == onnxtest || to == ranktest) && !test:
		return "it serves tests alone"
	case toRule.native && !r.native:
		return "the package must build without native code"
	case under(to, "tensor/libtorch") && !under(dir, "tensor/libtorch"):
		return "no arrow goes to a command"
	case to == service && dir != server && !under(dir, "examples"):
		return "it answers requests, which programs alone do"
	case to == "tensor/dist" && !under(dir, "examples"):
		return "it connects processes, which programs alone ask for"
	case to == plots && !isJob(dir):
		return "it carries the fonts of plots, which programs alone pay for"
	case slices.Contains(jobs(), to) && !isJob(dir):
		return "it does what a program does, and the library does not stand on it"
	case slices.ContainsFunc(r.public, func(root string) bool { return under(to, root) }):
		return ""
	case r.internal && under(to, "internal"):
		return ""
	case test && r.anyTest && !under(to, "examples"):
		return ""
	}
	return "no arrow goes from " + dir + " to " + to
}
