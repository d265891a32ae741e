package training_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
)

// Each short training is what its description says, for as long as it says unless it is asked for another time.
func TestShorts(t *testing.T) {
	objectives := map[string]tab.Objective{"dense": tab.DefaultDense(), "paper": tab.Paper()}
	twins := map[string]synth.Generator{"dense": synth.DefaultMixture(), "paper": synth.DefaultNSA()}
	require.Len(t, training.Shorts(0), len(objectives))
	for _, epochs := range []int{0, 1, 2} {
		for _, s := range training.Shorts(epochs) {
			require.NoError(t, s.Train.Validate(), s.Name)
			require.Equal(t, objectives[s.Name], s.Train.Objective, s.Name)
			require.Equal(t, twins[s.Name], s.Synth, s.Name)
			require.Equal(t, dataset.Transform{}, s.Train.Transform)
			require.Equal(t, 1, s.Train.Repeat)
			require.Zero(t, s.Train.Steps, "epochs decide")
			if epochs > 0 {
				require.Equal(t, epochs, s.Train.Epochs)
			} else {
				require.Greater(t, s.Train.Epochs, 2)
			}
			same, err := training.ShortOf(s.Name, epochs)
			require.NoError(t, err)
			require.Equal(t, s, same)
		}
	}
	require.Equal(t, "dense", training.Shorts(0)[0].Name)
	_, err := training.ShortOf("magic", 1)
	require.ErrorIs(t, err, training.ErrConfig)
	require.ErrorContains(t, err, "[dense paper]")
}
