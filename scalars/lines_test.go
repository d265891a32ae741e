package scalars_test

import (
	"bytes"
	"math"
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
		l, err := scalars.OpenLines(path, math.MaxInt64)
		require.NoError(t, err)
		require.NoError(t, l.Add(map[string]int{"next": 2}))
		require.NoError(t, l.Add(map[string]int{"next": 3}))
		require.NoError(t, l.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, c.want+"{\"next\":2}\n{\"next\":3}\n", string(got))
	}
	l, err := scalars.OpenLines(path, 0) // a new run
	require.NoError(t, err)
	require.NoError(t, l.Close())
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Empty(t, got)
	require.ErrorIs(t, l.Add(1), scalars.ErrClosed)
	require.NoError(t, l.Close())
	l, err = scalars.OpenLines(path, math.MaxInt64)
	require.NoError(t, err)
	require.Error(t, l.Add(func() {}), "what is no JSON leaves the log as it was")
	require.NoError(t, l.Add(1))
	require.NoError(t, l.Close())
	got, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "1\n", string(got))
	_, err = scalars.OpenLines(filepath.Join(path, "x"), 0)
	require.Error(t, err)
}

// A run that goes on has each step once: what was written of later steps before it was stopped is cut off.
func TestLogGoesOnAfterAStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	long := "\"" + strings.Repeat("x", 5<<20) + "\"\n" // longer than the reader holds
	const probe, one, two, three = "{\"probe\":[],\"epoch\":-1}\n", "{\"epoch\":0,\"step\":1}\n", "{\"step\":2}\n", "{\"step\":3}\n"
	for _, c := range []struct {
		old   string
		after int64
		want  string
	}{
		{probe + one + two + three, 2, probe + one + two},
		{probe + one + two + three, 3, probe + one + two + three},
		{probe + one + two + three, 9, probe + one + two + three},
		{probe + one + two + three, 0, ""},
		{probe + one + two + three + two + three, 2, probe + one + two}, // as it once was left
		{one + three + "[1]\n", 1, one},
		{"[1]\n\n{\"step\":\"9\"}\n{\"step\":1.5}\n{\n" + three, 1, "[1]\n\n{\"step\":\"9\"}\n{\"step\":1.5}\n{\n"},
		{one + two + "{\"step\":3", 2, one + two},
		{one + long + two + three, 2, one + long + two},
		{one + long[:len(long)-1], 2, one},
	} {
		require.NoError(t, os.WriteFile(path, []byte(c.old), 0o600))
		l, err := scalars.OpenLines(path, c.after)
		require.NoError(t, err)
		require.NoError(t, l.Add("next"))
		require.NoError(t, l.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, c.want+"\"next\"\n" == string(got), "%.200s after %d: %.200s", c.old, c.after, got)
	}
	_, err := scalars.OpenLines(path, -1)
	require.ErrorIs(t, err, scalars.ErrStep)
}

// Whatever a file holds, a log goes on behind its last whole line.
func FuzzOpenLines(f *testing.F) {
	for _, c := range []string{"", "{}\n", "{}\n{", "\n\n", strings.Repeat("x", 5000), strings.Repeat("x", 4095) + "\n" + strings.Repeat("y", 4096)} {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "log.jsonl")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		l, err := scalars.OpenLines(path, math.MaxInt64)
		require.NoError(t, err)
		require.NoError(t, l.Add(1))
		require.NoError(t, l.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(content[:bytes.LastIndexByte(content, '\n')+1])+"1\n", string(got))
	})
}
