package training_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
)

func TestDifferences(t *testing.T) {
	asked := func() tab.Config { return tab.DefaultConfig() }
	require.Empty(t, training.Differences(asked(), asked()))
	for setting, change := range map[string]func(*tab.Config){
		"Epochs": func(c *tab.Config) { c.Epochs++ }, "Batch": func(c *tab.Config) { c.Batch++ }, "LR": func(c *tab.Config) { c.LR *= 2 },
		"Repeat": func(c *tab.Config) { c.Repeat++ }, "Seed": func(c *tab.Config) { c.Seed++ }, "Precision": func(c *tab.Config) { c.Precision++ },
		"ProbeEvery": func(c *tab.Config) { c.ProbeEvery++ }, "Transform": func(c *tab.Config) { c.Transform = dataset.Square(9) },
		"Stages": func(c *tab.Config) { c.HeadFirst(3) }, "Steps": func(c *tab.Config) { c.Steps++ }, "Crop": func(c *tab.Config) { c.Crop++ },
		"Schedule.WarmupSteps": func(c *tab.Config) { c.Schedule.WarmupSteps++ },
	} {
		has := asked()
		change(&has)
		d := training.Differences(asked(), has)
		require.Len(t, d, 1, setting)
		require.Equal(t, setting, d[0].Setting)
		require.NotEqual(t, d[0].Asked, d[0].Has)
	}
	// Another objective has another name and other settings; the same one with other settings has its name.
	one, other := asked(), asked()
	dense := tab.DefaultDense()
	one.Objective = dense
	dense.Scale *= 2
	other.Objective = dense
	d := training.Differences(one, other)
	require.Len(t, d, 1)
	require.Equal(t, "Objective", d[0].Setting)
	other.Objective = nil
	require.Len(t, training.Differences(one, other), 2)
}
