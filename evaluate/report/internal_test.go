package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

// scored is a class of n parts, every other one defective, with scores that overlap and tie.
func scored(seed uint64, n int) Class {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := Class{Name: "c", Detectors: []Detector{{Name: "d"}}}
	for i := range n {
		s := math.Round(10 * (rng.NormFloat64() + float64(i%2)))
		c.Samples = append(c.Samples, Sample{Defective: i%2 == 1})
		c.Detectors[0].Scores = append(c.Detectors[0].Scores, s/10)
	}
	return c
}

// Pictures lie below the folder of all, each in a place of its own, and are called as data sets call their images where
// that is a name.
func TestNamesOfPictures(t *testing.T) {
	taken, names := map[string]bool{}, pictureNames{}
	for _, c := range []struct{ image, kind, want string }{
		{"bottle/test/broken_large/000.png", "broken_large", "broken_large/000.png"},
		{"bottle/test/good/000.png", "good", "good/000.png"},
		{"端子/划.png", "cut", "cut/划.png"},
		{"a.b.tif", "cut", "cut/a.b.png"},
		{"x/1.png", "", "1.png"},
		{"other/000.png", "good", "good/other_000.png-"},
		{"other/000.jpg", "good", "good/other_000.jpg-"},
		{"other/000.png", "good", "good/other_000.png-"}, // twice
		{"A.B.png", "cut", "cut/A.B.png.png"},
		{"..", "..", "-"},
		{"/", "/", "_-"},
		{"", "../../x", "_.._x-"},
		{"a/.png", "cut", "cut/a_.png-"},
	} {
		got := names.next(dataset.Item{Name: c.image, Defect: c.kind})
		require.True(t, filepath.IsLocal(got), got)
		require.False(t, taken[got], got)
		taken[got] = true
		require.Equal(t, ".png", filepath.Ext(got))
		require.True(t, strings.HasPrefix(filepath.ToSlash(got), c.want), "%s of %s: %s", c.image, c.kind, got)
	}
}

// Under the curves lie the areas that the metrics name.
func TestCurvesHaveTheAreasOfTheMetrics(t *testing.T) {
	const tol = 1e-9 // sums of some hundred terms of at most 1e4 in double precision
	for seed := range uint64(5) {
		c := scored(seed, 101)
		scores, labels := c.Detectors[0].Scores, c.labels()
		curve, err := metrics.ROC(scores, labels)
		require.NoError(t, err)
		area := 0.0
		roc := rocPoints(curve)
		for i := 1; i < len(roc); i++ {
			area += (roc[i].X - roc[i-1].X) * (roc[i].Y + roc[i-1].Y) / 2
		}
		want, err := metrics.AUROC(scores, labels)
		require.NoError(t, err)
		require.InDelta(t, 1e4*want, area, tol*1e4)

		area = 0
		pr := recallPoints(curve, 50, 51)
		for i := 1; i < len(pr); i++ {
			area += (pr[i].X - pr[i-1].X) * pr[i].Y
		}
		want, err = metrics.AveragePrecision(scores, labels)
		require.NoError(t, err)
		require.InDelta(t, 1e4*want, area, tol*1e4)
	}
}

// No part is lost, and none is on the wrong side of the line.
func TestHistogramCountsEachPartOnItsSide(t *testing.T) {
	for seed := range uint64(20) {
		c := scored(seed, 60)
		det := c.Detectors[0]
		for _, threshold := range []float64{det.Scores[3], det.Scores[8], -7.3, 0.1, 9.9, math.Inf(1), math.Inf(-1)} {
			det.Threshold = threshold
			n := count(c, det)
			good, defective, shipped, missed := 0.0, 0.0, 0.0, 0.0
			for i := range n.good {
				good += n.good[i]
				defective += n.defective[i]
				if n.low+(float64(i)+0.5)*n.width < threshold {
					shipped += n.good[i]
					missed += n.defective[i]
				}
			}
			require.Equal(t, [2]float64{30, 30}, [2]float64{good, defective})
			if !finite(threshold) {
				continue
			}
			cut, err := det.cut(c)
			require.NoError(t, err)
			require.Equal(t, float64(cut.Missed), missed, "threshold %v", threshold)
			require.Equal(t, float64(cut.Good-cut.Overkilled), shipped, "threshold %v", threshold)
		}
	}
	same := Class{Samples: make([]Sample, 3), Detectors: []Detector{{Scores: []float64{5, 5, 5}, Threshold: 5}}}
	n := count(same, same.Detectors[0])
	require.Equal(t, 3.0, n.good[0])
}

