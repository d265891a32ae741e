package downstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

// detectorsOf are makers of the five detectors, none fitted, RegAD trained.
func detectorsOf(t *testing.T) map[string]func() resettable {
	out := make(map[string]func() resettable)
	for name, make := range subjects() {
		if _, ok := make(t).learner.(resettable); ok {
			out[name] = func() resettable { return make(t).learner.(resettable) }
		}
	}
	require.Len(t, out, 5)
	return out
}

// parts are labelled images: good ones and scratched ones.
func parts(t testing.TB, good, bad []image.Image) *dataset.Memory {
	t.Helper()
	var samples []dataset.Sample
	for i, img := range good {
		samples = append(samples, dataset.Sample{Item: dataset.Item{Name: fmt.Sprint("good/", i), Class: "texture", Split: dataset.Test,
			Defect: dataset.Good, Label: dataset.LabelGood}, Image: img.(*image.RGBA)})
	}
	for i, img := range bad {
		samples = append(samples, dataset.Sample{Item: dataset.Item{Name: fmt.Sprint("scratch/", i), Class: "texture", Split: dataset.Test,
			Defect: "scratch", Label: dataset.LabelDefective}, Image: scratched(img).(*image.RGBA)})
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	return ds
}

// requireCalibration holds what d has against want, which may be nil.
func requireCalibration(t *testing.T, d detector, want *downstream.Calibration) {
	t.Helper()
	got, err := d.Calibration()
	if want == nil {
		require.ErrorIs(t, err, downstream.ErrNotCalibrated)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Without a calibration there is no verdict; with one, scores, maps and the verdict are
// what counting by hand gives.
func TestCalibratedDetectorsDecide(t *testing.T) {
	good, held, test := textures(6, 401, fakeSide), textures(20, 402, fakeSide), textures(4, 403, fakeSide)
	for name, make := range detectorsOf(t) {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			d := make()
			defer d.Close()
			_, err := d.Calibrate(t.Context(), memory(t, held), metrics.Overkill(0.1))
			require.ErrorIs(t, err, downstream.ErrNotFitted)
			_, err = d.Calibration()
			require.ErrorIs(t, err, downstream.ErrNotFitted)
			require.NoError(t, d.Fit(t.Context(), memory(t, good)))
			requireCalibration(t, d, nil)
			_, err = d.Recalibrate(t.Context(), metrics.Overkill(0.1))
			require.ErrorIs(t, err, downstream.ErrNotCalibrated)
			early, err := d.Score(t.Context(), test[0])
			require.NoError(t, err)
			v, err := early[0].Verdict()
			require.ErrorIs(t, err, downstream.ErrNotCalibrated)
			require.Zero(t, v)

			c, err := d.Calibrate(t.Context(), memory(t, held), metrics.Overkill(0.1))
			require.NoError(t, err)
			requireCalibration(t, d, c)
			_, err = early[0].Verdict()
			require.ErrorIs(t, err, downstream.ErrNotCalibrated, "a result from before the calibration")
			var scores []float64
			var usual heatmap.Good
			for sc, err := range d.ScoreSet(t.Context(), memory(t, held)) {
				require.NoError(t, err)
				scores = append(scores, sc.Score)
				require.NoError(t, usual.Add(sc.Map))
				v, err := sc.Verdict()
				require.NoError(t, err)
				require.Equal(t, sc.Score >= c.Threshold(), v.Reject)
			}
			slices.Sort(scores)
			require.InEpsilonSlice(t, scores, c.Good(), batchTolerance)
			require.Empty(t, c.Defective())
			threshold, err := metrics.OverkillThreshold(c.Good(), 0.1)
			require.NoError(t, err)
			require.Equal(t, threshold, c.Threshold())
			scale, err := usual.Scale(heatmap.DefaultGood())
			require.NoError(t, err)
			require.InEpsilon(t, scale.Low, c.Scale().Low, 1e-3) // a value may fall into the next bin
			require.InEpsilon(t, scale.High, c.Scale().High, 1e-2)
			require.NoError(t, heatmap.Scale(c.Scale()).Validate())
			require.Equal(t, metrics.Overkill(0.1), c.Point().Rule)
			require.Equal(t, 2, c.Point().Cut.Overkilled)
			results, err := d.Score(t.Context(), append(test, held...)...)
			require.NoError(t, err)
			for _, r := range results {
				v, err := r.Verdict()
				require.NoError(t, err)
				require.Equal(t, c.Verdict(r.Score), v)
				require.Equal(t, r.Score >= threshold, v.Reject)
				require.Equal(t, r.Score, v.Score)
				require.Equal(t, threshold, v.Threshold)
				p, err := metrics.ConformalP(c.Good(), r.Score)
				require.NoError(t, err)
				require.Equal(t, p, v.PValue())
			}
		})
	}
}

// A Fit, an Update, a Train and a Reset take the calibration away, as another model's
// scores are on another scale.
func TestCalibrationEndsWithTheFit(t *testing.T) {
	good, held := textures(6, 411, fakeSide), textures(10, 412, fakeSide)
	for name, make := range detectorsOf(t) {
		t.Run(name, func(t *testing.T) {
			d := make()
			defer d.Close()
			begin := func() *downstream.Calibration {
				require.NoError(t, d.Fit(t.Context(), memory(t, good)))
				c, err := d.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.2))
				require.NoError(t, err)
				return c
			}
			requireGone := func() {
				t.Helper()
				requireCalibration(t, d, nil)
				r, err := d.Score(t.Context(), held[0])
				require.NoError(t, err)
				_, err = r[0].Verdict()
				require.ErrorIs(t, err, downstream.ErrNotCalibrated)
			}
			c := begin()
			old, err := d.Score(t.Context(), held[0])
			require.NoError(t, err)
			require.Error(t, d.Fit(t.Context(), nil))
			requireCalibration(t, d, c) // a Fit that fails changes nothing
			require.NoError(t, d.Fit(t.Context(), memory(t, good)))
			requireGone()
			v, err := old[0].Verdict()
			require.NoError(t, err, "a result keeps what it was given")
			require.Equal(t, c.Verdict(old[0].Score), v)
			if p, ok := d.(*downstream.PaDiM); ok {
				begin()
				require.NoError(t, p.Update(t.Context(), memory(t, textures(2, 413, fakeSide))))
				requireGone()
			}
			begin()
			require.NoError(t, d.Reset(t.Context()))
			_, err = d.Calibration()
			require.ErrorIs(t, err, downstream.ErrNotFitted)
			if r, ok := d.(*downstream.RegAD); ok {
				require.NoError(t, r.Train(t.Context(), products()))
				begin()
				require.NoError(t, r.Train(t.Context(), products()))
				require.NoError(t, r.Fit(t.Context(), memory(t, good)))
				requireGone()
			}
		})
	}
}

