package drawn_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/internal/hostile"
)

func small() drawn.Config {
	return drawn.Config{Classes: []string{"leather", "steel washer"}, Size: 32, Seed: 5,
		Parts: []drawn.Part{{Split: dataset.Train, Good: 3}, {Split: dataset.Test, Good: 1, Each: 1, Balanced: true}}}
}

// The data set holds what was asked for, each image under its own name and with its truth.
func TestNew(t *testing.T) {
	c := small()
	ds, err := drawn.New(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, c.Classes, ds.Classes())
	count, names := map[string]int{}, map[string]bool{}
	for i := range ds.Len() {
		s, err := ds.Sample(t.Context(), i)
		require.NoError(t, err)
		require.False(t, names[s.Name])
		names[s.Name] = true
		require.Equal(t, 32, s.Image.Rect.Dx())
		require.Equal(t, s.IsDefective(), s.Mask != nil, s.Name)
		count[s.Class+" "+s.Split+" "+s.Label.String()]++
	}
	for _, class := range c.Classes {
		kinds, err := drawn.Defects(class)
		require.NoError(t, err)
		require.Equal(t, 3, count[class+" train good"])
		require.Equal(t, len(kinds), count[class+" test defective"])
		require.Equal(t, len(kinds)+1, count[class+" test good"])
	}
}

// An image depends on the seed and its name, and on nothing else that is drawn or on how many draw.
func TestAnImageDependsOnSeedAndName(t *testing.T) {
	all, err := drawn.New(t.Context(), small())
	require.NoError(t, err)
	few := small()
	few.Classes = few.Classes[1:]
	few.Parts = []drawn.Part{{Split: dataset.Test, Each: 1}}
	old := runtime.GOMAXPROCS(1)
	part, err := drawn.New(t.Context(), few)
	runtime.GOMAXPROCS(old)
	require.NoError(t, err)
	byName := map[string]dataset.Sample{}
	for i := range all.Len() {
		s, err := all.Sample(t.Context(), i)
		require.NoError(t, err)
		byName[s.Name] = s
	}
	for i := range part.Len() {
		s, err := part.Sample(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, byName[s.Name], s)
	}
	few.Seed++
	other, err := drawn.New(t.Context(), few)
	require.NoError(t, err)
	a, err := part.Sample(t.Context(), 0)
	require.NoError(t, err)
	b, err := other.Sample(t.Context(), 0)
	require.NoError(t, err)
	require.NotEqual(t, a.Image.Pix, b.Image.Pix)
}

func TestNewRefuses(t *testing.T) {
	require.NoError(t, drawn.Default().Validate())
	for name, c := range map[string]struct {
		change func(*drawn.Config)
		want   error
	}{
		"size":           {func(c *drawn.Config) { c.Size = 8 }, drawn.ErrSize},
		"class":          {func(c *drawn.Config) { c.Classes[0] = "cheese" }, drawn.ErrClass},
		"class twice":    {func(c *drawn.Config) { c.Classes[0] = c.Classes[1] }, drawn.ErrConfig},
		"split":          {func(c *drawn.Config) { c.Parts[0].Split = "" }, drawn.ErrConfig},
		"split twice":    {func(c *drawn.Config) { c.Parts[0].Split = c.Parts[1].Split }, drawn.ErrConfig},
		"negative":       {func(c *drawn.Config) { c.Parts[1].Each = -1 }, drawn.ErrConfig},
		"too many good":  {func(c *drawn.Config) { c.Parts[0].Good = 1 << 40 }, drawn.ErrSize},
		"too many each":  {func(c *drawn.Config) { c.Parts[1].Each = 1 << 62 }, drawn.ErrSize},
		"too many large": {func(c *drawn.Config) { c.Size, c.Parts[0].Good = drawn.MaxSize, 2000 }, drawn.ErrSize},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := small()
			c.change(&cfg)
			_, err := drawn.New(t.Context(), cfg)
			require.ErrorIs(t, err, c.want)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := drawn.New(ctx, small())
	require.True(t, errors.Is(err, context.Canceled))
}

// No argument of anything that this package exports makes it panic, hang or take memory without
// bound.
func TestHostileArguments(t *testing.T) {
	one := drawn.Config{Classes: []string{"leather"}, Size: 32, Parts: []drawn.Part{{Split: dataset.Train, Good: 1}}}
	r := hostile.Registry{
		Funcs:  []any{drawn.New, drawn.Default, drawn.Classes, drawn.Defects, drawn.Good, drawn.Damaged},
		Types:  []any{new(drawn.Config), new(drawn.Part), new(drawn.Drawing)},
		Values: []any{one, one.Parts[0]},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 60)
}
