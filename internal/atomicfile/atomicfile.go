package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

var (
	// ErrNotRegular says that the path names something that cannot be replaced by
	// a file: a folder, a device, a socket.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNotDurable says that the new file is complete and in its place, but that
	// the folder could not be forced to the disk, so a loss of power within the
	// next seconds could bring the old file back. It is the one error after which
	// the new content is the one that is read.
	ErrNotDurable = errors.New("the new file is in place, but the folder could not be synced")
)

const (
	bufferSize  = 1 << 16 // bytes gathered before a write to the file
	maxAttempts = 10000   // names tried for the temporary file
	maxLooks    = 1000    // looks at a file that comes and goes
	maxBase     = 80      // bytes of the file's name that the temporary name repeats; file systems end at 255
)

// Write calls fn with a buffered writer and makes what fn wrote the content of
// the file at path. The steps are: temporary file in the folder of path, fn,
// flush, fsync, rename, fsync of the folder.
//
// On any failure (fn returns an error or panics, the disk is full, a write that
// fn overlooked failed) the old file is as it was, the temporary file is removed,
// and the error names path. ErrNotDurable is the exception that its comment
// describes. fn must not keep the writer.
//
// An existing file's permissions are kept; a new one gets 0666 before the umask.
// Where path is a symbolic link, the file that it points to is replaced and the
// link stays. The folder must exist. Concurrent calls for one path are safe: one
// of the contents wins, whole.
func Write(path string, fn func(w io.Writer) error) (err error) {
	fail := func(doing string, err error) error {
		return fmt.Errorf("atomicfile: write %s: %s: %w", path, doing, err)
	}
	if fn == nil {
		return fail("writer", errors.New("function is nil"))
	}
	target, mode, err := resolve(path)
	if err != nil {
		return fail("look at target", err)
	}
	dir := filepath.Dir(target)
	// Opened first: if this fails, nothing has happened yet.
	var d *os.File
	if err := at(OpenFolder, target, func() (err error) { d, err = os.Open(dir); return }); err != nil {
		return fail("open folder", err)
	}
	defer d.Close() // read-only: closing it can lose nothing

	var f *os.File
	if err := at(Create, target, func() (err error) { f, err = createTemp(dir, filepath.Base(target)); return }); err != nil {
		return fail("create temporary file", err)
	}
	renamed, closed := false, false
	defer func() { // runs on a panic in fn too
		if renamed {
			return
		}
		if !closed {
			_ = f.Close() // the file is about to be removed
		}
		if rmErr := os.Remove(f.Name()); rmErr != nil {
			err = errors.Join(err, fail("remove temporary file", rmErr))
		}
	}()

	if mode != 0 {
		if err := at(Chmod, target, func() error { return f.Chmod(mode) }); err != nil {
			return fail("set permissions", err)
		}
	}
	w := bufio.NewWriterSize(system{f, target}, bufferSize)
	if err := fn(w); err != nil {
		return fail("content", err)
	}
	if err := w.Flush(); err != nil {
		return fail("flush", err)
	}
	if err := at(Sync, target, f.Sync); err != nil {
		return fail("sync", err)
	}
	closed = true
	if err := at(Close, target, f.Close); err != nil {
		return fail("close", err)
	}
	if err := at(Rename, target, func() error { return os.Rename(f.Name(), target) }); err != nil {
		return fail("rename", err)
	}
	renamed = true
	if err := at(SyncFolder, target, func() error { return syncFolder(d) }); err != nil {
		return fail("sync folder", fmt.Errorf("%w: %w", ErrNotDurable, err))
	}
	return nil
}

// errChanged says that the file came or went between two looks at it.
var errChanged = errors.New("the file comes and goes")

// resolve follows symbolic links and returns the file to be replaced and its
// permissions, 0 where there is none yet.
func resolve(path string) (target string, mode fs.FileMode, err error) {
	for range maxLooks {
		if target, mode, err = look(path); !errors.Is(err, errChanged) {
			break
		}
	}
	return target, mode, err
}

// look is resolve, or errChanged where another writer made or removed the file meanwhile.
func look(path string) (target string, mode fs.FileMode, err error) {
	target, err = filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		link, lerr := os.Lstat(path)
		switch {
		case lerr == nil && link.Mode()&fs.ModeSymlink == 0:
			return "", 0, errChanged
		case lerr == nil:
			if _, serr := os.Stat(path); serr == nil {
				return "", 0, errChanged
			}
			// Replacing the link would hide that its target is missing, and
			// writing through it would create a file in an unexpected place.
			return "", 0, fmt.Errorf("%w: symbolic link to nothing", ErrNotRegular)
		case strings.HasSuffix(path, string(filepath.Separator)) || filepath.Base(path) == "." || filepath.Base(path) == "..":
			return "", 0, err
		}
		return path, 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	info, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, errChanged
	}
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, fmt.Errorf("%w: %s", ErrNotRegular, info.Mode().Type())
	}
	return target, info.Mode().Perm(), nil
}

// createTemp makes a file in dir under a name that nothing has. The names are
// counted, not drawn: O_EXCL is what makes them unique. os.CreateTemp is not used
// because its mode of 0600 would shut out the readers that the umask allows.
func createTemp(dir, base string) (*os.File, error) {
	if len(base) > maxBase {
		base = base[:maxBase]
	}
	for i := range maxAttempts {
		name := filepath.Join(dir, temporaryName(base, os.Getpid(), i))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%d names are taken: remove old .tmp files from %s", maxAttempts, dir)
}

// syncFolder makes the rename durable. Some file systems have no such call for
// folders and say so; there the rename is as durable as it can be.
func syncFolder(d *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	err := d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// SyncDir makes the names in a folder durable: that of a file which was made without
// Write, such as one that grows. It does nothing where the system has no such call.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("atomicfile: sync folder: %w", err)
	}
	if err := errors.Join(syncFolder(d), d.Close()); err != nil {
		return fmt.Errorf("atomicfile: sync folder: %w", err)
	}
	return nil
}