// Images that a detector was fitted on say nothing about parts to come. It knows them
// by their pixels, also after Save and Open.
func TestCalibrationRefusesImagesOfTheFit(t *testing.T) {
	good, held := textures(6, 421, fakeSide), textures(10, 422, fakeSide)
	mixed := parts(t, append(slices.Clone(held), good[3]), nil)
	for name, make := range detectorsOf(t) {
		t.Run(name, func(t *testing.T) {
			d := make()
			defer d.Close()
			require.NoError(t, d.Fit(t.Context(), memory(t, good)))
			c, err := d.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.2))
			require.NoError(t, err)
			_, err = d.Calibrate(t.Context(), mixed, metrics.Conformal(0.2))
			require.ErrorIs(t, err, downstream.ErrSeen)
			require.ErrorContains(t, err, "good/10")
			requireCalibration(t, d, c)
			q := openedAs(t, d)
			_, err = q.Calibrate(t.Context(), mixed, metrics.Conformal(0.2))
			require.ErrorIs(t, err, downstream.ErrSeen)
			requireCalibration(t, q, c)
			if p, ok := d.(*downstream.PaDiM); ok { // all that the statistics are of
				require.NoError(t, p.Update(t.Context(), memory(t, held[:2])))
				for _, one := range [][]image.Image{good, held} {
					_, err = p.Calibrate(t.Context(), memory(t, one), metrics.Conformal(0.2))
					require.ErrorIs(t, err, downstream.ErrSeen)
				}
				_, err = p.Calibrate(t.Context(), memory(t, held[2:]), metrics.Conformal(0.2))
				require.NoError(t, err)
			}
		})
	}
	p, err := downstream.NewSimpleNet(&fake{scale: 1}, simpleConfig(), simpleRand())
	require.NoError(t, err)
	defer p.Close()
	test := parts(t, held[:5], textures(3, 423, fakeSide))
	require.NoError(t, p.FitBestOnTest(t.Context(), memory(t, good), test))
	for _, ds := range []dataset.Dataset{memory(t, good), dataset.Filter(test, dataset.Item.IsGood)} {
		_, err = p.Calibrate(t.Context(), ds, metrics.Conformal(0.2))
		require.ErrorIs(t, err, downstream.ErrSeen, "the test set has chosen the weights")
	}
	_, err = p.Calibrate(t.Context(), memory(t, held[5:]), metrics.Conformal(0.2))
	require.NoError(t, err)
}

