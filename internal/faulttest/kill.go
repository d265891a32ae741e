package faulttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gotab/gotab/internal/atomicfile"
)

// childEnv names the folder in a child process.
const childEnv = "GOTAB_FAULTTEST_CHILD"

// Child says whether this process is a child of [Kill]. A test may use it to
// leave out what only the parent needs.
func Child() bool { return os.Getenv(childEnv) != "" }

// Kill runs the test binary again, n times, as a child that goes through the
// writers in turn, for ever and with the other version in each round, and kills it
// at moments that seed chooses. After each kill every file must be whole, of
// version 0 or 1. All kills hit the same folders, so each begins where the one
// before has left them, stale temporary files included.
//
// The child tells each system call of package atomicfile through a pipe; the
// parent counts them to a number that it has drawn and then kills, while the child
// goes on. So the moment is random within some calls of the drawn one, and nothing
// waits for a clock. Test is the name of the test that calls Kill, at top level
// and with the same writers. Writers with Tree are left out.
func Kill(t *testing.T, test string, n int, seed uint64, writers ...Writer) {
	writers = slices.DeleteFunc(slices.Clone(writers), func(w Writer) bool { return w.Tree })
	if Child() {
		child(t, os.Getenv(childEnv), writers)
		return
	}
	if err := kills(t.TempDir, test, n, seed, writers); err != nil {
		t.Fatal(err)
	}
}

func kills(temp func() string, test string, n int, seed uint64, writers []Writer) error {
	dir := temp()
	versions := make([][2]content, len(writers))
	for i, w := range writers {
		var err error
		if versions[i], err = w.versions(temp); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		if err := errors.Join(os.MkdirAll(folder(dir, i), 0o755), w.Write(folder(dir, i), 0)); err != nil {
			return err
		}
	}
	// whole compares a folder with the two versions.
	whole := func(i int) error {
		got, err := read(folder(dir, i))
		if err != nil {
			return err
		}
		for name, old := range versions[i][0] {
			switch b, ok := got[name]; {
			case !ok:
				return fmt.Errorf("%s: %s is gone", writers[i].Name, name)
			case !bytes.Equal(b, old) && !bytes.Equal(b, versions[i][1][name]):
				return fmt.Errorf("%s: %s is neither version: %d bytes", writers[i].Name, name, len(b))
			}
			delete(got, name)
		}
		for name := range got {
			if !hidden(name) {
				return fmt.Errorf("%s: %s is there", writers[i].Name, name)
			}
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	calls, err := countCalls(temp, writers)
	if err != nil {
		return err
	}
	for k := range n {
		after := 1 + rng.IntN(2*calls)
		err := kill(test, dir, after)
		for i := range writers {
			err = errors.Join(err, whole(i))
		}
		if err != nil {
			return fmt.Errorf("kill %d of %d, after call %d: %w", k+1, n, after, err)
		}
	}
	// What the killed ones have left does not keep a later run from its work.
	for i, w := range writers {
		if err := errors.Join(w.Write(folder(dir, i), 1), whole(i)); err != nil {
			return fmt.Errorf("after all kills: %w", err)
		}
	}
	return nil
}

func folder(dir string, i int) string { return fmt.Sprintf("%s/%d", dir, i) }

// countCalls is how many calls a round takes.
func countCalls(temp func() string, writers []Writer) (int, error) {
	n := 0
	for _, w := range writers {
		if err := w.during(temp(), func(int, atomicfile.Step) error { n++; return nil }); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// kill starts a child and kills it after a number of calls.
func kill(test, dir string, after int) (err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close() // nothing was written
	var out strings.Builder
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &out, []*os.File{w}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = io.ReadFull(r, make([]byte, after))
	killed := cmd.Process.Kill()
	werr := cmd.Wait()
	if err != nil || killed != nil {
		return fmt.Errorf("the child ended by itself: %w, %w, %w\n%s", err, killed, werr, &out)
	}
	return nil
}

// child writes until it is killed.
func child(t *testing.T, dir string, writers []Writer) {
	pipe := os.NewFile(3, "pipe")
	atomicfile.Inject(func(atomicfile.Step, string) error {
		_, err := pipe.Write([]byte{1})
		return err
	})
	for round := 1; ; round++ {
		for i, w := range writers {
			if err := w.Write(folder(dir, i), round%2); err != nil {
				t.Fatalf("%s: round %s: %v", w.Name, strconv.Itoa(round), err)
			}
		}
	}
}
