package wheels

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// diskError adds what to do to failures of writing the cache; others pass unchanged.
func diskError(root string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("wheels: %w: %v; free some, or set TAB_CACHE to a folder on another disk", ErrSpace, err)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return cacheError(root, err)
	}
	return err
}
