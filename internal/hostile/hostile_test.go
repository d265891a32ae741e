package hostile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
)

// Known is a type of this test; its methods come with it.
type Known struct{ N int }

// What a package exports and the registry lacks is named; so is a reason that is none.
func TestMissing(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("package p\n"+text), 0o600))
	}
	write("a.go", "func New() {}\nfunc old() {}\ntype Known struct{}\nfunc (k *Known) Do() {}\ntype I interface{}\ntype Fresh int\ntype small int\n")
	write("a_test.go", "func Helper() {}")
	missing, err := hostile.Registry{Types: []any{new(Known)}, Skip: map[string]string{"Gone": "a reason", "Known.Do": ""}}.Missing(dir)
	require.NoError(t, err)
	require.Len(t, missing, 4)
	for i, want := range []string{"Fresh is exported", "Gone is skipped", "Known.Do is skipped", "New is exported"} {
		require.Contains(t, missing[i], want)
	}
	write("b.go", "func {")
	_, err = hostile.Registry{}.Missing(dir)
	require.Error(t, err)
}
