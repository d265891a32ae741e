package inputs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/gotab/gotab/dataset"
)

// Good opens the good images below a root, in MVTec AD's layout where there is one,
// else as one folder a class. What is passed over is written to notes. A root that is
// neither wraps dataset.ErrLayout.
func (f Flags) Good(root string, notes io.Writer) (dataset.Dataset, error) {
	ds, err := dataset.OpenMVTecAD(root, "", dataset.Train)
	if errors.Is(err, dataset.ErrLayout) {
		folders, ferr := dataset.OpenFolders(root)
		if ferr != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			return nil, fmt.Errorf("%w; nor is it one folder of pictures a class: %w", err, ferr)
		}
		ds, err = folders, nil
	}
	if err == nil {
		ds, err = ds.WithDecoder(f.Decoder())
	}
	if err != nil {
		return nil, err
	}
	for _, issue := range ds.Issues() {
		if _, err := fmt.Fprintf(notes, "note: %s: %s\n", root, issue); err != nil {
			return nil, err
		}
	}
	return dataset.Filter(ds, dataset.Item.IsGood), nil
}