// openedAs writes d and reads it.
func openedAs(t *testing.T, d detector) (q detector) {
	t.Helper()
	r, ctx := bytes.NewReader(written(t, d)), t.Context()
	var err error
	switch d.(type) {
	case *downstream.PaDiM:
		q, err = downstream.ReadPaDiM(ctx, r, &fake{scale: 1})
	case *downstream.PatchCore:
		q, err = downstream.ReadPatchCore(ctx, r, &fake{scale: 1})
	case *downstream.RD4AD:
		q, err = downstream.ReadRD4AD(ctx, r, &fake{scale: 1})
	case *downstream.SimpleNet:
		q, err = downstream.ReadSimpleNet(ctx, r, &fake{scale: 1})
	case *downstream.RegAD:
		q, err = readTiny(ctx, r, nil)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q
}

// What no calibration can be made of is refused, and the one before stays.
func TestCalibrateRefusals(t *testing.T) {
	noLeak(t)
	fe := &fake{scale: 1}
	p := fitted(t, fe, fakeConfig(), textures(6, 431, fakeSide))
	held, bad := textures(12, 432, fakeSide), textures(3, 433, fakeSide)
	before, err := p.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.2))
	require.NoError(t, err)
	refused := func(ds dataset.Dataset, rule metrics.Rule, want error, says string) {
		t.Helper()
		c, err := p.Calibrate(t.Context(), ds, rule)
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "downstream: calibrate PaDiM: ")
		require.NotContains(t, err.Error()[1:], "downstream: ", "said twice")
		require.Nil(t, c)
		requireCalibration(t, p, before)
	}
	good := metrics.Conformal(0.2)
	refused(nil, good, downstream.ErrTooFewImages, "there is none")
	refused(parts(t, held[:0], bad), good, downstream.ErrTooFewImages, "none of the 3 parts is labelled good")
	refused(dataset.Concat(memory(t, held), hidden(t, bad)), good, downstream.ErrLabels, "private/0")
	refused(memory(t, held), metrics.Escape(0), downstream.ErrLabels, "needs parts that are labelled defective")
	refused(memory(t, held), metrics.Rule{}, downstream.ErrConfig, "Kind is")
	refused(memory(t, held), metrics.Overkill(1), downstream.ErrConfig, "Rate is 1")
	refused(memory(t, held), metrics.Overkill(0.001), downstream.ErrTooFewImages, "12 good parts cannot promise overkill of at most 0.1 %: it takes 1000 or more")
	refused(memory(t, held), metrics.Overkill(0.001), metrics.ErrTooFew, "the true rate may still be")
	fe.bad.Store(1)
	refused(memory(t, held), good, downstream.ErrNotFinite, "image")
	fe.bad.Store(0)
	broken := errors.New("the data set is broken")
	refused(failing{memory(t, held), 7, func() error { return broken }}, good, broken, "the data set is broken")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = p.Calibrate(ctx, failing{memory(t, held), 7, func() error { cancel(); return nil }}, good)
	require.ErrorIs(t, err, context.Canceled)
	requireCalibration(t, p, before)
	_, err = p.Recalibrate(t.Context(), metrics.Youden())
	require.ErrorIs(t, err, metrics.ErrOneClass)
	_, err = p.Recalibrate(t.Context(), metrics.Rule{})
	require.ErrorIs(t, err, downstream.ErrConfig)
	requireCalibration(t, p, before)
}

