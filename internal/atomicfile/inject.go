package atomicfile

import (
	"fmt"
	"os"
	"regexp"
	"sync/atomic"
)

// Step is a system call of [Write].
type Step string

// The steps, in their order. Write comes as often as the buffer is emptied.
const (
	OpenFolder Step = "open folder"
	Create     Step = "create"
	Chmod      Step = "chmod"
	WriteSome  Step = "write"
	Sync       Step = "sync"
	Close      Step = "close"
	Rename     Step = "rename"
	SyncFolder Step = "sync folder"
)

var injected atomic.Pointer[func(Step, string) error]

// Inject is for tests: from now on fault is called before every step of every
// [Write] in the process, with the file that is to be replaced. Where it returns
// an error, the step fails with it, as if the operating system had returned it: a
// write leaves half of its bytes, a close closes, any other step does nothing.
// fault may be called on several goroutines. restore ends it; only one fault is in
// force at a time.
func Inject(fault func(step Step, path string) error) (restore func()) {
	injected.Store(&fault)
	return func() { injected.Store(nil) }
}

// fault is the error that a test has chosen for a step.
func fault(step Step, path string) error {
	if f := injected.Load(); f != nil {
		return (*f)(step, path)
	}
	return nil
}

// at does a step, unless a test lets it fail.
func at(step Step, path string, do func() error) error {
	err := fault(step, path)
	if err == nil {
		return do()
	}
	if step == Close {
		_ = do() // the error of the test is the one that counts
	}
	return err
}

// system is the file that content goes to.
type system struct {
	f    *os.File
	path string
}

func (s system) Write(p []byte) (n int, err error) {
	if err := fault(WriteSome, s.path); err != nil {
		n, _ = s.f.Write(p[:len(p)/2]) // as on a disk that has become full
		return n, err
	}
	return s.f.Write(p)
}

// temporaryName is the name of a temporary file beside the file base. It begins
// with a dot and ends in .tmp: no reader of folders in this module takes it for
// an image, and no program asks for a file by such a name.
func temporaryName(base string, pid, i int) string {
	return fmt.Sprintf(".%s.%d-%d.tmp", base, pid, i)
}

var temporary = regexp.MustCompile(`^\..+\.[0-9]+-[0-9]+\.tmp$`)

// IsTemporary says whether a file name (without folders) is one that a [Write]
// which was killed leaves behind. Such a file is harmless, and may be removed
// once the process is gone.
func IsTemporary(name string) bool { return temporary.MatchString(name) }
