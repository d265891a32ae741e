package testutil

import (
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// RequireClosed calls every exported method of v, which has been closed, that
// returns an error or yields one, and fails where that is not want. Close itself
// must return nil. Arguments are a context, a discarding writer, a path in a folder
// of the test, those of given that fit, and zero values for the rest. except names
// methods that are left out.
func RequireClosed(t testing.TB, v any, want error, given []any, except ...string) {
	t.Helper()
	value := reflect.ValueOf(v)
	asked := 0
	for i := range value.NumMethod() {
		name := value.Type().Method(i).Name
		if slices.Contains(except, name) {
			continue
		}
		err, ok := failureOf(t, value.Method(i), given)
		if !ok {
			continue
		}
		asked++
		switch {
		case name == "Close":
			if err != nil {
				t.Errorf("%T.Close, once more: %v", v, err)
			}
		case !errors.Is(err, want):
			t.Errorf("%T.%s of what is closed: the error is %v, want one that is %q", v, name, err, want)
		}
	}
	if asked < 2 {
		t.Errorf("%T has %d methods that return errors, want Close and others", v, asked)
	}
}

var errorType = reflect.TypeFor[error]()

// failureOf calls a method and returns the error that it returns or that its
// sequence yields, false where it has neither.
func failureOf(t testing.TB, method reflect.Value, given []any) (error, bool) {
	typ := method.Type()
	if typ.NumOut() == 0 {
		return nil, false
	}
	last := typ.Out(typ.NumOut() - 1)
	yields := last.Kind() == reflect.Func && last.NumIn() == 1 && last.In(0).Kind() == reflect.Func && last.In(0).NumIn() == 2 && last.In(0).In(1) == errorType
	if last != errorType && !yields {
		return nil, false
	}
	var args []reflect.Value
	for i := range typ.NumIn() {
		if typ.IsVariadic() && i == typ.NumIn()-1 {
			break
		}
		args = append(args, argument(t, typ.In(i), given))
	}
	out := method.Call(args)[typ.NumOut()-1]
	if !yields {
		err, _ := out.Interface().(error)
		return err, true
	}
	var errs []error
	yield := reflect.MakeFunc(last.In(0), func(in []reflect.Value) []reflect.Value {
		err, _ := in[1].Interface().(error)
		errs = append(errs, err)
		return []reflect.Value{reflect.ValueOf(true)}
	})
	out.Call([]reflect.Value{yield})
	if len(errs) != 1 {
		return errors.New("the sequence does not yield one error alone"), true
	}
	return errs[0], true
}

// argument is a value of a type to call a method with.
func argument(t testing.TB, typ reflect.Type, given []any) reflect.Value {
	for _, g := range append([]any{t.Context(), io.Discard}, given...) {
		if v := reflect.ValueOf(g); v.Type().AssignableTo(typ) && typ != reflect.TypeFor[any]() {
			return v
		}
	}
	if typ.Kind() == reflect.String {
		return reflect.ValueOf(filepath.Join(t.TempDir(), "x")).Convert(typ)
	}
	return reflect.Zero(typ)
}
