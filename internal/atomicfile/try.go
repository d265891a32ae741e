package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Try says, before the hours that lead to it, whether a file can be written: its folder is
// there and takes files, and the name is not a folder's. Nothing is left behind.
func Try(name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder; name a file", name)
	}
	dir := filepath.Dir(name)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("%s cannot be written, make its folder first: %w", name, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s cannot be written: %s is no folder", name, dir)
	}
	return TryFolder(dir)
}

// TryFolder says whether files can be made in a folder, which it makes if it is not there.
func TryFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("the folder for results cannot be made: %w", err)
	}
	f, err := os.CreateTemp(dir, ".writable-*.tmp")
	if err != nil {
		return fmt.Errorf("results cannot be written: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
