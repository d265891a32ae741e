package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
		l, err := openLog(options{log: path, resume: true})
		require.NoError(t, err)
		require.NoError(t, l.write(map[string]int{"next": 2}))
		require.NoError(t, l.write(map[string]int{"next": 3}))
		require.NoError(t, l.close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, c.want+"{\"next\":2}\n{\"next\":3}\n", string(got))
	}
	l, err := openLog(options{log: path}) // not resumed: anew
	require.NoError(t, err)
	require.NoError(t, l.close())
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = openLog(options{log: filepath.Join(path, "x")})
	require.Error(t, err)
}
