package archtest

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestTheLibraryDoesNotPanic(t *testing.T) {
	found, err := CheckPanics(os.DirFS(filepath.Join("..", "..")))
	require.NoError(t, err)
	for _, v := range found {
		t.Error(v)
	}
	for name, why := range panics {
		require.NotEmpty(t, why, name)
	}
}

func TestCheckPanicsFindsThem(t *testing.T) {
	file := func(body string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("package p\n" + body)} }
	found, err := checkPanics(fstest.MapFS{
		"synth/a.go":                  file("func f() {\n\tpanic(1)\n}"),
		"synth/b.go":                  file("var _ = func() { (panic)(1) }"),
		"synth/c.go":                  file("func f() { defer panic(1) }"),
		"synth/own.go":                file("func f(panic func(int)) { panic(1) }"),
		"synth/text.go":               file("// panic(1)\nconst s = \"panic(1)\"\nfunc f() { x.panic(1) }"),
		"synth/a_test.go":             file("func f() { panic(1) }"),
		"examples/x/main.go":          file("func f() { panic(1) }"),
		"tensor/libtorch/main.go":     file("func f() { panic(1) }"),
		"tensor/worker.go":            file("func f() { panic(1); panic(2) }"),
		"tensor/nothing.go":           file("func f() {}"),
		"tensor/unargued.go":          file("func f() { panic(1) }"),
		"tensor/testdata/not/code.go": file("func f() { panic(1) }"),
	}, map[string]string{"tensor/worker.go": "argued", "tensor/nothing.go": "argued", "tensor/gone.go": "argued", "tensor/unargued.go": ""})
	require.NoError(t, err)
	require.Len(t, found, 7)
	for i, want := range []string{"synth/a.go:3 panics", "synth/b.go:2 panics", "synth/c.go:2 panics", "tensor/gone.go: does not panic",
		"tensor/nothing.go: does not panic", "tensor/unargued.go: does not panic any more, or has no reason", "tensor/unargued.go:2 panics"} {
		require.Contains(t, found[i], want)
	}
	_, err = CheckPanics(fstest.MapFS{"synth/a.go": file("import")})
	require.ErrorContains(t, err, "synth/a.go")
}
