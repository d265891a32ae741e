// Package drift tests whether scores that come one by one are still drawn as a reference
// was, with a bound on false alarms that holds at every moment.
package drift

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// Config says how a Monitor watches.
type Config struct {
	// Window is after how many scores the test begins anew, 1 or more.
	Window int
	// Rate bounds the probability that a window raises an alarm although nothing has
	// changed, between 0 and 1.
	Rate float64
	// Seed of the numbers that break ties between scores.
	Seed uint64
}

// State is what a monitor has seen.
type State struct {
	Seen   int     // scores in the window
	PValue float64 // of the window: the least that the test had in it
	Alarm  bool    // a PValue was Rate or less, and there was no Reset since
	// Of the scores of the window at the time of the alarm: how many there were, how
	// many of them lay above the reference's median, and how many outside its quartiles.
	At, Above, Outside int
}

// Monitor is a conformal test martingale.
//
// Each score has a p-value: the share of the reference, of the scores of the window so
// far and of itself that is as high, ties divided by a random number. As long as scores
// and reference are exchangeable, these p-values are independent and uniform (Vovk,
// Nouretdinov and Gammerman, "Testing exchangeability on-line", 2003). So a bet
// on each of them at odds that integrate to 1 multiplies a capital that is a martingale,
// and by Ville's inequality the capital ever reaches 1/Rate in a window with a
// probability of at most Rate. 1/capital, at its least so far, is a p-value at every moment.
//
// The capital is spread over several bets ([odds]). After each score a small part
// of it is divided anew among them, so that a drift that begins late in a window finds
// capital in the bet that profits ("simple jumper", Vovk et al., "Retrain or not retrain:
// conformal test martingales for change-point detection", 2021). A window begins with
// the capital 1 and without scores of its own: what moves slowly is held against the
// reference and does not become usual.
//
// It is safe for concurrent use; the order of the scores is that of the calls.
type Monitor struct {
	cfg       Config
	reference []float64 // rising

	mu      sync.Mutex
	rng     *rand.Rand
	window  []float64 // rising
	capital []float64
	most    float64 // of the capital in the window
	above   int
	outside int
	alarm   State // at the time of the alarm; At is 0 without one
}

// New makes a monitor. reference is taken over and sorted; it may be empty, and then
// nothing but the scores of the window themselves is compared.
func New(reference []float64, cfg Config) *Monitor {
	slices.Sort(reference)
	m := &Monitor{cfg: cfg, reference: reference, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(len(reference))))}
	m.begin()
	return m
}

// begin begins a window.
func (m *Monitor) begin() {
	m.window = m.window[:0]
	m.capital = make([]float64, bets)
	for i := range m.capital {
		m.capital[i] = 1.0 / bets
	}
	m.most, m.above, m.outside = 1, 0, 0
}

// Reset ends an alarm and begins a window.
func (m *Monitor) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alarm = State{}
	m.begin()
}

// State returns what has been seen.
func (m *Monitor) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.alarm
	s.Seen, s.PValue, s.Alarm = len(m.window), 1/m.most, s.At > 0
	return s
}

// Add takes a score in and says whether it has raised an alarm, which it does once.
func (m *Monitor) Add(score float64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.window) == m.cfg.Window {
		m.begin()
	}
	m.most = max(m.most, m.bet(m.place(score)))
	if m.alarm.At > 0 || m.most*m.cfg.Rate < 1 {
		return false
	}
	m.alarm = State{At: len(m.window), Above: m.above, Outside: m.outside}
	return true
}

// place returns the p-value of a score and puts it into the window.
func (m *Monitor) place(x float64) float64 {
	higher, equal := 0, 1 // itself
	var at int
	for _, list := range [][]float64{m.reference, m.window} {
		lo, _ := slices.BinarySearch(list, x)
		hi := lo
		for hi < len(list) && list[hi] == x {
			hi++
		}
		higher, equal, at = higher+len(list)-hi, equal+hi-lo, lo
	}
	n := len(m.reference) + len(m.window) + 1
	m.window = slices.Insert(m.window, at, x)
	if k := len(m.reference); k > 0 {
		if x > m.reference[k/2] {
			m.above++
		}
		if x < m.reference[k/4] || x > m.reference[k-1-k/4] {
			m.outside++
		}
	}
	u := 1 - m.rng.Float64() // above 0
	return (float64(higher) + u*float64(equal)) / float64(n)
}

// bet returns the capital after a p-value.
func (m *Monitor) bet(p float64) (capital float64) {
	jump := min(0.01, 2/float64(m.cfg.Window))
	before := 0.0
	for _, c := range m.capital {
		before += c
	}
	for i, f := range odds(p) {
		m.capital[i] = f * ((1-jump)*m.capital[i] + jump*before/bets)
		capital += m.capital[i]
	}
	if capital > enough { // an alarm long since: the numbers stay finite
		for i := range m.capital {
			m.capital[i] /= capital
			m.capital[i] *= enough
		}
	}
	return capital
}

const (
	bets   = 9
	enough = 1e100
)

// odds are what each bet pays for a p-value above 0 to 1. Each is at least 0 and
// integrates to 1: no bet, scores higher than the reference (p near 0) or lower, spread wider (p at both
// ends) or narrower, and the first of them bolder.
func odds(p float64) [bets]float64 {
	const bold, timid = 0.9, 0.4
	slope, spread := math.Cos(math.Pi*p), math.Cos(2*math.Pi*p)
	return [bets]float64{
		1,
		1 + timid*slope, 1 - timid*slope,
		1 + bold*slope, 1 - bold*slope,
		1 + bold*spread, 1 - bold*spread,
		0.5 / math.Sqrt(p), 0.5 / math.Sqrt(max(1-p, 0x1p-53)), // as fine as p itself is drawn
	}
}
