package dataset

import (
	"errors"
	"fmt"
	"io"
)

// OpenFile opens the file of sample i as it lies on the disk or in its archive, for sums and for what
// its head says. It follows data sets of this package to the one of files that they show. It returns an error that wraps
// errors.ErrUnsupported if the sample comes from no file of its own, [ErrIndex], or the file system's. The caller closes it.
func OpenFile(ds Dataset, i int) (io.ReadCloser, error) {
	if ds == nil {
		return nil, fmt.Errorf("dataset: open file: %w: the data set is nil", ErrConfig)
	}
	if i < 0 || i >= ds.Len() {
		return nil, indexError(i, ds.Len())
	}
	f, at := source(ds, i)
	if f == nil || at < 0 || at >= len(f.items) {
		return nil, fmt.Errorf("dataset: open file: %w: sample %s is no file", errors.ErrUnsupported, ds.Item(i).Name)
	}
	file, err := f.fsys.Open(f.items[at].Name)
	if err != nil {
		return nil, fmt.Errorf("dataset: open file: %w", err)
	}
	return file, nil
}
