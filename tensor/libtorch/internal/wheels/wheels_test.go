package wheels

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// makeWheel writes a wheel with the given entries and returns its pin; every entry but those under "skip/" is kept.
func makeWheel(t *testing.T, dir, name string, entries map[string]string) Pin {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for n, data := range entries {
		w, err := z.Create(n)
		require.NoError(t, err)
		_, err = io.WriteString(w, data)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	file := name + "-1.0-py3-none-manylinux1_x86_64.whl"
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), buf.Bytes(), 0o644))
	sum := sha256.Sum256(buf.Bytes())
	return Pin{Name: name, Version: "1.0", File: file, SHA256: hex.EncodeToString(sum[:]), Size: int64(buf.Len()), Unpacked: 1 << 20,
		Keep: func(n string) bool { return !strings.HasPrefix(n, "skip/") }}
}

// fakePython puts a python3 on the PATH, alone but for the shell's tools, whose pip does what script says. The script
// sees the requirement in $want, the target folder in $to and the folder of wheels in $shop.
func fakePython(t *testing.T, shop, script string) (calls string) {
	t.Helper()
	bin := t.TempDir()
	calls = filepath.Join(bin, "calls")
	text := fmt.Sprintf(`#!/bin/sh
[ "$1 $2" = "-m pip" ] || exit 9
[ "$3" = "--version" ] && { echo "pip 23.0 (fake)"; exit 0; }
echo "$@" >> %q
shop=%q
while [ $# -gt 0 ]; do
  case "$1" in -d) to=$2;; -r) req=$2;; esac
  shift
done
read -r want rest < "$req"
name=${want%%%%==*}
%s
`, calls, shop, script)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "python3"), []byte(text), 0o755))
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	return calls
}

// deliver is what a working pip does.
const deliver = `cp "$shop/$name"-1.0-*.whl "$to/"`

func fetcher(t *testing.T, pins ...Pin) (*Fetcher, *bytes.Buffer) {
	var log bytes.Buffer
	return &Fetcher{Root: filepath.Join(t.TempDir(), "cache"), Name: "copy", Pins: pins, Log: &log,
		Free: func(string) (int64, error) { return 1 << 40, nil }}, &log
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	}))
	return out
}

func twoWheels(t *testing.T) (shop string, a, b Pin) {
	shop = t.TempDir()
	a = makeWheel(t, shop, "alpha", map[string]string{"nvidia/x/lib/libx.so.1": "xxxx", "skip/me": "no"})
	b = makeWheel(t, shop, "beta", map[string]string{"torch/lib/libc10.so": "c10", "torch/include/a.h": "// a"})
	return shop, a, b
}

func TestFetch(t *testing.T) {
	shop, a, b := twoWheels(t)
	calls := fakePython(t, shop, deliver)
	f, log := fetcher(t, a, b)
	dir, err := f.Fetch(t.Context())
	require.NoError(t, err, log.String())
	require.Equal(t, []string{"manifest.json", "nvidia/x/lib/libx.so.1", "torch/include/a.h", "torch/lib/libc10.so"}, listing(t, dir))
	require.Equal(t, []string{"copy/manifest.json", "copy/nvidia/x/lib/libx.so.1", "copy/torch/include/a.h", "copy/torch/lib/libc10.so", "lock"}, listing(t, f.Root), "no wheel, no staging folder stays")
	st, err := os.Stat(filepath.Join(dir, "torch/lib/libc10.so"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o755), st.Mode().Perm())
	require.Contains(t, log.String(), "[2/2] beta 1.0")

	raw, err := os.ReadFile(calls)
	require.NoError(t, err)
	for _, want := range []string{"download", "--no-deps", "--only-binary=:all:", "--python-version 311", "--abi cp311", "--platform manylinux1_x86_64", "--require-hashes"} {
		require.Contains(t, string(raw), want)
	}
	_, err = f.Fetch(t.Context())
	require.NoError(t, err)
	again, err := os.ReadFile(calls)
	require.NoError(t, err)
	require.Equal(t, raw, again, "a cached copy is not fetched again")
}

