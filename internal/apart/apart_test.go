package apart_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/apart"
)

func TestNames(t *testing.T) {
	for _, c := range []struct{ files, want []string }{
		{nil, []string{}},
		{[]string{"runs/plant.pth", "runs/other.pth"}, []string{"plant", "other"}},
		{[]string{"runs/plant.pth", "runs/plant.safetensors"}, []string{"plant.pth", "plant.safetensors"}},
		{[]string{"a/x/plant.pth", "./b/./x/plant.pth", "c.pth"}, []string{"a/x/plant.pth", "b/x/plant.pth", "c"}},
	} {
		got, ok := apart.Names(c.files, nil)
		require.True(t, ok)
		require.Equal(t, c.want, got)
	}
	_, ok := apart.Names([]string{"a/plant.pth", "a/../a/plant.pth"}, nil)
	require.False(t, ok, "the same file")
	_, ok = apart.Names([]string{"a b.pth", "a_b.pth"}, func(s string) string { return strings.ReplaceAll(s, " ", "_") })
	require.False(t, ok, "their folders are the same too")
}

func TestFileNames(t *testing.T) {
	require.Equal(t, "bottle_2-a.b", apart.FileName("bottle_2-a.b"))
	seen := map[string]bool{}
	for _, name := range []string{"a/b", "a_b", "a\\b", "..", ".", "", "端子", "端孔", strings.Repeat("x", 101), strings.Repeat("x", 102)} {
		got := apart.FileName(name)
		require.False(t, seen[got], "%q", name)
		seen[got] = true
		require.Regexp(t, `^[A-Za-z0-9_-][A-Za-z0-9._-]*$`, got)
		require.Less(t, len(got), 120)
	}
}
