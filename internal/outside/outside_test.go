package outside_test

import (
	"image"
	"image/png"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// module copies the programs to a folder outside of the checkout and makes a module of
// them that requires this one, as it lies here, and what this one requires.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/plant")))
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	here, err := filepath.Abs(root)
	require.NoError(t, err)
	text := strings.Replace(string(mod), "module github.com/gotab/gotab\n", "module example.com/plant\n", 1) +
		"\nrequire github.com/gotab/gotab v0.0.0\n\nreplace github.com/gotab/gotab => " + here + "\n"
	require.Contains(t, text, "module example.com/plant\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600))
	lookAt(t)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	return dir
}

// lookAt opens what the programs are compiled with. The go command remembers that a
// test passed for as long as the files are the same that the test itself has looked at.
func lookAt(t *testing.T) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (d.Name()[0] == '.' || d.Name() == "testdata" || d.Name() == "examples" || d.Name() == "bench"):
			return fs.SkipDir
		case filepath.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			files++
			_, err = os.Stat(name)
		}
		return err
	}))
	require.Greater(t, files, 300)
}

// run runs the go command in the module, without a network. Tags of the environment
// stay: they choose what stands under package tensor.
func run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "GOPROXY=off", "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -mod=mod"), "GOWORK=off")...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go %s:\n%s", strings.Join(args, " "), out)
	return string(out)
}

// What needs no network compiles without cgo, and runs.
func TestPureProgramsRunOutside(t *testing.T) {
	dir, pure := module(t), []string{"CGO_ENABLED=0"}
	run(t, dir, pure, "vet", "./detector", "./generator", "./layout")
	data := t.TempDir()
	for i, name := range []string{"gear-001-ok.png", "gear-002-ng.png", "axle-001-ok.png", "gear-003-new.png"} {
		picture(t, filepath.Join(data, name), i, false)
	}
	require.Equal(t, "axle 001 good (32,16)\ngear 001 good (32,16)\ngear 002 defective (32,16)\ngear 003 unknown (32,16)\n", run(t, dir, pure, "run", "./layout", "-data", data))
	data = t.TempDir()
	for i := range 6 {
		picture(t, filepath.Join(data, "gear/train/good", string(rune('a'+i))+".png"), i, false)
		picture(t, filepath.Join(data, "gear/test/good", string(rune('a'+i))+".png"), 7*i, false)
		picture(t, filepath.Join(data, "gear/test/dent", string(rune('a'+i))+".png"), 9*i, true)
	}
	require.Regexp(t, `(?s)image AUROC %.*gear +100\.00 .*deviation; 64 x 64 px`, run(t, dir, pure, "run", "./detector", "-data", data))
	twin := filepath.Join(data, "twin.png")
	require.Regexp(t, `^gear: of 12 draws 0 were not placed and 0 not to be seen; median change [1-9][0-9]`, run(t, dir, pure, "run", "./generator", "-data", data, "-out", twin))
	require.FileExists(t, twin)
}

// picture writes a grey picture; a dented one has a bright square.
func picture(t *testing.T, name string, i int, dented bool) {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 32, 16))
	for p := range m.Pix {
		m.Pix[p] = uint8(100 + (p*7+i*5)%11)
		if dented && p%32 > 10 && p%32 < 18 && p/32 > 4 && p/32 < 10 {
			m.Pix[p] += 60
		}
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	f, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, m))
	require.NoError(t, f.Close())
}

// What stands on libtorch compiles where libtorch is: linking takes longer and shows no
// more.
func TestNativeProgramsCompileOutside(t *testing.T) {
	if os.Getenv("CGO_LDFLAGS") == "" || os.Getenv("CGO_ENABLED") == "0" {
		t.Skip("the environment has no libtorch (tensor/libtorch env)")
	}
	run(t, module(t), nil, "vet", "./objective", "./nightly")
}

// The Go code of the page is that of the programs, which the tests compile.
func TestContributingShowsThesePrograms(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	require.NoError(t, err)
	var code strings.Builder
	programs, err := filepath.Glob("testdata/plant/*/main.go")
	require.NoError(t, err)
	require.Len(t, programs, 5)
	for _, name := range programs {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		code.Write(b)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	require.GreaterOrEqual(t, len(blocks), 4)
	for _, b := range blocks {
		b, _, ok := strings.Cut(b, "```")
		require.True(t, ok)
		for part := range strings.SplitSeq(b, "\n...\n") { // what is left out
			require.Contains(t, code.String(), strings.Trim(part, "\n"))
		}
	}
}

// links returns how many files a page names, which must be there.
func links(t *testing.T, page string) (found int) {
	t.Helper()
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, part := range strings.Split(string(b), "](")[1:] {
		name, _, _ := strings.Cut(part, ")")
		if strings.Contains(name, "://") {
			continue
		}
		_, err := os.Stat(filepath.Join(filepath.Dir(page), name))
		require.NoError(t, err, "%s in %s", name, page)
		found++
	}
	return found
}

func TestContributingNamesWhatIsThere(t *testing.T) {
	require.GreaterOrEqual(t, links(t, filepath.Join(root, "CONTRIBUTING.md")), 5)
}

// Every program has a page that says how it is started and what one sees.
func TestEveryExampleHasAPage(t *testing.T) {
	programs, err := filepath.Glob(filepath.Join(root, "examples", "*", "main.go"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(programs), 10)
	for _, program := range programs {
		dir := filepath.Dir(program)
		page := filepath.Join(dir, "README.md")
		b, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Contains(t, string(b), "./examples/"+filepath.Base(dir), page)
		require.Contains(t, string(b), "## What one sees", page)
		links(t, page)
	}
}
