package tab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
)

// counted are good images of classes a, b, c and so on, so many of each.
type counted []int

func (c counted) Len() (n int) {
	for _, each := range c {
		n += each
	}
	return n
}

func (c counted) Classes() (out []string) {
	for k := range c {
		out = append(out, string(rune('a'+k)))
	}
	return out
}

func (c counted) Item(i int) dataset.Item {
	k := 0
	for ; i >= c[k]; k++ {
		i -= c[k]
	}
	class := c.Classes()[k]
	return dataset.Item{Name: fmt.Sprint(class, i), Class: class, Label: dataset.LabelGood, Defect: dataset.Good}
}

func (counted) Sample(context.Context, int) (dataset.Sample, error) {
	return dataset.Sample{}, errors.ErrUnsupported
}

func feedOf(t *testing.T, ds counted, tied []string, repeat int, epoch int) *feed {
	t.Helper()
	cfg := Recommended()
	cfg.Tied, cfg.Repeat, cfg.Batch = tied, repeat, 2
	f, err := (&Pretrainer{cfg: cfg, classes: ds.Classes()}).newFeed(ds, epoch)
	require.NoError(t, err)
	return f
}

// Half of an epoch's places are those of tied classes, as many of each whatever their size; a class is not seen a second time
// before all of it was, and a large one is another part of itself in the next epoch.
func TestPlacesOfTiedClasses(t *testing.T) {
	ds := counted{30, 300, 7, 40} // b, c and d are tied
	f := feedOf(t, ds, []string{"b", "c", "d"}, 2, 0)
	require.Len(t, f.order, 2*2*30)
	seen := map[int]int{}
	perClass := map[string]int{}
	for _, i := range f.order {
		seen[i]++
		perClass[ds.Item(i).Class]++
	}
	require.Equal(t, map[string]int{"a": 60, "b": 20, "c": 20, "d": 20}, perClass)
	for i := range ds.Len() {
		switch ds.Item(i).Class {
		case "a":
			require.Equal(t, 2, seen[i])
		case "c":
			require.Contains(t, []int{2, 3}, seen[i])
		default:
			require.LessOrEqual(t, seen[i], 1)
		}
	}
	again := map[int]int{} // each of a large class once in as many epochs as it takes
	for epoch := range 15 {
		for _, i := range feedOf(t, ds, []string{"b", "c", "d"}, 2, epoch).order {
			again[i]++
		}
	}
	for i := range ds.Len() {
		if ds.Item(i).Class == "b" {
			require.Equal(t, 1, again[i])
		}
	}
	sorted := func(f *feed) []int { return slices.Sorted(slices.Values(f.order)) }
	require.Equal(t, f.order, feedOf(t, ds, []string{"b", "c", "d"}, 2, 0).order, "an epoch is what it is")
	require.NotEqual(t, sorted(f), sorted(feedOf(t, ds, []string{"b", "c", "d"}, 2, 1)))

	require.Len(t, feedOf(t, ds, nil, 1, 0).order, ds.Len())
	require.Len(t, feedOf(t, counted{30, 0, 7}, []string{"b", "c"}, 1, 0).order, 60, "a tied class without images has no places")
	require.Len(t, feedOf(t, counted{30, 0}, []string{"b"}, 1, 0).order, 30)
}

func TestTiedClassesThatMakeNoSense(t *testing.T) {
	cfg := Recommended()
	cfg.Tied, cfg.Batch = []string{"b"}, 2
	_, err := (&Pretrainer{cfg: cfg, classes: []string{"a", "b"}}).newFeed(counted{0, 30}, 0)
	require.ErrorContains(t, err, `there is no image of a class that is not tied (["b"] are)`)
	require.NoError(t, checkTied(nil, []string{"a"}))
	require.NoError(t, checkTied([]string{"b"}, []string{"a", "b"}))
	require.ErrorIs(t, checkTied([]string{"c"}, []string{"a", "b"}), ErrUnknownClass)
	require.ErrorContains(t, checkTied([]string{"b", "b"}, []string{"a", "b", "c"}), "each class once")
	require.ErrorContains(t, checkTied([]string{"b", "a"}, []string{"a", "b"}), "a class at least that is not tied")
	for name, o := range map[string]Objective{"nothing holds": DefaultAmplify(), "pooled": Paper(), "a part does not know": Mix{{1, DefaultKeep()}, {1, Paper()}}} {
		c := Recommended()
		c.Objective, c.Tied = o, []string{"b"}
		require.ErrorIs(t, c.Validate(), ErrConfig, name)
		require.ErrorContains(t, c.Validate(), "holds tied classes to the start", name)
	}
	c := Recommended()
	c.Tied = []string{"b"}
	require.NoError(t, c.Validate())
}

