package evaluate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestSeedsGiveMeanAndDeviation(t *testing.T) {
	var rs []Record
	mean, low, squares := 0.0, 0.0, 0.0
	for _, n := range []uint64{9, 1, 5} {
		r := dark(t, newDark(), "alpha", true, n).Record
		rs = append(rs, r)
		mean, low = mean+*r.PixelAUROC/3, low+r.Intervals[PixelAUROC].Low/3
	}
	for _, r := range rs {
		squares += (*r.PixelAUROC - mean) * (*r.PixelAUROC - mean)
	}
	require.Greater(t, squares, 1e-8, "seeds make no difference")
	all := Summarize(rs)
	require.Len(t, all, 1)
	require.Equal(t, []string{"1", "5", "9"}, all[0].Seeds())
	f, ok, err := all[0].Figure(PixelAUROC)
	require.NoError(t, err)
	require.True(t, ok)
	require.InDelta(t, mean, f.Value, 1e-12)
	require.InDelta(t, math.Sqrt(squares/2), f.Spread.Deviation, 1e-12)
	require.InDelta(t, low, f.Interval.Low, 1e-12)
	require.Contains(t, f.Interval.Method, "averaged over seeds")
	require.Equal(t, 3, f.Protocol.Seeds)
	_, ok, err = (&Summary{}).Figure(PixelAUROC)
	require.NoError(t, err)
	require.False(t, ok, "there is no record")
}

// The mean over classes deviates as the means of the seeds do.
func TestMeanOverClasses(t *testing.T) {
	values := map[string][2]float64{"a": {0.8, 0.9}, "b": {0.9, 0.8}}
	var rs []Record
	for class, v := range values {
		for i, seed := range []string{"1", "2"} {
			r := made(class, seed)
			r.ImageAUROC = v[i]
			rs = append(rs, r)
		}
	}
	all := Settings(Summarize(rs))
	require.Len(t, all, 1)
	f, of, err := all[0].Mean(ImageAUROC)
	require.NoError(t, err)
	require.Equal(t, 2, of)
	require.InDelta(t, 0.85, f.Value, 1e-12)
	require.InDelta(t, 0, f.Spread.Deviation, 1e-12, "what a seed takes from one class it gives to the other")
	_, of, err = all[0].Mean(AUPRO)
	require.NoError(t, err)
	require.Zero(t, of)
	all[0].Classes[1].Records = all[0].Classes[1].Records[:1]
	_, _, err = all[0].Mean(ImageAUROC)
	require.ErrorIs(t, err, ErrConfig)
}

// A class whose images have changed is in a file twice, and in no mean twice.
func TestAClassIsOnceInASetting(t *testing.T) {
	var rs []Record
	for _, v := range []struct {
		class, hash string
		auroc       float64
	}{{"a", "old", 0.5}, {"b", "b", 0.75}, {"a", "new", 1}} {
		r := made(v.class, "1")
		r.Hash, r.ImageAUROC = v.hash, v.auroc
		rs = append(rs, r)
	}
	other := made("a", "1") // another data set
	other.Data, other.ImageAUROC = "more", 1
	all := Settings(Summarize(append(rs, other)))
	require.Len(t, all, 2)
	require.Len(t, all[0].Classes, 3)
	f, of, err := all[0].Mean(ImageAUROC)
	require.NoError(t, err)
	require.Equal(t, 3, of)
	require.InDelta(t, (0.5+0.75+1)/3, f.Value, 1e-12)
	require.Equal(t, "new", all[1].Classes[0].Records[0].Hash)
}

