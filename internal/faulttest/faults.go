package faulttest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gotab/gotab/internal/atomicfile"
)

// Writer writes one or several files below a folder. Version 0 and version 1
// write other contents to files of the same names; each always writes the same
// bytes.
type Writer struct {
	Name  string
	Write func(dir string, version int) error
	// Points bounds at how many system calls it is stopped and made to fail: one of
	// each kind, and others at random. 0 takes all; large files want a bound.
	Points int
	// Tree says that Write makes the folder "out" as a whole, or not at all, and
	// replaces none: its two versions may write other names.
	Tree bool
}

// content is what lies below a folder: bytes by name with slashes.
type content map[string][]byte

func read(dir string) (content, error) {
	out := content{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		out[filepath.ToSlash(rel)] = b
		return err
	})
	return out, err
}

// put writes the files below a folder.
func (c content) put(dir string) error {
	for name, b := range c {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// hidden says whether a part of a name begins with a dot, so that nobody takes it
// for a result.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
}

// compare returns what is neither the old file nor the new one. Hidden files may be
// there where left is true.
func (w Writer) compare(got, before, after content, left bool) error {
	for _, name := range slices.Sorted(maps.Keys(got)) {
		b := got[name]
		old, wasThere := before[name]
		now, willBe := after[name]
		switch {
		case wasThere && bytes.Equal(b, old), willBe && bytes.Equal(b, now):
		case !wasThere && !willBe && left && hidden(name):
		default:
			return fmt.Errorf("%s is neither the old file nor the new one: %d bytes, the old one (%v) has %d, the new one (%v) %d",
				name, len(b), wasThere, len(old), willBe, len(now))
		}
	}
	for name := range before {
		if got[name] == nil {
			return fmt.Errorf("%s was there and is gone", name)
		}
	}
	if !w.Tree {
		return nil
	}
	seen := 0
	for name := range after {
		if got[name] != nil {
			seen++
		}
	}
	if seen != 0 && seen != len(after) {
		return fmt.Errorf("%d of %d files are there", seen, len(after))
	}
	return nil
}

// versions writes both versions, each to a folder of its own.
func (w Writer) versions(temp func() string) (v [2]content, err error) {
	for i := range v {
		for k := range 2 {
			dir := temp()
			if err := w.Write(dir, i); err != nil {
				return v, fmt.Errorf("version %d: %w", i, err)
			}
			got, err := read(dir)
			if err != nil {
				return v, err
			}
			if k == 1 && !maps.EqualFunc(got, v[i], bytes.Equal) {
				return v, fmt.Errorf("version %d writes other bytes each time", i)
			}
			v[i] = got
		}
	}
	if len(v[0]) == 0 || maps.EqualFunc(v[0], v[1], bytes.Equal) {
		return v, errors.New("its versions are empty or the same: the test would see nothing")
	}
	for i := range v {
		for name := range v[i] {
			if hidden(name) {
				return v, fmt.Errorf("it leaves %s", name)
			}
			if _, ok := v[1-i][name]; !ok && !w.Tree {
				return v, fmt.Errorf("version %d has %s, the other has not", i, name)
			}
		}
	}
	return v, nil
}

// Check writes each writer's version 1, over version 0 and into an empty folder,
// and looks at what is in the folder before every system call, as a process that
// is killed there leaves it. Then it lets each of these calls fail with ENOSPC, and
// all after it (a full disk stays full), and with EIO, that one alone. After
// every failure the writer must return the error, and leave every file old or new
// and nothing else.
//
// A writer that goes past package atomicfile is not seen; [Kill] sees it.
func Check(t *testing.T, writers ...Writer) {
	for _, w := range writers {
		t.Run(w.Name, func(t *testing.T) {
			if err := w.check(t.TempDir); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func (w Writer) check(temp func() string) error {
	v, err := w.versions(temp)
	if err != nil {
		return err
	}
	if err := w.checkOver(temp, content{}, v[1], func(string) error { return nil }); err != nil {
		return fmt.Errorf("into an empty folder: %w", err)
	}
	if w.Tree { // it replaces nothing
		return nil
	}
	if err := w.checkOver(temp, v[0], v[1], v[0].put); err != nil {
		return fmt.Errorf("over an old file: %w", err)
	}
	return nil
}

// during writes version 1 while fault is asked before each call, one at a time.
func (w Writer) during(dir string, fault func(call int, s atomicfile.Step) error) error {
	var mu sync.Mutex
	n := 0
	defer atomicfile.Inject(func(s atomicfile.Step, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fault(n-1, s)
	})()
	return w.Write(dir, 1)
}

// checkOver is check on what begin puts into a folder.
func (w Writer) checkOver(temp func() string, before, after content, begin func(dir string) error) error {
	prepared := func() (string, error) {
		dir := temp()
		return dir, begin(dir)
	}
	// Which calls there are.
	dir, err := prepared()
	if err != nil {
		return err
	}
	var steps []atomicfile.Step
	if err := w.during(dir, func(_ int, s atomicfile.Step) error { steps = append(steps, s); return nil }); err != nil {
		return err
	}
	if !slices.Contains(steps, atomicfile.Rename) {
		return errors.New("it does not write through package atomicfile")
	}
	points := w.points(steps)

	// Stopped at each of them.
	if dir, err = prepared(); err != nil {
		return err
	}
	var broken error
	err = w.during(dir, func(k int, s atomicfile.Step) error {
		if !slices.Contains(points, k) || broken != nil {
			return nil
		}
		got, err := read(dir)
		if err == nil {
			err = w.compare(got, before, after, true)
		}
		if err != nil {
			broken = fmt.Errorf("killed before call %d of %d (%s): %w", k, len(steps), s, err)
		}
		return nil
	})
	if broken != nil || err != nil {
		return errors.Join(broken, err)
	}

	// Failing at each of them.
	for _, k := range points {
		for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
			if dir, err = prepared(); err != nil {
				return err
			}
			err := w.during(dir, func(i int, _ atomicfile.Step) error {
				if i == k || i > k && errno == syscall.ENOSPC {
					return errno
				}
				return nil
			})
			what := fmt.Sprintf("%v at call %d of %d (%s)", errno, k, len(steps), steps[k])
			if !errors.Is(err, errno) {
				return fmt.Errorf("%s: the writer says %v", what, err)
			}
			got, err := read(dir)
			if err == nil {
				err = w.compare(got, before, after, false)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			want := before
			if steps[k] == atomicfile.SyncFolder { // the new file is in place
				want = after
			}
			if len(after) == 1 && !maps.EqualFunc(got, want, bytes.Equal) {
				return fmt.Errorf("%s: the wrong one of the two files is there", what)
			}
		}
	}
	return nil
}

// points are the calls that are looked at, rising.
func (w Writer) points(steps []atomicfile.Step) []int {
	var out []int
	seen := map[atomicfile.Step]bool{}
	for i, s := range steps {
		if w.Points == 0 || !seen[s] {
			out = append(out, i)
		}
		seen[s] = true
	}
	rng := rand.New(rand.NewPCG(uint64(len(steps)), 20))
	for len(out) < min(w.Points, len(steps)) {
		if i := rng.IntN(len(steps)); !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}
