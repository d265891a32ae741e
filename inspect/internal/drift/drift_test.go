package drift_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/inspect/internal/drift"
)

// line draws scores of a line: those of its good parts that a calibration had, and those of
// parts to come. The threshold lets nine in ten of the calibration's parts pass.
type line struct {
	rng  *rand.Rand
	draw func(rng *rand.Rand) float64
}

func distributions() map[string]func(*rand.Rand) float64 {
	return map[string]func(*rand.Rand) float64{
		"normal":      (*rand.Rand).NormFloat64,
		"exponential": (*rand.Rand).ExpFloat64,
		"heavy":       func(r *rand.Rand) float64 { return math.Exp(2 * r.NormFloat64()) },
		"rounded":     func(r *rand.Rand) float64 { return math.Round(20*r.NormFloat64()) / 20 }, // ties
	}
}

// calibrate returns the scores below the threshold, and the threshold. The score that the
// threshold lies just above is left out.
func (l line) calibrate(n int) (reference []float64, threshold float64) {
	good := make([]float64, n)
	for i := range good {
		good[i] = l.draw(l.rng)
	}
	slices.Sort(good)
	k := n - 1 - n/10
	return good[:k], math.Nextafter(good[k], math.Inf(1))
}

// alarms runs one window on parts that change has changed and says after how many
// accepted parts there was an alarm, 0 for none.
func (l line) alarms(m *drift.Monitor, threshold float64, window int, change func(float64) float64) int {
	for i := 0; i < window; {
		s := change(l.draw(l.rng))
		if s >= threshold {
			continue // rejected: the monitor does not hear of it
		}
		i++
		if m.Add(s) {
			return i
		}
	}
	return 0
}

func same(x float64) float64 { return x }

// The promise is that of Ville's inequality, a bound and no estimate: on average over calibrations at most Rate of the windows
// raise an alarm. Of 200 windows with a rate of 1/10 up to 33 may, which a rate of
// exactly 1/10 exceeds in less than one of 1,000 runs.
func TestFalseAlarms(t *testing.T) {
	const repeats, window, rate, most = 200, 300, 0.1, 33
	for name, draw := range distributions() {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{20, 200} {
				alarms := 0
				for i := range uint64(repeats) {
					l := line{rand.New(rand.NewPCG(i, uint64(n))), draw}
					reference, threshold := l.calibrate(n)
					m := drift.New(reference, drift.Config{Window: window, Rate: rate, Seed: i})
					if l.alarms(m, threshold, window, same) > 0 {
						alarms++
					}
				}
				t.Logf("%d good parts: %d of %d windows", n, alarms, repeats)
				require.LessOrEqual(t, alarms, most)
			}
		})
	}
}

// A shift of a standard deviation is found within 300 accepted parts in nineteen of
// twenty windows, against 200 good parts.
func TestFindsShifts(t *testing.T) {
	const repeats, window, rate = 60, 300, 0.01
	for name, change := range map[string]func(float64) float64{
		"higher":   func(x float64) float64 { return x + 1 },
		"lower":    func(x float64) float64 { return x - 1 },
		"wider":    func(x float64) float64 { return 3 * x },
		"narrower": func(x float64) float64 { return x / 3 },
	} {
		t.Run(name, func(t *testing.T) {
			var after []int
			for i := range uint64(repeats) {
				l := line{rand.New(rand.NewPCG(i, 9)), (*rand.Rand).NormFloat64}
				reference, threshold := l.calibrate(200)
				m := drift.New(reference, drift.Config{Window: window, Rate: rate, Seed: i})
				if k := l.alarms(m, threshold, window, change); k > 0 {
					after = append(after, k)
					require.True(t, m.State().Alarm)
					require.LessOrEqual(t, m.State().PValue, rate)
				}
			}
			slices.Sort(after)
			t.Logf("found in %d of %d windows, after %d parts in the median", len(after), repeats, after[len(after)/2])
			require.GreaterOrEqual(t, len(after), repeats*19/20)
		})
	}
}

// A drift that begins late in a window is found in it or in the next.
func TestFindsLateShifts(t *testing.T) {
	const repeats, window = 40, 300
	found := 0
	for i := range uint64(repeats) {
		l := line{rand.New(rand.NewPCG(i, 11)), (*rand.Rand).NormFloat64}
		reference, threshold := l.calibrate(200)
		m := drift.New(reference, drift.Config{Window: window, Rate: 0.01, Seed: i})
		if l.alarms(m, threshold, 200, same) > 0 {
			continue
		}
		if l.alarms(m, threshold, 100+window, func(x float64) float64 { return x + 1 }) > 0 {
			found++
		}
	}
	require.GreaterOrEqual(t, found, repeats*19/20)
}

func TestWindowsBeginAnew(t *testing.T) {
	m := drift.New([]float64{1, 2, 3, 4, 5, 6, 7, 8}, drift.Config{Window: 10, Rate: 0.2, Seed: 1})
	require.Equal(t, drift.State{PValue: 1}, m.State())
	for i := range 9 {
		require.False(t, m.Add(float64(1+i%8)))
	}
	require.Equal(t, 9, m.State().Seen)
	m.Add(3)
	m.Add(4)
	require.Equal(t, 1, m.State().Seen)
	alarms := 0
	for range 200 { // an alarm is raised once and stays, whatever the windows after it show
		if m.Add(9) {
			alarms++
		}
	}
	s := m.State()
	require.Equal(t, 1, alarms)
	require.True(t, s.Alarm)
	require.Positive(t, s.At)
	require.Positive(t, s.Above)
	m.Reset()
	require.Equal(t, drift.State{PValue: 1}, m.State())
}

// What is certain does not overflow.
func TestStaysFinite(t *testing.T) {
	reference := make([]float64, 1000)
	for i := range reference {
		reference[i] = float64(i)
	}
	m := drift.New(reference, drift.Config{Window: 20000, Rate: 0.01, Seed: 1})
	for i := range 20000 {
		m.Add(1e6 + float64(i))
	}
	p := m.State().PValue
	require.True(t, p > 0 && p < 1e-90, "%g", p)
}