// Differences are of the seeds that both sides have with the figure.
func TestCellsOfTheSameSeeds(t *testing.T) {
	pixels := func(r Record) Record { r.PixelAUROC = &r.ImageAUROC; return r }
	failed := made("a", "3")
	failed.Failed = "no luck"
	c, base := Cell{made("a", "1"), pixels(made("a", "2")), failed}, Cell{pixels(made("a", "1")), pixels(made("a", "2")), made("a", "3"), made("a", "4")}
	own, of := c.SameSeeds(base, ImageAUROC)
	require.Equal(t, c[:2], own)
	require.Equal(t, base[:2], of)
	own, of = c.SameSeeds(base, PixelAUROC)
	require.Equal(t, c[1:2], own)
	require.Equal(t, base[1:2], of)
	own, of = c.SameSeeds(nil, ImageAUROC)
	require.Empty(t, own)
	require.Empty(t, of)
}

// outcome is one with made-up scores of eight defects and twelve good images.
func outcome(seed uint64, shift float64) *Outcome {
	rng := Seed{Number: seed}.Rand()
	common := Seed{Number: 77}.Rand() // what is hard about an image is so for every detector
	o := &Outcome{Record: made("alpha", "1")}
	for i := range 20 {
		o.Items = append(o.Items, itemOf(i))
		o.Defective = append(o.Defective, i < 8)
		v := 2*common.NormFloat64() + 0.1*rng.NormFloat64()
		if i < 8 {
			v += shift
		}
		o.Scores = append(o.Scores, v)
	}
	return o
}

func TestComparePairsImages(t *testing.T) {
	cfg := metrics.BootstrapConfig{Resamples: 300, Level: 0.95}
	a, b := outcome(1, 1), outcome(2, 2)
	ds, err := Compare(t.Context(), []Pair{{A: []*Outcome{a}, B: []*Outcome{b}}}, cfg, drawn())
	require.NoError(t, err)
	require.Len(t, ds, 2)
	d := ds[0]
	require.Equal(t, ImageAUROC, d.Figure)
	x, err := metrics.AUROC(a.Scores, a.Defective)
	require.NoError(t, err)
	y, err := metrics.AUROC(b.Scores, b.Defective)
	require.NoError(t, err)
	require.Equal(t, [2]float64{x, y}, [2]float64{d.A, d.B})
	require.InDelta(t, y-x, d.Interval.Value, 1e-12)
	want, err := metrics.DeLongTest(b.Scores, a.Scores, a.Defective, 0.95)
	require.NoError(t, err)
	require.Equal(t, want, *d.Test)
	// On separate images the two intervals would be far longer.
	single, err := metrics.DeLong(a.Scores, a.Defective, 0.95)
	require.NoError(t, err)
	require.Less(t, d.Interval.High-d.Interval.Low, single.High-single.Low)
	require.InDelta(t, want.Difference.High-want.Difference.Low, d.Interval.High-d.Interval.Low, 0.1)
	require.Equal(t, ImageAP, ds[1].Figure)
	require.Nil(t, ds[1].Test)

	same, err := Compare(t.Context(), []Pair{{A: []*Outcome{a}, B: []*Outcome{a}}}, cfg, drawn())
	require.NoError(t, err)
	require.Equal(t, [3]float64{0, 0, 0}, [3]float64{same[0].Interval.Value, same[0].Interval.Low, same[0].Interval.High})
}

