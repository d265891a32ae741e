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
	src, err := os.ReadFile("inspect.go")
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, code, ok := strings.Cut(string(src), "func inspect")
	require.True(t, ok)
	code = "func inspect" + code
	require.Contains(t, string(readme), "```go\n"+code+"```")
	require.LessOrEqual(t, strings.Count(code, "\n"), 50)
}
