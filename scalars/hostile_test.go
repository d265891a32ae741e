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
		Types:  []any{new(scalars.Events), new(scalars.CSV), new(scalars.Lines), new(scalars.Logs), new(scalars.Places)},
		Values: []any{e, scalars.Logs{e}},
		Skip: map[string]string{
			"OpenEvents":  "it would make folders of any name; NewEvents is what it is made of",
			"OpenLines":   "it would make files of any name; a test opens files of odd content",
			"Open":        "it is OpenCSV and OpenEvents",
			"Places.Try":  "it would make folders of any name; TestLogsOfTrainings calls it",
			"Places.Open": "it is Open",
			"OpenCSV":     "it would make files of any name; a fuzz test opens files of any content",
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}