// Of two classes with two seeds the difference is the mean of all.
func TestCompareOverSeedsAndClasses(t *testing.T) {
	cfg := metrics.BootstrapConfig{Resamples: 50, Level: 0.95}
	one := Pair{A: []*Outcome{outcome(1, 1), outcome(2, 1)}, B: []*Outcome{outcome(3, 2)}}
	two := Pair{A: []*Outcome{outcome(4, 1)}, B: []*Outcome{outcome(5, 1), outcome(6, 1)}}
	ds, err := Compare(t.Context(), []Pair{one, two}, cfg, drawn())
	require.NoError(t, err)
	value := func(o *Outcome) float64 {
		v, err := metrics.AUROC(o.Scores, o.Defective)
		require.NoError(t, err)
		return v
	}
	a := ((value(one.A[0])+value(one.A[1]))/2 + value(two.A[0])) / 2
	b := (value(one.B[0]) + (value(two.B[0])+value(two.B[1]))/2) / 2
	require.InDelta(t, a, ds[0].A, 1e-12)
	require.InDelta(t, b, ds[0].B, 1e-12)
	require.InDelta(t, b-a, ds[0].Interval.Value, 1e-12)
	require.Nil(t, ds[0].Test)
	again, err := Compare(t.Context(), []Pair{one, two}, cfg, drawn())
	require.NoError(t, err)
	require.Equal(t, ds, again)

	other := outcome(1, 1)
	other.Items[3].Name = "x"
	for name, c := range map[string]struct {
		pair Pair
		is   error
	}{
		"other images": {Pair{A: []*Outcome{outcome(1, 1)}, B: []*Outcome{other}}, ErrPairs},
		"none":         {Pair{A: []*Outcome{outcome(1, 1)}}, ErrConfig},
		"nil":          {Pair{A: []*Outcome{outcome(1, 1)}, B: []*Outcome{nil}}, ErrConfig},
		"half":         {Pair{A: []*Outcome{outcome(1, 1)}, B: []*Outcome{{Items: other.Items}}}, ErrConfig},
	} {
		_, err := Compare(t.Context(), []Pair{c.pair}, cfg, drawn())
		require.ErrorIs(t, err, c.is, name)
	}
	_, err = Compare(t.Context(), nil, cfg, drawn())
	require.ErrorIs(t, err, ErrConfig)
}

func drawn() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }

// The area by pairs is that by sorting, of drawn images with ties too.
func TestAreasByPairs(t *testing.T) {
	rng := drawn()
	side := func(n int) (out []*Outcome) {
		for range n {
			o := outcome(1, 1)
			for i := range o.Scores {
				o.Scores[i] = float64(rng.IntN(6))
			}
			out = append(out, o)
		}
		return out
	}
	p := Pair{A: side(3), B: side(2)}
	slow := p.difference(metrics.AUROC)
	fast := p.areas(nil)
	for range 20 {
		var images []int
		for range 8 {
			images = append(images, rng.IntN(8))
		}
		for range 12 {
			images = append(images, 8+rng.IntN(12))
		}
		a, err := slow(images)
		require.NoError(t, err)
		b, err := fast(images)
		require.NoError(t, err)
		require.InDelta(t, a, b, 1e-12)
	}
}