// failing is a data set that does something before sample at is read.
type failing struct {
	dataset.Dataset
	at      int
	trouble func() error
}

func (d failing) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	if i == d.at {
		if err := d.trouble(); err != nil {
			return dataset.Sample{}, err
		}
	}
	return d.Dataset.Sample(ctx, i)
}

// Rules that need defects get them; rules that do not count them and are not moved.
func TestCalibrationWithDefects(t *testing.T) {
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(6, 441, fakeSide))
	held, bad := textures(20, 442, fakeSide), textures(8, 443, fakeSide)
	all := parts(t, held, bad)
	alone, err := p.Calibrate(t.Context(), memory(t, held), metrics.Overkill(0.1))
	require.NoError(t, err)
	both, err := p.Calibrate(t.Context(), all, metrics.Overkill(0.1))
	require.NoError(t, err)
	require.InEpsilon(t, alone.Threshold(), both.Threshold(), batchTolerance)
	require.InEpsilonSlice(t, alone.Good(), both.Good(), batchTolerance)
	require.InEpsilon(t, alone.Scale().Low, both.Scale().Low, 1e-3)
	require.Len(t, both.Defective(), 8)
	require.Equal(t, 8, both.Point().Cut.Defects)
	for _, rule := range []metrics.Rule{metrics.Escape(0), metrics.Escape(0.25), metrics.Youden(), metrics.BestF1(), metrics.Conformal(0.05)} {
		want, err := rule.Choose(both.Good(), both.Defective())
		require.NoError(t, err)
		c, err := p.Recalibrate(t.Context(), rule)
		require.NoError(t, err)
		require.Equal(t, want, c.Point())
		requireCalibration(t, p, c)
		w, err := both.WithRule(rule)
		require.NoError(t, err)
		require.Equal(t, c, w)
		again, err := p.Calibrate(t.Context(), all, rule)
		require.NoError(t, err)
		require.Equal(t, c, again, "the same without and with images")
	}
	_, err = both.WithRule(metrics.TailOverkill(0.05))
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
}

// Scoring goes on while a detector is calibrated, by the calibration before, and a
// Calibrate takes its turn with a Fit.
func TestCalibrateTakesItsTurn(t *testing.T) {
	noLeak(t)
	good, held, img := textures(6, 451, fakeSide), textures(10, 452, fakeSide), textures(1, 453, fakeSide)[0]
	p := fitted(t, &fake{scale: 1}, fakeConfig(), good)
	before, err := p.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.5))
	require.NoError(t, err)
	gate := newGated(memory(t, held))
	calibrate := started(func() error {
		_, err := p.Calibrate(t.Context(), gate, metrics.Conformal(0.1))
		return err
	})
	within(t, "the calibration reads no image", gate.begun)
	r, err := p.Score(t.Context(), img)
	require.NoError(t, err)
	v, err := r[0].Verdict()
	require.NoError(t, err)
	require.Equal(t, before.Verdict(r[0].Score), v)
	untouched := newGated(memory(t, good))
	fit := started(func() error { return p.Fit(t.Context(), untouched) })
	select {
	case <-untouched.begun:
		t.Error("a fit goes on beside the calibration")
	default:
	}
	requireCalibration(t, p, before)
	close(gate.open)
	require.NoError(t, within(t, "the calibration", calibrate))
	within(t, "the fit reads no image", untouched.begun)
	after, err := p.Calibration()
	require.NoError(t, err)
	require.Equal(t, metrics.Conformal(0.1), after.Point().Rule)
	close(untouched.open)
	require.NoError(t, within(t, "the fit", fit))
	requireCalibration(t, p, nil)

	// Close ends it.
	gate = newGated(memory(t, held))
	calibrate = started(func() error {
		_, err := p.Calibrate(t.Context(), gate, metrics.Conformal(0.1))
		return err
	})
	within(t, "the calibration reads no image", gate.begun)
	require.NoError(t, p.Close())
	require.ErrorIs(t, within(t, "the calibration", calibrate), downstream.ErrClosed)
	_, err = p.Calibration()
	require.ErrorIs(t, err, downstream.ErrClosed)
}

