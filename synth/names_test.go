package synth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

// Every kind of a mixture is found by both of its names, and the short ones differ.
func TestFind(t *testing.T) {
	m, seen := synth.DefaultMixture(), map[string]bool{}
	for _, k := range m.List() {
		for _, name := range []string{string(k), k.Short()} {
			got, ok := m.Find(name)
			require.True(t, ok, name)
			require.Equal(t, k, got)
		}
		require.False(t, seen[k.Short()])
		seen[k.Short()] = true
	}
	require.True(t, seen["patch"])
	_, ok := m.Find("mould")
	require.False(t, ok)
	_, ok = synth.Mixture{}.Find("")
	require.False(t, ok)
}

func TestFindAll(t *testing.T) {
	m := synth.DefaultMixture()
	all, err := m.FindAll(m.ShortNames()...)
	require.NoError(t, err)
	require.Equal(t, m.List(), all)
	none, err := m.FindAll()
	require.NoError(t, err)
	require.Nil(t, none)
	_, err = m.FindAll("scar", "mould")
	require.ErrorIs(t, err, synth.ErrSettings)
	require.ErrorContains(t, err, `no kind "mould" here, want one of nsa, patch, scar`)
}
