package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate"
)

// products writes n products of tiny images in MVTec AD's layout: each a ramp of its own with
// noise, the defective ones with a dark square.
func products(t *testing.T, root string, n int) {
	t.Helper()
	save := func(img image.Image, path string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, img))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o666))
	}
	for p := range n {
		rng := rand.New(rand.NewPCG(uint64(p), 7))
		base, slope := 60+rng.IntN(120), 1+rng.IntN(3)
		dir := filepath.Join(root, fmt.Sprintf("product%04d", p))
		picture := func(defect bool) (*image.RGBA, *image.Gray) {
			img, mask := image.NewRGBA(image.Rect(0, 0, 32, 32)), image.NewGray(image.Rect(0, 0, 32, 32))
			x0, y0 := 4+rng.IntN(20), 4+rng.IntN(20)
			for y := range 32 {
				for x := range 32 {
					v := uint8(base + slope*x/2 + rng.IntN(12))
					if defect && x >= x0 && x < x0+6 && y >= y0 && y < y0+6 {
						v /= 2
						mask.SetGray(x, y, color.Gray{Y: 255})
					}
					img.SetRGBA(x, y, color.RGBA{v, v, v - 10, 255})
				}
			}
			return img, mask
		}
		for i := range 4 {
			img, _ := picture(false)
			save(img, filepath.Join(dir, "train", "good", strconv.Itoa(i)+".png"))
		}
		for i := range 2 {
			img, _ := picture(false)
			save(img, filepath.Join(dir, "test", "good", strconv.Itoa(i)+".png"))
			img, mask := picture(true)
			save(img, filepath.Join(dir, "test", "cut", strconv.Itoa(i)+".png"))
			save(mask, filepath.Join(dir, "ground_truth", "cut", strconv.Itoa(i)+"_mask.png"))
		}
	}
}

// childArgs has the arguments of the program in a child process.
const childArgs = "GOTAB_EVALUATE_CHILD"