func TestFetchRepairsDamage(t *testing.T) {
	shop, a, b := twoWheels(t)
	fakePython(t, shop, deliver)
	f, log := fetcher(t, a, b)
	dir, err := f.Fetch(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.Truncate(filepath.Join(dir, "torch/lib/libc10.so"), 1))
	_, err = f.Cached()
	require.ErrorContains(t, err, "has 1 bytes, not 3")
	_, err = f.Fetch(t.Context())
	require.NoError(t, err)
	require.Contains(t, log.String(), "fetching it again")
	ok, err := f.Cached()
	require.NoError(t, err)
	require.True(t, ok)
}

func TestFetchHalfDownload(t *testing.T) {
	shop, a, b := twoWheels(t)
	// The first wheel arrives; the second breaks off in the middle, leaving half of it in pip's temporary folder.
	calls := fakePython(t, shop, `if [ "$name" = beta ]; then head -c 20 "$shop/$name"-1.0-*.whl > "$TMPDIR/half.whl"; echo "ERROR: Connection broken: IncompleteRead" >&2; exit 1; fi
`+deliver)
	f, _ := fetcher(t, a, b)
	_, err := f.Fetch(t.Context())
	require.ErrorIs(t, err, ErrDownload)
	require.ErrorContains(t, err, "check the network")
	require.ErrorContains(t, err, "IncompleteRead")
	ok, err := f.Cached()
	require.NoError(t, err)
	require.False(t, ok, "half a copy is none")
	require.NotContains(t, strings.Join(listing(t, f.Root), " "), "half.whl")

	// The machine is switched off: a stale folder stays. The next run clears it and fetches only what is missing.
	stale := filepath.Join(f.Root, "download", "tmp-123")
	require.NoError(t, os.MkdirAll(stale, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(f.Root, "download", b.File), []byte("half"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(stale, "half.whl"), []byte("half"), 0o644))
	require.NoError(t, os.Remove(calls))
	calls = fakePython(t, shop, deliver)
	dir, err := f.Fetch(t.Context())
	require.NoError(t, err)
	require.Len(t, listing(t, dir), 4)
	require.NoDirExists(t, stale)
	raw, err := os.ReadFile(calls)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(raw), "--no-deps"), "only the second wheel is fetched")
}

func TestFetchRefusesOtherHash(t *testing.T) {
	shop, a, _ := twoWheels(t)
	fakePython(t, shop, `echo evil > "$to/alpha-1.0-py3-none-manylinux1_x86_64.whl"`)
	f, _ := fetcher(t, a)
	_, err := f.Fetch(t.Context())
	require.ErrorIs(t, err, ErrHash)
	require.NotContains(t, strings.Join(listing(t, f.Root), " "), ".whl", "the wrong file is not kept")
}

func TestPipFailures(t *testing.T) {
	shop, a, _ := twoWheels(t)
	for name, tc := range map[string]struct {
		script string
		kind   error
		advice string
	}{
		"disk":    {`echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"; exit 1`, ErrSpace, "TAB_CACHE"},
		"hash":    {`echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."; exit 1`, ErrHash, "another source"},
		"absent":  {`echo "ERROR: No matching distribution found for alpha==1.0"; exit 1`, ErrDownload, "check the network"},
		"old":     {`echo "no such option: --require-hashes"; exit 2`, ErrDownload, "too old"},
		"network": {`echo "Max retries exceeded with url"; exit 1`, ErrDownload, "proxy"},
		"other":   {`echo "strange"; exit 3`, ErrDownload, "strange"},
		"nothing": {`exit 0`, ErrDownload, "left 0 wheels"},
	} {
		t.Run(name, func(t *testing.T) {
			fakePython(t, shop, tc.script)
			f, _ := fetcher(t, a)
			_, err := f.Fetch(t.Context())
			require.ErrorIs(t, err, tc.kind)
			require.ErrorContains(t, err, tc.advice)
		})
	}
}

func TestNoPip(t *testing.T) {
	_, a, _ := twoWheels(t)
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\necho No module named pip >&2\nexit 1\n"), 0o755))
	t.Setenv("PATH", bin)
	f, _ := fetcher(t, a)
	_, err := f.Fetch(t.Context())
	require.ErrorIs(t, err, ErrPip)
	require.ErrorContains(t, err, "python3-pip")
	require.ErrorContains(t, err, "No module named pip")
	require.ErrorContains(t, err, "TAB_LIBTORCH")
	f.Python = filepath.Join(bin, "absent")
	_, err = f.Fetch(t.Context())
	require.ErrorIs(t, err, ErrPip)
}

