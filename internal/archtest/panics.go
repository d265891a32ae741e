package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// panics are the files of the library that may call panic, each with the reason.
var panics = map[string]string{
	"tensor/worker.go":              "raises what the caller's own function threw on a libtorch thread again on the caller's",
	"internal/pipeline/ordered.go":  "raises what the caller's own function threw on a goroutine of the pipeline again on the caller's",
	"internal/pipeline/sequence.go": "raises what the caller's own sequence threw on a goroutine of the pipeline again on the caller's",
}

// CheckPanics walks the module whose root is fsys and returns a sentence for
// each call of the built-in panic in code of the library that is not in the list,
// and for each entry of the list that has none. Tests, programs under examples
// and commands may panic.
func CheckPanics(fsys fs.FS) ([]string, error) { return checkPanics(fsys, panics) }

func checkPanics(fsys fs.FS, allowed map[string]string) ([]string, error) {
	var found []string
	used := map[string]bool{}
	err := walk(fsys, func(name string, src []byte) error {
		if dir := path.Dir(name); strings.HasSuffix(name, "_test.go") || under(dir, "examples") || under(dir, "tensor/libtorch") ||
			dir == testutil || dir == hostile {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, src, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			// A function of this file that is called panic would be resolved.
			if id, ok := ast.Unparen(call.Fun).(*ast.Ident); !ok || id.Name != "panic" || id.Obj != nil {
				return true
			}
			if allowed[name] != "" {
				used[name] = true
				return true
			}
			found = append(found, fmt.Sprintf("%s:%d panics: the library returns errors", name, set.Position(call.Pos()).Line))
			return true
		})
		return nil
	})
	for name := range allowed {
		if !used[name] {
			found = append(found, name+": does not panic any more, or has no reason; take it out of the list in internal/archtest")
		}
	}
	slices.Sort(found)
	return found, err
}
