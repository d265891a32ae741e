package scalars_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/scalars"
)

func TestHostileArguments(t *testing.T) {
	e, err := scalars.NewEvents(io.Discard, 0)
	require.NoError(t, err)
	r := hostile.Registry{
		Funcs:  []any{scalars.NewEvents},
		Types:  []any{new(scalars.Events), new(scalars.CSV)},
		Values: []any{e},
		Skip: map[string]string{
			"OpenEvents": "it would make folders of any name; NewEvents is what it is made of",
			"OpenCSV":    "it would make files of any name; a fuzz test opens files of any content",
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}
