package main

import (
	"math"

	"github.com/gotab/gotab/metrics"
)

// scores counts the predictions for a test set.
type scores struct {
	p      problem
	labels *metrics.MultiLabel // nil for folders
	kinds  *metrics.Confusion  // the last class is other
	right  []byte              // a digit for each picture
}

func newScores(p problem) (*scores, error) {
	s := &scores{p: p}
	var err error
	if p.labels != nil {
		if s.labels, err = metrics.NewMultiLabel(p.labels); err != nil {
			return nil, err
		}
	}
	s.kinds, err = metrics.NewConfusion(append(append([]string(nil), p.kinds...), other))
	return s, err
}

// add counts what was said of test picture i.
func (s *scores) add(i int, labels []bool, kind int) error {
	if s.labels != nil {
		if err := s.labels.Add(s.p.test.labels.Truth(i), labels); err != nil {
			return err
		}
	}
	right := byte('0')
	if kind == s.p.test.kinds.Class(i) {
		right = '1'
	}
	s.right = append(s.right, right)
	return s.kinds.Add(s.p.test.kinds.Class(i), kind)
}

// rates are macro means.
type rates struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// named is a class or label with what was counted for it.
type named struct {
	Name string `json:"name"`
	metrics.Counts
	rates
}

func namedRates(names []string, tables []metrics.Counts) []named {
	out := make([]named, len(names))
	for i, n := range names {
		out[i] = named{n, tables[i], rates(tables[i].Rates())}
	}
	return out
}

// macro is the unweighted mean over the classes that there are: predictions of
// other are wrong ones of the true class, and other is no class of its own.
func macro(classes []named) (m rates) {
	n := float64(len(classes))
	for _, c := range classes {
		m.Precision += c.Precision / n
		m.Recall += c.Recall / n
		m.F1 += c.F1 / n
	}
	return m
}

// share is a fraction with its 95 % interval.
type share struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// shareOf is a fraction of n with Wilson's interval.
func shareOf(v float64, n int) (share, error) {
	i, err := metrics.Wilson(int(math.Round(v*float64(n))), n, 0.95)
	return share{i.Value, i.Low, i.High}, err
}

// into fills the figures of a row in.
func (s *scores) into(r *row) error {
	top, err := s.kinds.Top1()
	if err != nil {
		return err
	}
	if r.Top1, err = shareOf(top, s.kinds.N()); err != nil {
		return err
	}
	r.Right = string(s.right)
	r.PerKind = namedRates(s.p.kinds, s.kinds.PerClass()[:len(s.p.kinds)])
	r.Kinds = macro(r.PerKind)
	names := append(append([]string(nil), s.p.kinds...), other)
	r.Confusion.Classes = names
	for i := range s.p.kinds {
		line := make([]int, len(names))
		for j := range names {
			line[j] = s.kinds.At(i, j)
		}
		r.Confusion.Counts = append(r.Confusion.Counts, line)
	}
	if s.labels == nil {
		return nil
	}
	exact, err := s.labels.ExactMatch()
	if err != nil {
		return err
	}
	e, err := shareOf(exact, s.labels.N())
	if err != nil {
		return err
	}
	r.Exact = &e
	r.PerLabel = namedRates(s.p.labels, s.labels.PerLabel())
	m := macro(r.PerLabel)
	r.Labels = &m
	return nil
}
