package wheels

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Lock creates the cache folder where it is missing and takes its lock; it waits, and says so on log, while another
// run holds it. The returned function gives it back.
func Lock(ctx context.Context, root string, log io.Writer) (unlock func() error, err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, cacheError(root, err)
	}
	f, err := os.OpenFile(filepath.Join(root, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, cacheError(root, err)
	}
	for said := false; ; {
		ok, err := tryLock(f)
		if err != nil {
			return nil, errors.Join(cacheError(root, fmt.Errorf("lock: %w", err)), f.Close())
		}
		if ok {
			return f.Close, nil
		}
		if !said {
			fmt.Fprintf(log, "libtorch: another run is at work in %s; waiting for it\n", root)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func cacheError(root string, err error) error {
	return fmt.Errorf("wheels: %w: %v; make %s writable or set TAB_CACHE to a folder that you can write", ErrCache, err, root)
}
