package scalars_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/scalars"
)

// A log that ends in half a line goes on after its last whole one.
func TestLogGoesOnAfterHalfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	long := strings.Repeat("x", 10000)
	for _, c := range []struct{ old, want string }{
		{"", ""}, {"{\"a\":1}\n", "{\"a\":1}\n"}, {"{\"a\":1}\n{\"b\":", "{\"a\":1}\n"}, {"{\"b\":", ""},
		{"{\"a\":1}\n\"" + long, "{\"a\":1}\n"}, {long, ""}, {"\"" + long + "\"\n{", "\"" + long + "\"\n"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(c.old), 0o600))
		l, err := scalars.OpenLines(path, true)
		require.NoError(t, err)
		require.NoError(t, l.Add(map[string]int{"next": 2}))
		require.NoError(t, l.Add(map[string]int{"next": 3}))
		require.NoError(t, l.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, c.want+"{\"next\":2}\n{\"next\":3}\n", string(got))
	}
	l, err := scalars.OpenLines(path, false) // not resumed: anew
	require.NoError(t, err)
	require.NoError(t, l.Close())
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Empty(t, got)
	require.ErrorIs(t, l.Add(1), scalars.ErrClosed)
	require.NoError(t, l.Close())
	l, err = scalars.OpenLines(path, true)
	require.NoError(t, err)
	require.Error(t, l.Add(func() {}), "what is no JSON leaves the log as it was")
	require.NoError(t, l.Add(1))
	require.NoError(t, l.Close())
	got, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "1\n", string(got))
	_, err = scalars.OpenLines(filepath.Join(path, "x"), false)
	require.Error(t, err)
}

// Whatever a file holds, a log goes on behind its last whole line.
func FuzzOpenLines(f *testing.F) {
	for _, c := range []string{"", "{}\n", "{}\n{", "\n\n", strings.Repeat("x", 5000), strings.Repeat("x", 4095) + "\n" + strings.Repeat("y", 4096)} {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "log.jsonl")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		l, err := scalars.OpenLines(path, true)
		require.NoError(t, err)
		require.NoError(t, l.Add(1))
		require.NoError(t, l.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(content[:bytes.LastIndexByte(content, '\n')+1])+"1\n", string(got))
	})
}
