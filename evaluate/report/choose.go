package report

import (
	"cmp"
	"fmt"
	"slices"
)

// group is a heading of the gallery with the parts below it.
type group struct {
	title, text string
	file        string // part of the names of its pictures
	samples     []int  // indices, in the order in which they are shown
}

// Parts returns the indices of the samples that the gallery of a class shows, where scores are
// those of its first detector. Whoever cannot keep all detectors of a class open until Add asks for
// their maps keeps the maps of these parts.
func (g Gallery) Parts(samples []Sample, scores []float64) (parts []int) {
	for _, of := range g.choose(samples, scores) {
		parts = append(parts, of.samples...)
	}
	return parts
}

// choose picks the parts of the gallery by their scores: the worst misses, the worst false
// alarms, and of the rest some that are typical. Equal scores stay in the order of the samples.
func (g Gallery) choose(samples []Sample, scores []float64) []group {
	var defects, good []int
	for i, s := range samples {
		if s.Defective {
			defects = append(defects, i)
		} else {
			good = append(good, i)
		}
	}
	slices.SortStableFunc(defects, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	slices.SortStableFunc(good, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	missed, alarms := min(g.Missed, len(defects)), min(g.Alarms, len(good))
	typical := append(spread(defects[missed:], (g.Typical+1)/2), spread(good[alarms:], g.Typical/2)...)
	groups := []group{
		{"Worst misses", fmt.Sprintf("The %d of %d defective parts with the lowest scores.", missed, len(defects)), "missed", defects[:missed]},
		{"Worst false alarms", fmt.Sprintf("The %d of %d good parts with the highest scores.", alarms, len(good)), "alarm", good[:alarms]},
		{"Typical parts", "Others, evenly over their scores.", "typical", typical},
	}
	return slices.DeleteFunc(groups, func(g group) bool { return len(g.samples) == 0 })
}

// spread takes n elements from a sorted list, evenly over it.
func spread(list []int, n int) []int {
	n = min(n, len(list))
	out := make([]int, n)
	for i := range out {
		out[i] = list[(2*i+1)*len(list)/(2*n)]
	}
	return out
}

// verdict is what the threshold does to a part.
type verdict struct {
	word  string // in the words of a plant
	wrong bool
}

func (det Detector) verdict(s Sample, score float64) verdict {
	rejected := score >= det.Threshold
	switch {
	case s.Defective && !rejected:
		return verdict{"escape", true}
	case !s.Defective && rejected:
		return verdict{"overkill", true}
	case s.Defective:
		return verdict{"found", false}
	}
	return verdict{"passed", false}
}
