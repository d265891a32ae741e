package inspect_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
)

// A line that reads files of 12 bits as the fit did gets the scores of the fit.
func TestPicturesAreReadAsInTheFit(t *testing.T) {
	net := network(t)
	cfg := tinyConfig()
	cfg.Transform.Bits16 = 12
	p, err := downstream.NewPaDiM(net, cfg, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	require.NoError(t, p.Fit(t.Context(), set(t, plates(20, 1))))
	regional, err := inspect.Within(p, inspect.Regions{Ignore: []dataset.Rect{{MaxX: 0.1, MaxY: 0.1}}})
	require.NoError(t, err)
	_, err = regional.Calibrate(t.Context(), set(t, plates(20, 2)), metrics.Overkill(0.1))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "plate.gotab")
	require.NoError(t, inspect.Create(t.Context(), path, regional, realSpec(net)))
	b, err := inspect.Open(t.Context(), path)
	require.NoError(t, err)
	want := dataset.DefaultDecoder()
	want.Bits16 = 12
	require.Equal(t, want, b.Decoder())
	i, err := inspect.New(b, inspect.DefaultConfig())
	require.NoError(t, err)
	require.Equal(t, want, i.Decoder())
	// A picture that was read for a bundle of other bits is not judged, and counts as nothing.
	img := plates(1, 4)[0]
	_, err = i.Inspect(inspect.DecodedBy(t.Context(), dataset.DefaultDecoder()), img)
	require.ErrorIs(t, err, inspect.ErrReplaced)
	require.Equal(t, inspect.Stats{}, counted(i.Stats()))
	_, err = i.InspectAll(inspect.DecodedBy(t.Context(), i.Decoder()), img, img)
	require.NoError(t, err)
	require.Equal(t, uint64(2), i.Stats().Accepted+i.Stats().Rejected)
	require.NoError(t, i.Close())
}

// counted are the counters alone.
func counted(s inspect.Stats) inspect.Stats {
	s.Drift = inspect.Drift{}
	return s
}
