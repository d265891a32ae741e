package hostile

import (
	"fmt"
	"go/ast"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

const (
	// maxAlloc bounds what a call may allocate. Arguments are of some kilobytes.
	maxAlloc = 256 << 20
	// maxTime is far above what any call takes: it tells a hang from a slow machine.
	maxTime = 2 * time.Minute
	// maxReceivers bounds the objects of one type that results are kept of.
	maxReceivers = 24
)

// Run calls every function of the registry, and every method of its types and of
// the types that its functions return, times times each, and fails t for each
// that panics, hangs or allocates without bound. The arguments depend on the name
// of what is called alone.
func (r Registry) Run(t *testing.T, times int) {
	t.Helper()
	c := &caller{t: t, skip: r.Skip, receivers: map[reflect.Type][]reflect.Value{}, failed: map[string]bool{}}
	for _, v := range r.Values {
		c.m.pool = append(c.m.pool, reflect.ValueOf(v))
	}
	for _, v := range append(append([]any{}, r.Types...), r.Values...) {
		c.keep(reflect.ValueOf(v))
	}
	for _, f := range r.Funcs {
		c.function(funcName(f), reflect.ValueOf(f), times)
	}
	for i := 0; i < len(c.types); i++ { // grows by what methods return
		c.methods(c.types[i], times)
	}
	if c.calls < times*(len(r.Funcs)+len(c.types)) && len(r.Skip) == 0 {
		t.Errorf("hostile: %d calls only", c.calls)
	}
}

type caller struct {
	t         *testing.T
	m         maker
	skip      map[string]string
	types     []reflect.Type // of receivers, pointers to named types
	receivers map[reflect.Type][]reflect.Value
	failed    map[string]bool
	calls     int
}

// keep makes v a receiver: pointers as they are, values behind a new pointer.
func (c *caller) keep(v reflect.Value) {
	for v.IsValid() && v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return
	}
	if v.Kind() != reflect.Pointer {
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		v = p
	}
	typ := v.Type()
	if !strings.Contains(typ.Elem().PkgPath(), "gotab") || typ.NumMethod() == 0 {
		return
	}
	if c.receivers[typ] == nil {
		c.types = append(c.types, typ)
		if c.receivers[typ] = []reflect.Value{v}; ast.IsExported(typ.Elem().Name()) {
			c.receivers[typ] = []reflect.Value{reflect.New(typ.Elem())} // nobody else can make a zero value
		}
	}
	if len(c.receivers[typ]) < maxReceivers {
		c.receivers[typ] = append(c.receivers[typ], v)
	}
}

func (c *caller) function(name string, f reflect.Value, times int) {
	if c.skip[name] != "" {
		return
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	c.m.rng = rand.New(rand.NewPCG(h.Sum64(), 1))
	for i := range times {
		for _, out := range c.call(name, f, i) {
			c.keep(out)
		}
	}
}

func (c *caller) methods(typ reflect.Type, times int) {
	for i := range typ.NumMethod() {
		name := typeName(typ) + "." + typ.Method(i).Name
		if c.skip[name] != "" {
			continue
		}
		h := fnv.New64a()
		h.Write([]byte(name))
		c.m.rng = rand.New(rand.NewPCG(h.Sum64(), 2))
		for k := range times {
			rs := c.receivers[typ]
			r := rs[k%len(rs)]
			if k >= len(rs) && r.Elem().Kind() == reflect.Struct { // a copy with one field spoiled
				p := reflect.New(typ.Elem())
				if copyable(typ.Elem()) && c.m.hostile() {
					p.Elem().Set(r.Elem())
					c.m.spoil(p.Elem(), 0)
					r = p
				}
			}
			for _, out := range c.call(name, r.Method(i), k) {
				c.keep(out)
			}
		}
	}
}

// copyable reports whether all fields are exported: other structs may hold locks
// and promises between fields that only their constructor keeps.
func copyable(t reflect.Type) bool {
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			return false
		}
	}
	return true
}

// call draws arguments and calls f once. The first calls spoil one argument
// each, the others some.
func (c *caller) call(name string, f reflect.Value, round int) (out []reflect.Value) {
	typ := f.Type()
	args := make([]reflect.Value, typ.NumIn())
	for i := range args {
		fair := !c.m.hostile()
		if round < 4*typ.NumIn() {
			fair = round%typ.NumIn() != i
		}
		args[i] = c.m.value(typ.In(i), fair, 0)
	}
	c.calls++
	watch := time.AfterFunc(maxTime, func() {
		fmt.Fprintf(os.Stderr, "hostile: %s hangs with %s\n", name, describe(args))
		os.Exit(2)
	})
	defer watch.Stop()
	before := allocated()
	defer func() {
		used := allocated() - before
		v := recover()
		switch {
		case c.failed[name] || v == nil && used <= maxAlloc:
		case v != nil:
			c.failed[name] = true
			c.t.Errorf("%s panics with %s: %v\n%s", name, describe(args), v, where(debug.Stack()))
		default:
			c.failed[name] = true
			c.t.Errorf("%s allocates %d MB with %s", name, used>>20, describe(args))
		}
	}()
	if typ.IsVariadic() {
		out = f.CallSlice(args)
	} else {
		out = f.Call(args)
	}
	for _, v := range out {
		c.drain(v)
	}
	return out
}

// drain runs a sequence, which does its work only then, for some rounds.
func (c *caller) drain(v reflect.Value) {
	t := v.Type()
	if t.Kind() != reflect.Func || v.IsNil() || t.NumIn() != 1 || t.NumOut() != 0 || t.In(0).Kind() != reflect.Func || t.In(0).NumOut() != 1 {
		return
	}
	n := 0
	v.Call([]reflect.Value{reflect.MakeFunc(t.In(0), func([]reflect.Value) []reflect.Value {
		n++
		return []reflect.Value{reflect.ValueOf(n < 20)}
	})})
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func describe(args []reflect.Value) string {
	parts := make([]string, len(args))
	for i, a := range args {
		s := fmt.Sprintf("%#v", a)
		if len(s) > 300 {
			s = s[:300] + "..."
		}
		parts[i] = fmt.Sprintf("%s: %s", a.Type(), s)
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// where returns the lines of a stack that lie in this module and not here.
func where(stack []byte) string {
	var out []string
	for _, l := range strings.Split(string(stack), "\n") {
		if strings.Contains(l, ".go:") && !strings.Contains(l, "/internal/hostile/") && !strings.Contains(l, "/usr/local/go/") && len(out) < 6 {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return strings.Join(out, "\n")
}
