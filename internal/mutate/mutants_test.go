package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const sample = `package p

import (
	"fmt"
	"sync"
)

type box struct {
	mu sync.Mutex
	n  int
}

var table = []int{1, 2}

func (b *box) add(k int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k < 0 {
		return 0, fmt.Errorf("k is %d, want %d or more", k, 0)
	}
	b.n += k
	err := check(-k)
	return b.n * 3, err
}

func check(int) error { return nil }
`

func TestEachKindOfChangeIsFound(t *testing.T) {
	ms, err := mutantsOf("p.go", []byte(sample))
	require.NoError(t, err)
	got := map[string]string{}
	for _, m := range ms {
		got[m.what] = string(m.changed)
		require.NotEqual(t, sample, string(m.changed))
	}
	for what, part := range map[string]string{
		"< becomes <=":               "if k <= 0 {",
		"+= becomes -=":              "b.n -= k",
		"* becomes /":                "return b.n / 3, err",
		"3 becomes 4":                "return b.n * 4, err",
		"drops the sign":             "check( k)",
		"negates the condition":      "if !(k < 0) {",
		"returns nil instead of err": "return b.n * 3, nil",
		"drops b.mu.Lock and Unlock": "(int, error) {\n\t\n\t\n\tif",
		"0 becomes 1":                "1",
	} {
		require.Contains(t, got[what], part, what)
	}
	for _, m := range ms {
		require.Equal(t, strings.HasPrefix(m.what, "drops b.mu"), m.race, m.what)
		require.Contains(t, string(m.changed), "want %d or more\", k, 0)", "words of a message stay")
		require.Contains(t, string(m.changed), "[]int{1, 2}", "tables stay")
	}
}

func TestAFolderWithoutGoFilesIsAnError(t *testing.T) {
	_, err := mutants(t.TempDir())
	require.ErrorContains(t, err, "no Go files")
	require.ErrorContains(t, run(t.Context(), nil), "name the folders")
}

func TestOutputOfTheGoCommandIsUnderstood(t *testing.T) {
	require.True(t, notCompiled("FAIL\tgithub.com/gotab/gotab/tab [build failed]\n"))
	require.False(t, notCompiled("--- FAIL: TestX (0.1s)\n"))
	require.Equal(t, " TestX", firstFailure("=== RUN TestX\n--- FAIL: TestX (0.10s)\nFAIL\n"))
	require.Equal(t, " (hangs)", firstFailure("panic: test timed out after 5m\n"))
	require.Equal(t, " (data race)", firstFailure("WARNING: DATA RACE\n"))
}
