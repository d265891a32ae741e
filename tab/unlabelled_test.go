package tab_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
)

// Pre-training takes no image that is not known to be good, and says which one it
// is and what to do.
func TestUnlabelledImagesAreNotPretrainedOn(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 4)
	items := dataset.Items(ds)
	var none dataset.Label
	items[5].Defect, items[5].Label = dataset.Unknown, none
	ds, err := dataset.Apply(ds, items)
	require.NoError(t, err)
	p := pretrainer(t, network(t), config())
	steps := 0
	for _, err = range p.Steps(t.Context(), ds) {
		if err != nil {
			break
		}
		steps++
	}
	require.Zero(t, steps)
	require.ErrorIs(t, err, tab.ErrConfig)
	require.ErrorContains(t, err, "steel/001")
	require.ErrorContains(t, err, "IsGood")
	_, err = p.Fit(t.Context(), ds)
	require.ErrorIs(t, err, tab.ErrConfig)
}
