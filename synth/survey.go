package synth

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
	"sync"
)

// Survey counts, class by class, how many draws could not be placed or could not be seen. Count takes draws that are made
// elsewhere, for example by a training loop; Run makes them. It is safe for concurrent use and must not be copied after
// its first use.
type Survey struct {
	Least float64 // least Pair.Change, in grey levels, of a draw that can be seen

	mu      sync.Mutex
	classes map[string]*tally
}

// perLevel is into how many steps a grey level is divided for the median, so that a class takes the same memory however
// many draws are counted.
const perLevel = 16

type tally struct {
	draws, unplaced, invisible, normal, placed int                   // placed counts pairs that are not normal
	changes                                    [255*perLevel + 1]int // draws by their change, in steps of 1/perLevel
}

// median is the lower edge of the step that holds the middle draw.
func (t *tally) median() float64 {
	below := 0
	for i, n := range t.changes {
		if below += n; 2*below > t.placed {
			return float64(i) / perLevel
		}
	}
	return 0
}

// Rate is what a Survey found for one class.
type Rate struct {
	Class     string
	Draws     int     // all draws
	Unplaced  int     // draws that made no defect (ErrNotPlaced without ErrInvisible)
	Invisible int     // draws whose change was below Least, and those that Visible gave up (ErrInvisible)
	Normal    int     // normal pairs, which are not meant to be seen
	Median    float64 // median Change of the draws that were placed, in grey levels, cut to sixteenths; 0 where there were none
}

// String says it in words, such as "weave: of 20 draws 1 were not placed and 3 not to be seen; median change 14.5 grey levels".
func (r Rate) String() string {
	text := fmt.Sprintf("%s: of %d draws %d were not placed and %d not to be seen", r.Class, r.Draws, r.Unplaced, r.Invisible)
	if r.Normal > 0 {
		text += fmt.Sprintf(", %d were normal", r.Normal)
	}
	return text + fmt.Sprintf("; median change %.1f grey levels", r.Median)
}

// Share is the part of all draws that shows nothing: not placed, or not to be seen. 0 to 1.
func (r Rate) Share() float64 {
	if r.Draws == 0 {
		return 0
	}
	return float64(r.Unplaced+r.Invisible) / float64(r.Draws)
}

// Count counts one draw by its result. It returns nil for ErrNotPlaced and ErrInvisible, which it has counted, and every
// other error as it is, uncounted.
func (s *Survey) Count(class string, p Pair, err error) error {
	if err != nil && !errors.Is(err, ErrNotPlaced) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.classes == nil {
		s.classes = make(map[string]*tally)
	}
	t := s.classes[class]
	if t == nil {
		t = &tally{}
		s.classes[class] = t
	}
	t.draws++
	switch {
	case errors.Is(err, ErrInvisible):
		t.invisible++
	case err != nil:
		t.unplaced++
	case p.Normal:
		t.normal++
	default:
		t.placed++
		t.changes[min(max(int(p.Change*perLevel), 0), len(t.changes)-1)]++
		if p.Change < s.Least {
			t.invisible++
		}
	}
	return nil
}

// Run makes and counts draws of one class: dst goes through images in turn, src is another of them (the same where there is
// only one). To learn about a generator hand it in as it is, not inside a Visible. The error is ctx's, ErrImage where there
// are no images, ErrNoRand, or the generator's but for ErrNotPlaced.
func (s *Survey) Run(ctx context.Context, g Generator, class string, images []image.Image, draws int, rng *rand.Rand) error {
	if len(images) == 0 {
		return fmt.Errorf("synth: survey of %s: there are no images: %w", class, ErrImage)
	}
	if rng == nil {
		return fmt.Errorf("synth: survey of %s: %w", class, ErrNoRand)
	}
	var p Pair
	for i := range draws {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("synth: survey of %s: %w", class, err)
		}
		to, from := i%len(images), 0
		if n := len(images); n > 1 {
			from = (to + 1 + rng.IntN(n-1)) % n
		}
		err := generateInto(g, &p, images[to], images[from], rng)
		if err := s.Count(class, p, err); err != nil {
			return fmt.Errorf("synth: survey of %s, draw %d: %w", class, i+1, err)
		}
	}
	return nil
}

// Rates returns what has been counted, classes in rising order of their names.
func (s *Survey) Rates() []Rate {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rates []Rate
	for class, t := range s.classes {
		r := Rate{Class: class, Draws: t.draws, Unplaced: t.unplaced, Invisible: t.invisible, Normal: t.normal, Median: t.median()}
		rates = append(rates, r)
	}
	slices.SortFunc(rates, func(a, b Rate) int {
		if a.Class < b.Class {
			return -1
		}
		return 1
	})
	return rates
}
