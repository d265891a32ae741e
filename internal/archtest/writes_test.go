package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWritesGoThroughAtomicfile(t *testing.T) {
	for _, c := range []struct{ file, imports, body, why string }{
		{"tab/a.go", `"os"`, `os.WriteFile("a", nil, 0)`, "os.WriteFile: write through"},
		{"tab/a.go", `"os"`, `os.Create("a")`, "os.Create"},
		{"tab/a.go", `other "os"`, `other.Rename("a", "b")`, "os.Rename"},
		{"tab/a.go", `. "os"`, `Create("a")`, "by its name"},
		{"tab/a.go", `"io/ioutil"`, `ioutil.WriteFile("a", nil, 0)`, "by its name"},
		{"examples/synth/a.go", `"os"`, `f := os.OpenFile; f("a", 0, 0)`, "os.OpenFile"},
		{"tab/a.go", `"os"`, `os.Open("a"); os.Remove("a"); os.MkdirAll("a", 0)`, ""},
		{"tab/a_test.go", `"os"`, `os.WriteFile("a", nil, 0)`, ""},
		{"internal/atomicfile/a.go", `"os"`, `os.Rename("a", "b")`, ""},
		{"tensor/libtorch/internal/x/a.go", `"os"`, `os.Create("a")`, ""},
		{"tensor/a.go", `"os"`, `os.Create("a")`, "os.Create"},
		{"tab/a.go", `"github.com/gotab/gotab/internal/atomicfile"`, `atomicfile.Inject(nil)`, "tests alone"},
		{"tab/a.go", `"github.com/gotab/gotab/internal/atomicfile"`, `atomicfile.Write("a", nil)`, ""},
		{"internal/faulttest/a.go", `"github.com/gotab/gotab/internal/atomicfile"`, `atomicfile.Inject(nil)`, ""},
	} {
		found, err := checkWrites(c.file, []byte("package p\n\nimport "+c.imports+"\n\nfunc f() { "+c.body+" }\n"))
		require.NoError(t, err)
		if c.why == "" {
			require.Empty(t, found, "%+v", c)
			continue
		}
		require.NotEmpty(t, found, "%+v", c)
		require.Contains(t, strings.Join(found, "\n"), c.why)
	}
}

// What is argued is there, and does write: the list does not outlive its reasons.
func TestArguedWritesAreThere(t *testing.T) {
	for name, why := range writesOutside {
		require.NotEmpty(t, why)
		full := filepath.Join("..", "..", filepath.FromSlash(name))
		info, err := os.Stat(full)
		require.NoError(t, err, name)
		require.Equal(t, strings.HasSuffix(name, "/"), info.IsDir(), name)
		if info.IsDir() {
			continue
		}
		src, err := os.ReadFile(full)
		require.NoError(t, err)
		found, err := checkWrites("tab/a.go", src)
		require.NoError(t, err)
		require.NotEmpty(t, found, "%s writes nothing past atomicfile any more", name)
	}
}
