package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// writesOutside argues every file that changes the file system other than through
// internal/atomicfile. Folders end in a slash and stand for all below.
var writesOutside = map[string]string{
	"internal/atomicfile/":               "it is the layer",
	"tensor/libtorch/":                   "a command that installs libtorch; it fills a folder beside the place and renames the whole",
	"dataset/shard_write.go":             "renames a folder that is finished",
	"evaluate/peak.go":                   "writes to /proc, no file",
	"evaluate/report/write.go":           "a hidden temporary file that no program reads, for what does not fit into memory",
	"dataset/mvtec_write.go":             "renames a folder that is finished",
	"internal/mutate/main.go":            "changed copies of files in a temporary folder, for one run of the tests",
	"internal/hostile/child.go":          "the note of a test's child in a temporary folder: the call that it is at",
	"internal/onnx/onnxtest/runtime.go":  "what a test gives to Python, in a temporary folder",
	"internal/testutil/limited_linux.go": "a copy of the test's own program in a temporary folder, for a child of another user",
	"evaluate/store.go":                  "a lock, which is empty and removed in the end; results go through the layer",
	"tab/training/run.go":                "puts the finished checkpoint of an older run aside under another name",
	"evaluate/study/train.go":            "the log of another program, which is added to",
	"inspect/journal.go":                 "a journal grows by whole lines; what is left of an incomplete one its readers leave out",
	"scalars/csv.go":                     "a table grows by whole rows; an incomplete last one is cut off when it is gone on with",
	"scalars/events.go":                  "an event file grows by whole records, and its readers leave out an incomplete last one",
	"scalars/lines.go":                   "a log grows by whole lines; an incomplete last one is cut off when it is gone on with",
}

// writers are the functions of package os that create, replace or shorten files.
// Those that make folders or remove something are free.
func writers() []string {
	return []string{"Create", "CreateTemp", "WriteFile", "OpenFile", "NewFile", "Rename", "Link", "Symlink", "Truncate", "CopyFS", "OpenRoot"}
}

// checkWrites refuses results that are not written whole or not at all, and faults
// that are injected outside tests.
func checkWrites(name string, src []byte) ([]string, error) {
	if strings.HasSuffix(name, "_test.go") || path.Dir(name) == faulttest {
		return nil, nil
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	local := make(map[string]string) // of the packages, by what the file calls them
	var found []string
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		as := path.Base(imported)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		local[as] = imported
		if imported == "io/ioutil" || imported == "os" && as == "." {
			found = append(found, fmt.Sprintf("%s: import os by its name, so that what it writes is seen", name))
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch imported := local[pkg.Name]; {
		case imported == "os" && slices.Contains(writers(), sel.Sel.Name) && !argued(name):
			found = append(found, fmt.Sprintf("%s: os.%s: write through internal/atomicfile, or argue it in internal/archtest", name, sel.Sel.Name))
		case imported == module+"/internal/atomicfile" && sel.Sel.Name == "Inject":
			found = append(found, fmt.Sprintf("%s: atomicfile.Inject serves tests alone", name))
		}
		return true
	})
	return found, nil
}

// argued says whether a file is in writesOutside.
func argued(name string) bool {
	for at := range writesOutside {
		if name == at || strings.HasSuffix(at, "/") && strings.HasPrefix(name, at) {
			return true
		}
	}
	return false
}