// What pushes does not see a tied pair, and what keeps sees all of its inner cells, damaged ones too.
func TestTiedPairsAreHeldAlone(t *testing.T) {
	testutil.NoLeak(t)
	tied := []bool{true, false, false}
	amplify := DefaultAmplify()
	focal := DefaultDense()
	focal.Count = DenseFocal
	rows := func(grad []float64, i int) []float64 { return grad[i*len(grad)/denseB : (i+1)*len(grad)/denseB] }
	zero := func(v []float64) bool { return !slices.ContainsFunc(v, func(x float64) bool { return x != 0 }) }
	for name, o := range map[string]Objective{"amplify": amplify, "dense": DefaultDense(), "focal": focal} {
		free, held := (&denseTrial{}).run(t, o, nil), (&denseTrial{tied: tied}).run(t, o, nil)
		for l := range denseGrid {
			if name != "amplify" { // whose good side has no gradient
				require.False(t, zero(rows(free.Normal[l], 0)), name)
				require.True(t, zero(rows(held.Normal[l], 0)), name)
				require.False(t, zero(rows(held.Normal[l], 1)), name)
			}
			require.False(t, zero(rows(free.Abnormal[l], 0)), name)
			require.True(t, held.Abnormal[l] == nil || zero(rows(held.Abnormal[l], 0)), name)
		}
		require.NotEqual(t, free.Loss, held.Loss, name)
	}
	keep := DefaultKeep()
	keep.Tail, keep.TiedWeight = 0, 10 // the tail's hundredth part alone has most of it
	free, held := (&denseTrial{}).run(t, keep, nil), (&denseTrial{tied: tied}).run(t, keep, nil)
	moved := func(v []float64) (n int) {
		for _, x := range v {
			if x != 0 {
				n++
			}
		}
		return n
	}
	for l := range denseGrid {
		require.Equal(t, moved(rows(held.Normal[l], 0)), moved(rows(held.Abnormal[l], 0)), "all inner cells of both twins")
		require.Less(t, moved(rows(free.Abnormal[l], 0)), moved(rows(held.Abnormal[l], 0)))
		require.Equal(t, moved(rows(free.Abnormal[l], 1)), moved(rows(held.Abnormal[l], 1)))
	}
	// They count so many times, whatever the others do.
	once := keep
	once.TiedWeight = 1
	single := (&denseTrial{tied: tied}).run(t, once, nil)
	for l := range denseGrid {
		for i, x := range single.Abnormal[l] {
			times := 1.0
			if i < len(single.Abnormal[l])/denseB {
				times = keep.TiedWeight
			}
			require.InDelta(t, times*x, held.Abnormal[l][i], 1e-5*(1+times*math.Abs(x)))
		}
	}
	zeroed := once
	zeroed.TiedWeight = 0
	require.Equal(t, single, (&denseTrial{tied: tied}).run(t, zeroed, nil), "0 is 1")
	unused := once
	unused.TiedWeight = 7
	require.Equal(t, free, (&denseTrial{}).run(t, unused, nil), "without tied pairs it changes nothing")

	// A batch of tied pairs alone has a loss all the same.
	for _, o := range []Objective{Mix{{1, amplify}, {1, DefaultKeep()}}, DefaultDense(), focal} {
		c := (&denseTrial{tied: []bool{true, true, true}}).run(t, o, nil)
		require.False(t, c.Loss != c.Loss, "not a number")
	}
}