// child is the program in a process of its own. It is killed when it has written so many lines of
// progress, 0 for never; wait is how long it goes on after the last of them.
func child(args []string, after int, wait time.Duration) (killed bool, err error) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestManyProducts$", "-test.count=1", "-test.timeout=0")
	cmd.Env = append(os.Environ(), childArgs+"="+strings.Join(args, "\x1f"))
	progress, err := cmd.StderrPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	var last []string
	lines := 0
	for s := bufio.NewScanner(progress); s.Scan(); {
		if last = append(last, s.Text()); len(last) > 20 {
			last = last[1:]
		}
		if lines++; lines == after {
			time.Sleep(wait)
			killed = cmd.Process.Kill() == nil
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if killed && errors.As(err, &exit) && !exit.Exited() {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %s", err, strings.Join(last, "\n"))
	}
	return false, nil // it was done before
}

// TestManyProducts fits and scores many products as one job of several parts, which are killed at random on the
// way, and compares every result and every detector with those of an undisturbed process.
//
// By default it is a small job of a detector without a network. GOTAB_PRODUCTS=1000 makes it one of so many products by
// PaDiM on a random ResNet-18, killed ten times.
func TestManyProducts(t *testing.T) {
	n, kills, parts, wait := 10, 4, 3, 0
	args := darkArgs()
	p := newDark().program()
	start := p.run
	if many, err := strconv.Atoi(os.Getenv("GOTAB_PRODUCTS")); err == nil {
		n, kills, parts, wait = many, 10, 4, 300
		args = []string{"-weights", "random:1", "-arch", "resnet18", "-device", "cpu", "-method", "padim", "-transform", "32x32", "-seed", "1"}
		start = run
	}
	if text, ok := os.LookupEnv(childArgs); ok {
		if err := start(context.Background(), strings.Split(text, "\x1f"), io.Discard, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	root, out := filepath.Join(t.TempDir(), "plant"), t.TempDir()
	products(t, root, n)
	at := func(name string) string { return filepath.Join(out, name) }
	args = append(args, "-data", root)
	begin := time.Now()
	var undisturbed time.Duration
	done := make(chan error, 1)
	go func() {
		_, err := child(append(slices.Clone(args), "-json", at("whole.jsonl"), "-save", at("whole")), 0, 0)
		undisturbed = time.Since(begin)
		done <- err
	}()

	rng := rand.New(rand.NewPCG(11, uint64(n)))
	part := func(k, after, wait int) (bool, error) {
		return child(append(slices.Clone(args), "-json", at("part.jsonl"), "-save", at("parts"), "-resume", "-part", fmt.Sprintf("%d/%d", k, parts)), after,
			time.Duration(wait)*time.Millisecond)
	}
	count, starts := 0, 0
	for ; count < kills && starts < 20*kills; starts++ {
		killed, err := part(rng.IntN(parts), 1+rng.IntN(max(2*n/parts/3, 4)), rng.IntN(wait+1))
		require.NoError(t, err)
		if killed {
			count++
		}
	}
	require.Equal(t, kills, count)
	var files []string
	ends := make(chan error, parts)
	for k := range parts { // all at once, as an array runs them
		files = append(files, evaluate.Part{Index: k, Count: parts}.Path(at("part.jsonl")))
		go func() {
			_, err := part(k, 0, 0)
			if err == nil {
				_, err = part(k, 0, 0) // once more, when all is done
			}
			ends <- err
		}()
	}
	for range parts {
		require.NoError(t, <-ends)
	}
	t.Logf("%d products in %d parts, killed %d times in %d starts: %v", n, parts, count, starts+2*parts, time.Since(begin))
	require.NoError(t, <-done)
	t.Logf("undisturbed, at the same time: %v", undisturbed)

	var lines int
	for _, name := range files {
		lines += len(recordsOf(t, name))
	}
	require.Equal(t, n, lines, "every result is there once")
	stdout, _, err := evaluateArgs(t, append([]string{"merge", "-out", at("merged.jsonl")}, files...)...)
	require.NoError(t, err)
	require.Contains(t, stdout, fmt.Sprintf("%d results of %d classes", n, n))
	_, _, err = evaluateArgs(t, "merge", "-out", at("sorted.jsonl"), "-json", at("whole.jsonl"))
	require.NoError(t, err)
	want, got := timeless(recordsOf(t, at("sorted.jsonl"))), timeless(recordsOf(t, at("merged.jsonl")))
	require.Len(t, want, n)
	require.Equal(t, want, got)

	saved := func(dir string) map[string][sha256.Size]byte {
		out := map[string][sha256.Size]byte{}
		require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") { // what a killed process has left
				return err
			}
			data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
			out[name] = sha256.Sum256(data)
			return err
		}))
		return out
	}
	whole, disturbed := saved(at("whole")), saved(at("parts"))
	require.Len(t, whole, n)
	require.Len(t, disturbed, n)
	require.Equal(t, whole, disturbed, "the detectors are equal, byte for byte")
}

func TestPartsThatAreNone(t *testing.T) {
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "r.jsonl")
	class(t, root, "alpha", true)
	for _, args := range [][]string{{"-part", "0/2"}, {"-part", "2/2", "-json", path}, {"-part", "auto", "-json", path}, {"-part", "0/2", "-json", path, "-report", t.TempDir()}} {
		t.Setenv("SLURM_ARRAY_TASK_ID", "")
		t.Setenv("RANK", "")
		_, _, err := evaluateDark(t, t.Context(), newDark(), append([]string{"-data", root}, args...)...)
		require.ErrorIs(t, err, errUsage, args)
	}
	t.Setenv("SLURM_ARRAY_TASK_ID", "1")
	_, stderr, err := evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", path, "-part", "auto/2")
	require.NoError(t, err)
	require.Contains(t, stderr, "part 1/2: 0 of 1 classes")
	t.Setenv("SLURM_ARRAY_TASK_ID", "0")
	_, _, err = evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", path, "-part", "auto/2")
	require.NoError(t, err)
	require.Len(t, recordsOf(t, filepath.Join(filepath.Dir(path), "r.0-of-2.jsonl")), 1)

	for _, args := range [][]string{{"merge"}, {"merge", "-json", path}, {"merge", "-out", path}} {
		_, _, err := evaluateArgs(t, args...)
		require.ErrorIs(t, err, errUsage)
	}
	_, _, err = evaluateArgs(t, "merge", "-json", path+".none", "-out", path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("{}\n"), 0o666))
	_, _, err = evaluateArgs(t, "merge", "-json", path, "-out", path+".out")
	require.ErrorIs(t, err, evaluate.ErrRecords)
	require.NoFileExists(t, path+".out")
}