func TestChoose(t *testing.T) {
	c := scored(1, 40)
	choose := func(c Class, g Gallery) []group { return g.choose(c.Samples, c.Detectors[0].Scores) }
	groups := choose(c, Gallery{Missed: 4, Alarms: 3, Typical: 5})
	require.Len(t, groups, 3)
	require.Len(t, groups[0].samples, 4)
	require.Len(t, groups[1].samples, 3)
	require.Len(t, groups[2].samples, 5)
	seen := map[int]bool{}
	for _, g := range groups {
		for _, i := range g.samples {
			require.False(t, seen[i], "sample %d is shown twice", i)
			seen[i] = true
		}
	}
	var parts []int
	for _, g := range groups {
		parts = append(parts, g.samples...)
	}
	require.Equal(t, parts, Gallery{Missed: 4, Alarms: 3, Typical: 5}.Parts(c.Samples, c.Detectors[0].Scores))
	require.Empty(t, choose(c, Gallery{}))
	// More than there are.
	all := choose(c, Gallery{Missed: 100, Alarms: 100, Typical: 100})
	require.Len(t, all, 2)
	require.Len(t, all[0].samples, 20)
	require.Len(t, all[1].samples, 20)
	// Of equal scores the earlier comes first.
	even := Class{Samples: []Sample{{Defective: true}, {Defective: true}, {}, {}}, Detectors: []Detector{{Scores: []float64{1, 1, 1, 1}}}}
	require.Equal(t, []int{0, 1}, choose(even, Gallery{Missed: 2})[0].samples)
	require.Equal(t, []int{2, 3}, choose(even, Gallery{Alarms: 2})[0].samples)

	require.Equal(t, []int{1, 4, 7}, spread([]int{0, 1, 2, 3, 4, 5, 6, 7, 8}, 3)) // the middles of three thirds
	require.Empty(t, spread(nil, 3))
}

func TestPanelsFitSideBySide(t *testing.T) {
	for n, want := range map[int]int{4: 4, 5: 5, 6: 6, 7: 4, 8: 4, 9: 5, 11: 6, 13: 5} {
		require.Equal(t, want, columns(n), n)
		require.Contains(t, pageText, fmt.Sprintf(".of%d {", want))
	}
}

func TestLineIsCalledWhatItIs(t *testing.T) {
	d := Detector{Threshold: 5, Line: 5, Scale: heatmap.Scale{Low: 2, High: 9}}
	require.Equal(t, "at the threshold", d.lineIs())
	d.Line = 2
	require.Equal(t, "where they begin, which is no threshold", d.lineIs())
	d.Line = 3
	require.Equal(t, "at 3, which is no threshold", d.lineIs())
}

func TestTicks(t *testing.T) {
	labels := func(low, high float64) (out []string) {
		for _, tick := range ticks(low, high) {
			require.GreaterOrEqual(t, tick.Value, low)
			require.LessOrEqual(t, tick.Value, high)
			out = append(out, tick.Label)
		}
		return out
	}
	require.Equal(t, []string{"0", "20", "40", "60", "80", "100"}, labels(0, 100))
	require.Equal(t, []string{"12", "14", "16", "18", "20", "22"}, labels(10.1, 23))
	require.Equal(t, []string{"-0.2", "0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}, labels(-0.31, 1.1))
	require.Equal(t, []string{"10000.04", "10000.06", "10000.08", "10000.10", "10000.12", "10000.14"}, labels(10000.035, 10000.15))
	for _, r := range [][2]float64{{1e17, 1e17 + 64}, {-1e300, 1e300}, {0, 5e-324}} {
		require.LessOrEqual(t, len(ticks(r[0], r[1])), 10)
	}
	for _, tick := range counted(-3, 4.5) {
		require.NotContains(t, tick.Label, "-")
		require.NotContains(t, tick.Label, ".")
	}
}

func TestFolders(t *testing.T) {
	w, err := Create(t.TempDir(), Head{Title: "t"})
	require.NoError(t, err)
	defer w.Close()
	var got []string
	for _, n := range []string{"a", "A", "a b", "a-b", "..", "", "table.csv", "Über", "x/y"} {
		got = append(got, w.folder(n))
		w.taken[strings.ToLower(got[len(got)-1])] = true
	}
	require.Equal(t, []string{"a", "A-2", "a-b", "a-b-2", "unnamed", "unnamed-2", "table.csv-2", "-ber", "x-y"}, got)
	require.Len(t, slug(string(make([]byte, 300))), 64)
}