// Records with scores compare as their outcomes do, and Error is the deviation that the
// interval of a nearly normal difference has.
func TestCellsOfRecords(t *testing.T) {
	cfg := metrics.BootstrapConfig{Resamples: 2000, Level: 0.95}
	record := func(seed uint64, shift float64, training uint64) Record {
		o := outcome(seed, shift)
		r := o.Record
		var err error
		r.ImageAUROC, err = metrics.AUROC(o.Scores, o.Defective)
		require.NoError(t, err)
		r.Images, err = newImages(o.Items, o.Scores, o.Defective)
		require.NoError(t, err)
		r.Training = &Training{Name: "a", Seed: training, Share: 1}
		require.NoError(t, r.Validate())
		return r
	}
	base, cell := Cell{record(1, 1, 0)}, Cell{record(2, 2, 1), record(3, 2, 1), record(4, 2, 2), record(5, 2, 2)}
	d, ok, err := cell.Over(t.Context(), base, cfg, drawn())
	require.NoError(t, err)
	require.True(t, ok)
	want, err := Compare(t.Context(), []Pair{{A: []*Outcome{outcome(1, 1)}, B: []*Outcome{outcome(2, 2), outcome(3, 2), outcome(4, 2), outcome(5, 2)}}}, cfg, drawn(), ImageAUROC)
	require.NoError(t, err)
	require.Equal(t, want[0], d)
	require.InDelta(t, d.Interval.High-d.Interval.Low, 2*1.96*d.Error, 0.2*d.Error)
	m, ok := cell.Mean(ImageAUROC)
	require.True(t, ok)
	require.InDelta(t, d.B, m, 1e-12)
	_, ok = cell.Mean(PixelAUROC)
	require.False(t, ok)

	trainings, seeds, err := cell.Deviations(ImageAUROC)
	require.NoError(t, err)
	v := func(i int) float64 { return cell[i].ImageAUROC }
	require.InDelta(t, math.Abs((v(0)+v(1))/2-(v(2)+v(3))/2)/math.Sqrt2, trainings, 1e-12)
	require.InDelta(t, math.Sqrt(((v(0)-v(1))*(v(0)-v(1))+(v(2)-v(3))*(v(2)-v(3)))/4), seeds, 1e-12)
	mean, e := MeanOf([]Difference{d, d})
	require.InDelta(t, d.B-d.A, mean, 1e-12)
	require.InDelta(t, d.Error/math.Sqrt2, e, 1e-12)

	_, ok, err = cell.Over(t.Context(), nil, cfg, drawn())
	require.NoError(t, err)
	require.False(t, ok)
	bare := record(1, 1, 0)
	bare.Images = nil
	_, _, err = cell.Over(t.Context(), Cell{bare}, cfg, drawn())
	require.ErrorIs(t, err, ErrConfig)
	other := record(1, 1, 0)
	other.Images.SHA256 = "of others"
	_, _, err = cell.Over(t.Context(), Cell{other}, cfg, drawn())
	require.ErrorIs(t, err, ErrPairs)
	other.Images.SHA256 = "" // a program that did not keep it
	_, _, err = cell.Over(t.Context(), Cell{other}, cfg, drawn())
	require.NoError(t, err)
	_, err = Compare(t.Context(), []Pair{{A: []*Outcome{outcome(1, 1)}, B: []*Outcome{outcome(2, 2)}}}, cfg, drawn(), AUPRO)
	require.ErrorIs(t, err, ErrConfig)
}

// What could not be read again is not taken.
func TestRecordsThatAreTooLong(t *testing.T) {
	s, err := OpenStore("", false)
	require.NoError(t, err)
	r := made("alpha", "1")
	n := maxLine / 10
	r.Images = &Images{Scores: make([]float64, n), Defective: make([]bool, n)}
	for i := range r.Images.Scores {
		r.Images.Scores[i] = 1.25
	}
	require.ErrorIs(t, s.Add(r), ErrRecords)
	require.Empty(t, s.Records())
}

// A trial that failed is kept, and counts nowhere.
func TestFailedRecords(t *testing.T) {
	s, err := OpenStore("", false)
	require.NoError(t, err)
	f := Record{Version: RecordVersion, Class: "alpha", Method: "dark", Seed: "1", Hash: "x", Failed: "no luck"}
	require.NoError(t, s.Add(f))
	_, ok := s.Find(f.Key())
	require.False(t, ok)
	require.Len(t, s.Records(), 1)
	require.Empty(t, Summarize(s.Records()))
	_, ok = Cell(s.Records()).Mean(ImageAUROC)
	require.False(t, ok)
	done := f
	done.Failed = ""
	require.ErrorIs(t, s.Add(done), ErrRecords, "without figures and without a reason it is none")
}

func TestScoresAreKeptAndPixelsLeftOutOnDemand(t *testing.T) {
	f := newDark()
	train, test := plates(t, "alpha", true)
	o, err := Run(t.Context(), f.trial(train, test), WithScores(), WithoutPixels())
	require.NoError(t, err)
	require.Nil(t, o.Record.PixelAUROC)
	require.Equal(t, o.Scores, o.Record.Images.Scores)
	require.Equal(t, o.Defective, o.Record.Images.Defective)
	require.Len(t, o.Record.Images.SHA256, 64)
	with, err := Run(t.Context(), f.trial(train, test))
	require.NoError(t, err)
	require.NotNil(t, with.Record.PixelAUROC)
	require.Nil(t, with.Record.Images)
	require.Equal(t, with.Record.Key(), o.Record.Key())
}
