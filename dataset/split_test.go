package dataset_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// manyItems are good and bad pictures of classes of uneven sizes, all in train,
// but for some in test.
func manyItems(n int) []dataset.Item {
	rng := rand.New(rand.NewPCG(5, 6))
	var out []dataset.Item
	for i := range n {
		it := dataset.Item{Name: fmt.Sprintf("%04d.png", i), Class: []string{"a", "a", "a", "b", "c"}[rng.IntN(5)], Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}
		switch rng.IntN(10) {
		case 0:
			it.Split = dataset.Test
		case 1:
			it.Defect, it.Label = "cut", dataset.LabelDefective
		}
		out = append(out, it)
	}
	return out
}

func count(items []dataset.Item, keep func(dataset.Item) bool) (n int) {
	for _, it := range items {
		if keep(it) {
			n++
		}
	}
	return n
}

func TestSplitDefaults(t *testing.T) {
	items := manyItems(1000)
	got, err := dataset.DefaultSplit().Assign(items, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	for i, it := range got {
		was := items[i]
		if was.Split == dataset.Test {
			require.Equal(t, was, it, "a test image was moved")
		}
		if was.IsDefective() {
			require.Equal(t, dataset.Test, it.Split)
		}
		it.Split = was.Split
		require.Equal(t, was, it, "more than the split was changed")
	}
	for _, class := range []string{"a", "b", "c"} {
		in := func(split string) int {
			return count(got, func(it dataset.Item) bool { return it.Class == class && it.Split == split && it.IsGood() })
		}
		n := count(items, func(it dataset.Item) bool { return it.Class == class && it.Split == dataset.Train && it.IsGood() })
		require.LessOrEqual(t, math.Abs(float64(in(dataset.Train))-0.8*float64(n)), 1.0)
		require.Equal(t, n, in(dataset.Train)+in(dataset.Validation))
	}
}

func TestSplitIsSeeded(t *testing.T) {
	items := manyItems(300)
	c := dataset.DefaultSplit()
	one, err := c.Assign(items, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	two, err := c.Assign(items, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.Equal(t, one, two)
	other, err := c.Assign(items, rand.New(rand.NewPCG(2, 1)))
	require.NoError(t, err)
	require.NotEqual(t, one, other)
	// The order of the items changes nothing.
	perm := rand.New(rand.NewPCG(8, 8)).Perm(len(items))
	jumbled := make([]dataset.Item, len(items))
	for i, j := range perm {
		jumbled[i] = items[j]
	}
	got, err := c.Assign(jumbled, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	slices.SortFunc(got, func(a, b dataset.Item) int { return strings.Compare(a.Name, b.Name) })
	require.Equal(t, one, got)
	// Saved and read again.
	var buf bytes.Buffer
	require.NoError(t, dataset.WriteManifest(&buf, one))
	back, err := dataset.ReadManifest(&buf)
	require.NoError(t, err)
	require.Equal(t, one, back)
}

func TestSplitKeepsGroupsTogether(t *testing.T) {
	items := manyItems(600)
	for i := range items {
		items[i].Group = fmt.Sprint("part", i/7)
	}
	c := dataset.SplitConfig{Parts: []dataset.Part{{Name: "x", Fraction: 0.5}, {Name: "y", Fraction: 0.3}, {Name: "z", Fraction: 0.2}}, From: []string{dataset.Train, dataset.Test}}
	check := func(group func(dataset.Item) string) []dataset.Item {
		got, err := c.Assign(items, rand.New(rand.NewPCG(3, 1)))
		require.NoError(t, err)
		side := map[string]string{}
		for _, it := range got {
			key := it.Class + "/" + group(it)
			if s, ok := side[key]; ok {
				require.Equal(t, s, it.Split, key)
			}
			side[key] = it.Split
		}
		return got
	}
	got := check(func(it dataset.Item) string { return it.Group })
	for _, p := range c.Parts {
		n := count(got, func(it dataset.Item) bool { return it.Split == p.Name })
		require.InDelta(t, p.Fraction*600, n, 7, p.Name) // one group
	}
	c.Group = func(it dataset.Item) string { return it.Name[:3] } // tens
	check(c.Group)
	// One defect makes its group defective.
	c.Defects = "bad"
	got = check(c.Group)
	for i, it := range items {
		if it.IsDefective() {
			require.Equal(t, "bad", got[i].Split)
		}
	}
}

// Many strata of one picture each still give every side its share.
func TestSplitOfTinyStrata(t *testing.T) {
	var items []dataset.Item
	for i := range 100 {
		items = append(items, dataset.Item{Name: fmt.Sprint(i), Class: fmt.Sprint("class", i), Defect: dataset.Good, Label: dataset.LabelGood})
	}
	got, err := dataset.DefaultSplit().Assign(items, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.InDelta(t, 20, count(got, func(it dataset.Item) bool { return it.Split == dataset.Validation }), 1)
}

func TestSplitErrors(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	items := manyItems(20)
	for says, change := range map[string]func(*dataset.SplitConfig){
		"sum to":   func(c *dataset.SplitConfig) { c.Parts = nil },
		"sum to 1": func(c *dataset.SplitConfig) { c.Parts[0].Fraction = 0.9 },
		"above 0":  func(c *dataset.SplitConfig) { c.Parts[0].Fraction = math.NaN() },
		"a name":   func(c *dataset.SplitConfig) { c.Parts[0].Name = "" },
		"twice":    func(c *dataset.SplitConfig) { c.Parts[1].Name = dataset.Train },
		"From":     func(c *dataset.SplitConfig) { c.From = nil },
		"gets no":  func(c *dataset.SplitConfig) { c.From = []string{"nowhere"} },
	} {
		c := dataset.DefaultSplit()
		change(&c)
		_, err := c.Assign(items, rng)
		require.ErrorIs(t, err, dataset.ErrConfig, says)
		require.ErrorContains(t, err, says)
	}
	_, err := dataset.DefaultSplit().Assign(items, nil)
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.DefaultSplit().Assign(append(items, items[0]), rng)
	require.ErrorContains(t, err, "comes twice")
}

func TestSupport(t *testing.T) {
	items := manyItems(300)
	got, err := dataset.Support(items, 4, nil, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.Len(t, got, 12)
	for _, class := range []string{"a", "b", "c"} {
		require.Equal(t, 4, count(got, func(it dataset.Item) bool { return it.Class == class && it.IsGood() && it.Split == dataset.Train }))
	}
	slices.Reverse(items)
	again, err := dataset.Support(items, 4, nil, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	slices.Reverse(again)
	require.Equal(t, got, again)
	other, err := dataset.Support(items, 4, nil, rand.New(rand.NewPCG(2, 1)))
	require.NoError(t, err)
	require.NotEqual(t, again, other)
	_, err = dataset.Support(items, 250, nil, rand.New(rand.NewPCG(1, 1)))
	require.ErrorIs(t, err, dataset.ErrConfig)
	require.ErrorContains(t, err, `class "a" has`)
	_, err = dataset.Support(items, 0, nil, rand.New(rand.NewPCG(1, 1)))
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.Support(items, 1, nil, nil)
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = dataset.Support(append(items, dataset.Item{Name: "x", Class: "d", Split: dataset.Test, Defect: dataset.Good, Label: dataset.LabelGood}), 1, nil, rand.New(rand.NewPCG(1, 1)))
	require.ErrorContains(t, err, `class "d" has 0`, "a test image is no support")
}
