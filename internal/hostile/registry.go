package hostile

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
)

// Registry is what a package exports.
type Registry struct {
	// Funcs are the exported functions. Generic ones are instantiated.
	Funcs []any
	// Types are values of the exported types that are no interfaces.
	Types []any
	// Values are arguments that make sense: defaults, working generators, data
	// sets. They are passed as they are and with one field spoiled, where a
	// function would refuse anything else at once. They are also receivers.
	Values []any
	// Skip are functions ("Func", "Type.Method") that are not called, with the reason.
	Skip map[string]string
}

// Missing compares the registry with the Go files in dir and returns what they
// export and it lacks, and what it skips and they do not export.
func (r Registry) Missing(dir string) ([]string, error) {
	funcs, types, methods, err := exported(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	have := map[string]bool{}
	for _, f := range r.Funcs {
		have[funcName(f)] = true
	}
	for _, t := range r.Types {
		have[typeName(reflect.TypeOf(t))] = true
	}
	for _, n := range append(slices.Clone(funcs), types...) {
		if !have[n] && r.Skip[n] == "" {
			out = append(out, n+" is exported and not in the registry")
		}
	}
	known := append(append(slices.Clone(funcs), types...), methods...)
	for n, why := range r.Skip {
		if !slices.Contains(known, n) || why == "" {
			out = append(out, n+" is skipped and not exported, or skipped without a reason")
		}
	}
	slices.Sort(out)
	return out, nil
}

// exported lists the exported functions, the exported types that are no
// interfaces, and the methods ("Type.Method") of the files in dir.
func exported(dir string) (funcs, types, methods []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("hostile: read the package: %w", err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".go" || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("hostile: read the package: %w", err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				switch {
				case !d.Name.IsExported():
				case d.Recv == nil:
					funcs = append(funcs, d.Name.Name)
				default:
					methods = append(methods, receiver(d.Recv.List[0].Type)+"."+d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() {
						if _, isInterface := s.Type.(*ast.InterfaceType); !isInterface {
							types = append(types, s.Name.Name)
						}
					}
				}
			}
		}
	}
	return funcs, types, methods, nil
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// funcName is the name of a function of a package, without the package.
func funcName(f any) string {
	full := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	full = full[strings.LastIndex(full, "/")+1:]
	_, name, _ := strings.Cut(full, ".")
	name, _, _ = strings.Cut(name, "[")
	return name
}

func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, _, _ := strings.Cut(t.Name(), "[")
	return name
}
