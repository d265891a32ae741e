package prompt_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/prompt"
)

// No argument of anything that this package exports makes it panic, hang or take
// memory without bound.
func TestHostileArguments(t *testing.T) {
	r := hostile.Registry{
		Funcs: []any{
			prompt.DomainTemplates, prompt.Presets, prompt.DefaultIDPA, prompt.OfficialIDPA, prompt.Preset,
			prompt.WinCLIP,
		},
		Types: []any{
			new(prompt.IDPA), new(prompt.Naming),
		},
		Values: []any{
			prompt.DefaultIDPA(), prompt.WinCLIP(),
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}
