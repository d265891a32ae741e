package hostile

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Variant is an argument of a call that would be right but for one thing.
type Variant struct {
	// What is the parameter, or the field of it, that is spoiled.
	What string
	// Value is the whole argument.
	Value reflect.Value
	// Sized says that a number is spoiled: an error about it can name it.
	Sized bool
}

// integers and floats are the numbers that nobody should pass, beside some that
// only some functions take.
var (
	integers = []int64{0, 1, -1, -2, -7, 5, 100, 1<<16 + 1, math.MaxInt32, 1 << 31, 1<<32 + 1, 1 << 40, 1 << 61, 1 << 62, math.MaxInt64, math.MinInt64}
	floats   = []float64{0, -1, 300, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e300, math.MaxFloat64, math.SmallestNonzeroFloat64}
)

// Variants returns v, the argument of the parameter name, spoiled in one place
// each. more adds values of types that reflection cannot spoil.
func Variants(name string, v reflect.Value, more func(t reflect.Type) []reflect.Value) (out []Variant) {
	t := v.Type()
	add := func(what string, sized bool, set func(v reflect.Value)) {
		c := reflect.New(t).Elem()
		c.Set(v)
		set(c)
		out = append(out, Variant{What: what, Value: c, Sized: sized})
	}
	if more != nil {
		if extra := more(t); extra != nil {
			for _, e := range extra {
				add(name, false, func(v reflect.Value) { v.Set(e) })
			}
			return out
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		add(name, false, func(v reflect.Value) { v.SetBool(!v.Bool()) })
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		for _, n := range integers {
			add(name, true, func(v reflect.Value) { v.SetInt(n) })
		}
	case reflect.Float64, reflect.Float32:
		for _, x := range floats {
			add(name, true, func(v reflect.Value) { v.SetFloat(x) })
		}
	case reflect.String:
		for _, s := range []string{"", "\xff\x00", strings.Repeat("long", 1<<12)} {
			add(name, false, func(v reflect.Value) { v.SetString(s) })
		}
	case reflect.Slice:
		add(name, false, func(v reflect.Value) { v.SetZero() })
		add(name, false, func(v reflect.Value) { v.Set(reflect.MakeSlice(t, 70, 70)) })
		if v.Len() > 0 {
			add(name, false, func(v reflect.Value) { v.Set(v.Slice(0, v.Len()-1)) })
			add(name, false, func(v reflect.Value) { v.Set(reflect.AppendSlice(v.Slice3(0, v.Len(), v.Len()), v)) })
		}
		for i := range min(v.Len(), 5) {
			for _, e := range Variants(name, v.Index(i), more) {
				add(e.What, e.Sized, func(v reflect.Value) {
					c := reflect.MakeSlice(t, v.Len(), v.Len())
					reflect.Copy(c, v)
					c.Index(i).Set(e.Value)
					v.Set(c)
				})
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			for _, e := range Variants(name, v.Index(i), more) {
				add(e.What, e.Sized, func(v reflect.Value) { v.Index(i).Set(e.Value) })
			}
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				for _, e := range Variants(f.Name, v.Field(i), more) {
					add(e.What, e.Sized, func(v reflect.Value) { v.Field(i).Set(e.Value) })
				}
			}
		}
	case reflect.Func, reflect.Pointer, reflect.Interface, reflect.UnsafePointer, reflect.Map:
		add(name, false, func(v reflect.Value) { v.SetZero() })
	}
	return out
}

// Parameters returns the names of the parameters of the exported functions ("F")
// and methods ("T.M") of the Go files in dir.
func Parameters(dir string) (map[string][]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("hostile: read the package: %w", err)
	}
	out := map[string][]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("hostile: read the package: %w", err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			key := fn.Name.Name
			if fn.Recv != nil {
				key = receiver(fn.Recv.List[0].Type) + "." + key
			}
			names := []string{}
			for _, p := range fn.Type.Params.List {
				for _, n := range p.Names {
					names = append(names, n.Name)
				}
			}
			out[key] = names
		}
	}
	return out, nil
}

// Names reports whether text has word as a word of its own, in any case.
func Names(text, word string) bool {
	return slices.Contains(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), strings.ToLower(word))
}
