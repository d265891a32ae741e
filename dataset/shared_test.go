package dataset_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// TestRealData reads the real data sets beside the checkout, where there are
// any: every 29th picture of the test split goes through the loader.
func TestRealData(t *testing.T) {
	for _, root := range []string{"../../shared/data/paper", "../../shared/data/industrial"} {
		if _, err := os.Stat(root); err != nil {
			t.Skipf("no real data at %s", root)
		}
		ds, err := dataset.OpenMVTecAD(root, "", dataset.Test)
		require.NoError(t, err)
		require.NotZero(t, ds.Len())
		for _, issue := range ds.Issues() {
			require.Equal(t, "README.md", issue.Name, issue.Reason)
		}
		l, err := dataset.NewLoader(ds, dataset.DefaultLoader())
		require.NoError(t, err)
		var order []int
		for i := 0; i < ds.Len(); i += 29 {
			order = append(order, i)
		}
		n, masks := 0, 0
		for b, err := range l.Batches(t.Context(), order) {
			require.NoError(t, err)
			require.Equal(t, 224, b.H)
			require.Equal(t, 224, b.W)
			for i, m := range b.Masks {
				require.Equal(t, b.Items[i].MaskName != "", m != nil)
				if m != nil {
					require.True(t, b.Items[i].IsDefective())
					masks++
				}
			}
			n += b.N
		}
		require.Len(t, order, n)
		require.NotZero(t, masks)
	}
}
