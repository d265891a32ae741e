package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stream runs `go test -json` on a module of one file, so that the summary is held against what the go command that is
// in use really writes.
func stream(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/m\n\ngo 1.24\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "m_test.go"), []byte("package m\n\nimport \"testing\"\n\n"+body), 0o600))
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	if len(out) == 0 {
		require.NoError(t, err)
	}
	return string(out)
}

func TestSkippedTestsAreListedWithTheirReason(t *testing.T) {
	var out strings.Builder
	s, err := summarize(strings.NewReader(stream(t, `
func TestGood(t *testing.T) { t.Log("is not printed") }
func TestData(t *testing.T) { t.Run("part", func(t *testing.T) { t.Skip("the images are not here: open x") }) }
func TestMute(t *testing.T) { t.SkipNow() }
`)), &out)
	require.NoError(t, err)
	require.False(t, s.failed())
	require.Contains(t, out.String(), "ok  \texample.com/m\t")
	require.NotContains(t, out.String(), "is not printed")
	require.Contains(t, out.String(), "  example.com/m TestData/part: the images are not here: open x\n")
	require.Contains(t, out.String(), "  example.com/m TestMute: no reason given\n")
	require.True(t, strings.HasSuffix(out.String(), "\n2 passed, 0 failed, 2 skipped\n"), out.String())
}

func TestFailuresArePrintedAndCounted(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"a test":          {`func TestBad(t *testing.T) { t.Error("the sum is 3") }`, "the sum is 3"},
		"a build":         {`func TestBad(t *testing.T) { undefined() }`, "undefined: undefined"},
		"a panic":         {`func TestBad(t *testing.T) { panic("gone wrong") }`, "gone wrong"},
		"no test at all":  {`var _ = testing.Short`, "no tests to run"},
		"an early return": {`func TestMain(m *testing.M) {}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s, err := summarize(strings.NewReader(stream(t, c.body)), &out)
			require.NoError(t, err)
			require.True(t, s.failed(), out.String())
			require.Contains(t, out.String(), c.want)
		})
	}
}

func TestOtherInputIsAnError(t *testing.T) {
	var out strings.Builder
	_, err := summarize(strings.NewReader("ok  \texample.com/m\t0.1s\n"), &out)
	require.ErrorContains(t, err, "go test -json")
}
