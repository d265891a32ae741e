package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	all := func(table string, more ...string) []string {
		return append([]string{"-table", table, "-data", dir, "-start", "start.safetensors", "-out", dir, "-device", "cpu"}, more...)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no table": {all("0"), "-table is 0"},
		"no data":  {[]string{"-table", "1"}, "-data, -start and -out"},
		"recipe":   {all("1", "-recipe", "best"), "-recipe"},
		"part":     {all("6", "-recipe", "amplify"), "takes the article's recipe apart"},
		"word":     {all("1", "more"), `"more" is not a flag`},
		"seeds":    {all("1", "-seeds", "0"), "Seeds is 0"},
		"layers":   {all("1", "-layers", "layer9"), "-layers"},
		"tools":    {all("1", "-tools", dir), "Tools"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), c.args, &stdout, &stderr)
		require.ErrorIs(t, err, errUsage, name)
		require.ErrorContains(t, err, c.says, name)
		require.Empty(t, stdout.String())
	}
}