func TestNoSpace(t *testing.T) {
	shop, a, b := twoWheels(t)
	calls := fakePython(t, shop, deliver)
	f, _ := fetcher(t, a, b)
	f.Free = func(string) (int64, error) { return 100 << 20, nil }
	_, err := f.Fetch(t.Context())
	require.ErrorIs(t, err, ErrSpace)
	require.ErrorContains(t, err, "TAB_CACHE")
	require.NoFileExists(t, calls, "nothing is downloaded")
}

func TestReadOnlyCache(t *testing.T) {
	if os.Getuid() == 0 {
		// Root may write anywhere, so a file stands in the way instead.
		_, a, _ := twoWheels(t)
		f, _ := fetcher(t, a)
		require.NoError(t, os.WriteFile(f.Root, nil, 0o644))
		_, err := f.Fetch(t.Context())
		require.ErrorIs(t, err, ErrCache)
		require.ErrorContains(t, err, "TAB_CACHE")
		return
	}
	_, a, _ := twoWheels(t)
	f, _ := fetcher(t, a)
	require.NoError(t, os.MkdirAll(f.Root, 0o555))
	_, err := f.Fetch(t.Context())
	require.ErrorIs(t, err, ErrCache)
	require.ErrorContains(t, err, "TAB_CACHE")
}

func TestTwoAtOnce(t *testing.T) {
	shop, a, b := twoWheels(t)
	calls := fakePython(t, shop, deliver)
	f, _ := fetcher(t, a, b)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			g := *f
			g.Log = io.Discard
			_, errs[i] = g.Fetch(context.Background())
		}()
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	raw, err := os.ReadFile(calls)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(raw), "--no-deps"), "each wheel once")
}

func TestLockWaitsAndCancels(t *testing.T) {
	root := t.TempDir()
	unlock, err := Lock(t.Context(), root, io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) { cancel(); return log.Write(p) }) // cancels when it says that it waits
	_, err = Lock(ctx, root, w)
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, log.String(), "another run")
	require.NoError(t, unlock())
	unlock, err = Lock(t.Context(), root, io.Discard)
	require.NoError(t, err)
	require.NoError(t, unlock())
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCancelStopsPip(t *testing.T) {
	shop, a, _ := twoWheels(t)
	fakePython(t, shop, `touch "$shop/started"; exec sleep 60`)
	f, _ := fetcher(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	f.Free = func(string) (int64, error) {
		go func() { // cancels once pip runs
			for {
				if _, err := os.Stat(filepath.Join(shop, "started")); err == nil {
					cancel()
					return
				}
				if t.Context().Err() != nil {
					return
				}
			}
		}()
		return 1 << 40, nil
	}
	_, err := f.Fetch(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, strings.Join(listing(t, f.Root), " "), "tmp-")
}

func TestUnpackRefuses(t *testing.T) {
	keep := func(string) bool { return true }
	for name, entry := range map[string]string{"parent": "../evil", "absolute": "/etc/evil", "inside": "a/../../evil", "backslash": `a\..\evil`} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			pin := makeWheel(t, dir, "evil", map[string]string{entry: "x"})
			to := filepath.Join(dir, "to")
			err := unpack(t.Context(), filepath.Join(dir, pin.File), to, 1<<20, keep)
			require.ErrorIs(t, err, ErrArchive)
			require.NoFileExists(t, filepath.Join(dir, "evil"))
		})
	}
	dir := t.TempDir()
	big := makeWheel(t, dir, "big", map[string]string{"a": strings.Repeat("0", 1000), "b": strings.Repeat("0", 1000)})
	require.ErrorIs(t, unpack(t.Context(), filepath.Join(dir, big.File), dir, 1999, keep), ErrArchive)
	require.NoError(t, unpack(t.Context(), filepath.Join(dir, big.File), dir, 2000, keep))
	require.ErrorIs(t, unpack(t.Context(), filepath.Join(dir, big.File), dir, 2000, func(string) bool { return false }), ErrArchive)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "no.whl"), []byte("no archive"), 0o644))
	require.ErrorIs(t, unpack(t.Context(), filepath.Join(dir, "no.whl"), dir, 1, keep), ErrArchive)
}

