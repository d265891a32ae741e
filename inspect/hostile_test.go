package inspect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/internal/hostile"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound. The detector is a fake: what networks make of odd values is
// tried where they are.
func TestHostileArguments(t *testing.T) {
	b := fakeBundle(t)
	det := calibrated(t)
	within, err := inspect.Within(det, leftHalf())
	require.NoError(t, err)
	i, err := inspect.New(fakeBundle(t), inspect.DefaultConfig())
	require.NoError(t, err)
	t.Chdir(t.TempDir()) // for the files that are made
	j, err := inspect.OpenJournal("journal")
	require.NoError(t, err)
	r := hostile.Registry{
		Funcs: []any{
			inspect.Create, inspect.DecodedBy, inspect.DefaultConfig, inspect.JournalOf, inspect.New, inspect.OnDevice, inspect.Open, inspect.OpenEntries,
			inspect.OpenJournal, inspect.ReadJournal, inspect.WithAlarm, inspect.Within, inspect.WithoutMap,
		},
		Types: []any{
			new(inspect.Bundle), new(inspect.Config), new(inspect.Drift), new(inspect.Entry), new(inspect.Info), new(inspect.Inspector), new(inspect.Journal),
			new(inspect.Named), new(inspect.OpenOption), new(inspect.Option), new(inspect.Regional), new(inspect.Regions), new(inspect.Revision), new(inspect.Spec),
			new(inspect.Stats), new(inspect.Verdict), new(inspect.Word),
		},
		Values: []any{
			b, i, j, within, fakeSpec(), inspect.DefaultConfig(), leftHalf(), rightMasked(), entry(inspect.GoodAfterAll, "1"),
			[]inspect.Entry{entry(inspect.GoodAfterAll, "1")}, dataset.Dataset(set(t, greys(3))), inspect.Verdict{Product: "nut"},
			&inspect.Revision{Calibration: b.Calibration()}, b.Calibration(),
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 60)
}
