package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeShowsThisProgram holds the README's Go code to what is compiled here.
func TestReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	for _, name := range []string{"inspect", "verdict", "pretrain", "damage"} {
		src, err := os.ReadFile(name + ".go")
		require.NoError(t, err)
		_, code, ok := strings.Cut(string(src), "func "+name)
		require.True(t, ok)
		code = "func " + name + code
		require.Contains(t, string(readme), "```go\n"+code+"```")
		require.LessOrEqual(t, strings.Count(code, "\n"), 30)
	}
}