func TestUnpackRefusesLinks(t *testing.T) {
	dir := t.TempDir()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	h := &zip.FileHeader{Name: "torch/lib"}
	h.SetMode(fs.ModeSymlink | 0o777)
	w, err := z.CreateHeader(h)
	require.NoError(t, err)
	_, err = io.WriteString(w, "/etc")
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "link.whl"), buf.Bytes(), 0o644))
	err = unpack(t.Context(), filepath.Join(dir, "link.whl"), dir, 100, func(string) bool { return true })
	require.ErrorIs(t, err, ErrArchive)
}

func TestPins(t *testing.T) {
	cpu, cuda := Pins(Version, false), Pins(Version, true)
	require.Len(t, cpu, 3)
	require.Len(t, cuda, 13)
	require.Len(t, Pins(Newest, false), 3)
	require.Len(t, Pins(Newest, true), 16)
	seen := map[string]bool{}
	for _, p := range append(cuda[:13:13], Pins(Newest, true)...) {
		require.Len(t, p.SHA256, 64)
		require.False(t, seen[p.SHA256], "%s repeats a hash", p.Name)
		seen[p.SHA256] = true
		require.Contains(t, p.File, p.Version)
	}
	require.Equal(t, []string{"manylinux1_x86_64"}, cpu[2].platforms())
	require.Equal(t, []string{"manylinux2014_x86_64", "manylinux_2_17_x86_64"}, Pins(Newest, false)[0].platforms())
	require.Equal(t, []string{"manylinux_2_28_x86_64"}, Pins(Newest, false)[2].platforms())
	keepCPU, keepCUDA := cpu[2].Keep, cuda[12].Keep
	for _, n := range []string{"torch/lib/libc10.so", "torch/lib/libtorch_cpu.so", "torch/lib/libgomp-a34b3233.so.1", "torch/lib/libgomp.so.1", "torch/include/ATen/ATen.h", "torch/share/cmake/Torch/TorchConfig.cmake", "torch-2.1.2.dist-info/LICENSE"} {
		require.True(t, keepCPU(n), n)
		require.True(t, keepCUDA(n), n)
	}
	for _, n := range []string{"torch/lib/libtorch_cuda.so", "torch/lib/libc10_cuda.so", "torch/lib/libtorch.so"} {
		require.False(t, keepCPU(n), n)
		require.True(t, keepCUDA(n), n)
	}
	for _, n := range []string{"torch/lib/libtorch_python.so", "torch/nn/modules/conv.py", "torch-2.1.2.dist-info/RECORD"} {
		require.False(t, keepCUDA(n), n)
	}
	require.True(t, Pins(Newest, false)[0].Keep("nvidia/cu13/lib/libcudart.so.13"))
	require.True(t, cpu[0].Keep("nvidia/cuda_runtime/lib/libcudart.so.12"))
	require.False(t, cpu[0].Keep("nvidia/cuda_runtime/include/cuda.h"))
}

// FuzzUnpack feeds damaged archives: nothing may land outside the folder, and no more than the limit inside.
func FuzzUnpack(f *testing.F) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, n := range []string{"torch/lib/libc10.so", "../evil", "torch/include/"} {
		w, err := z.Create(n)
		if err != nil {
			f.Fatal(err)
		}
		_, _ = io.WriteString(w, "data")
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		root := t.TempDir()
		file, to := filepath.Join(root, "w.whl"), filepath.Join(root, "to")
		require.NoError(t, os.WriteFile(file, data, 0o644))
		_ = unpack(t.Context(), file, to, 1000, func(string) bool { return true }) // any error will do
		var n int64
		for _, name := range listing(t, root) {
			if name == "w.whl" {
				continue
			}
			require.True(t, strings.HasPrefix(name, "to/"), name)
			st, err := os.Stat(filepath.Join(root, name))
			require.NoError(t, err)
			n += st.Size()
		}
		require.LessOrEqual(t, n, int64(1001), "one byte more shows a lie about a length")
	})
}
