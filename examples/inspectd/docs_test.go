package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect/server"
)

// Every flag that the pages name is one of the program, and every flag of the server has its name
// in the pages.
func TestThePagesNameTheFlags(t *testing.T) {
	var serve, pack bytes.Buffer
	_, err := server.Parse([]string{"-help"}, func(string) string { return "" }, &serve)
	require.Error(t, err)
	_, err = parsePack([]string{"-help"}, &pack)
	require.Error(t, err)
	flags := regexp.MustCompile(`(?m)^  -([a-z-]+)`)
	known := map[string]bool{}
	for _, m := range flags.FindAllStringSubmatch(serve.String()+pack.String(), -1) {
		known[m[1]] = true
	}
	require.Greater(t, len(known), 30)
	var text strings.Builder
	for _, file := range []string{filepath.Join("..", "..", "docs", "service.md"), "README.md"} {
		page, err := os.ReadFile(file)
		require.NoError(t, err)
		text.Write(page)
		for _, m := range regexp.MustCompile("`-([a-z-]+)[` ]").FindAllStringSubmatch(string(page), -1) {
			require.True(t, known[m[1]], "%s: -%s is no flag", file, m[1])
		}
	}
	for _, m := range flags.FindAllStringSubmatch(serve.String(), -1) {
		if m[1] == "device" || m[1] == "log" || m[1] == "no-page" || m[1] == "listen" || m[1] == "bundle" {
			continue // -help says it all
		}
		require.Contains(t, text.String(), "-"+m[1], "the pages do not name it")
	}
}