func TestCalibrateTellsItsProgress(t *testing.T) {
	var seen []downstream.Progress
	p, err := downstream.NewPaDiM(&fake{scale: 1}, fakeConfig(), nil, downstream.WithProgress(func(s downstream.Progress) { seen = append(seen, s) }))
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Fit(t.Context(), memory(t, textures(6, 461, fakeSide))))
	seen = nil
	_, err = p.Calibrate(t.Context(), memory(t, textures(10, 462, fakeSide)), metrics.Conformal(0.2))
	require.NoError(t, err)
	require.NotEmpty(t, seen)
	for _, s := range seen {
		require.Equal(t, "calibrate", s.Stage)
	}
	require.Equal(t, 10, seen[len(seen)-1].Done)
	require.Equal(t, 10, seen[len(seen)-1].Total)
}

// A detector of one's own uses the same pieces.
func TestCalibrationOfAnotherDetector(t *testing.T) {
	good := []float64{1, 2, 3, 4}
	c, err := downstream.NewCalibration(good, nil, downstream.ColourScale{Low: 1, High: 2}, metrics.Overkill(0.25))
	require.NoError(t, err)
	r := c.Mark(downstream.Result{Score: 3.5})
	v, err := r.Verdict()
	require.NoError(t, err)
	require.Equal(t, downstream.Verdict{Reject: true, Score: 3.5, Threshold: math.Nextafter(3, 4), Rule: "overkill of at most 25 %", AsHigh: 1, Good: 4}, v)
	require.Equal(t, "rejected: score 3.5 is not below the threshold 3 (overkill of at most 25 %); 1 of 4 good parts score as high", v.String())
	require.Equal(t, "passed: score 1.5 is below the threshold 3 (overkill of at most 25 %); 3 of 4 good parts score as high", c.Verdict(1.5).String())
	require.True(t, c.Verdict(math.NaN()).Reject, "a broken score never passes")
	require.Zero(t, c.Verdict(math.NaN()).AsHigh)
	require.True(t, c.Verdict(math.Inf(1)).Reject)
	c.Good()[0] = 99
	require.Equal(t, good, c.Good(), "what it returns is the caller's")
	for scale, want := range map[downstream.ColourScale]error{
		{Low: 1, High: 1}: downstream.ErrCalibration, {Low: 2, High: 1}: downstream.ErrCalibration, {High: math.Inf(1)}: downstream.ErrNotFinite,
	} {
		_, err = downstream.NewCalibration(good, nil, scale, metrics.Overkill(0.25))
		require.ErrorIs(t, err, want)
	}
	_, err = downstream.NewCalibration(nil, nil, downstream.ColourScale{High: 1}, metrics.Overkill(0.25))
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	_, err = downstream.NewCalibration([]float64{math.NaN()}, nil, downstream.ColourScale{High: 1}, metrics.Overkill(0))
	require.ErrorIs(t, err, metrics.ErrNaN)
	// Of many scores the lowest, the highest and those at equal distances stay.
	many := make([]float64, 200_001)
	for i := range many {
		many[i] = float64(len(many) - i)
	}
	c, err = downstream.NewCalibration(many, nil, downstream.ColourScale{High: 1}, metrics.Overkill(0.001))
	require.NoError(t, err)
	kept := c.Good()
	require.Len(t, kept, 1<<16)
	require.Equal(t, 1.0, kept[0])
	require.Equal(t, 200_001.0, kept[len(kept)-1])
	require.InDelta(t, 100_001, kept[1<<15], 4)
	require.Equal(t, 200_001, c.Point().Cut.Good)
}
