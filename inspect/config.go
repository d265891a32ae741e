package inspect

import (
	"fmt"
	"time"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect/internal/batch"
	"github.com/gotab/gotab/inspect/internal/drift"
)

// Config are the settings of an [Inspector]. [DefaultConfig] has values for all.
type Config struct {
	// Batch is the largest number of images that are scored together, 1 to 1024.
	Batch int
	// Delay is how long a batch may wait to fill, 0 to a minute, counted from when the one
	// before was answered, and never longer than a quarter of what that took. It waits only
	// for as many as were answered and have not come back yet: clients that send one image
	// after another soon do. Where nobody was answered just now, nothing waits.
	Delay time.Duration
	// Queue is the largest number of images that wait, 1 to 1,048,576. One more is
	// [ErrBusy]. Those that are being scored do not count.
	Queue int
	// Workers is how many batches are scored at a time, 1 to 256. Each scores in
	// parallel by itself, within the thread budget of package tensor; a second one is
	// there so that the cores have work while another collects its results.
	Workers int
	// MapPixels is the largest number of values of [Verdict.Map], 1 or more. An image
	// of more pixels gets the detector's own map, whose Rect is in pixels of the image.
	MapPixels int
	// DriftWindow is how many accepted parts the drift monitor looks at before it begins
	// anew, 10 to 131,072.
	DriftWindow int
	// DriftRate bounds the probability of a false alarm within a window, above 0 and
	// below 1.
	DriftRate float64
	// Seed of the numbers by which the drift monitor breaks ties.
	Seed uint64
}

// DefaultConfig returns batches of at most 16 images that wait for 20 ms at most, a
// queue of 128, two workers, maps of up to 16,777,216 values, and a drift monitor that
// raises a false alarm in at most one of a hundred windows of 1,000 accepted parts.
func DefaultConfig() Config {
	return Config{Batch: 16, Delay: 20 * time.Millisecond, Queue: 128, Workers: 2, MapPixels: 1 << 24, DriftWindow: 1000, DriftRate: 0.01, Seed: 1}
}

// Validate names the first field that is out of range; the error wraps
// [downstream.ErrConfig].
func (c Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("inspect: %w: %s", downstream.ErrConfig, fmt.Sprintf(format, args...))
	}
	for _, f := range []struct {
		name           string
		is, from, upTo int
	}{
		{"Batch", c.Batch, 1, 1024},
		{"Queue", c.Queue, 1, 1 << 20},
		{"Workers", c.Workers, 1, 256},
		{"MapPixels", c.MapPixels, 1, 1 << 30},
		{"DriftWindow", c.DriftWindow, 10, 1 << 17},
	} {
		if f.is < f.from || f.is > f.upTo {
			return bad("%s is %d, want %d to %d", f.name, f.is, f.from, f.upTo)
		}
	}
	switch {
	case c.Delay < 0 || c.Delay > time.Minute:
		return bad("Delay is %s, want 0 to %s", c.Delay, time.Minute)
	case !(c.DriftRate > 0 && c.DriftRate < 1):
		return bad("DriftRate is %g, want above 0 and below 1", c.DriftRate)
	}
	return nil
}

func (c Config) batching() batch.Config {
	return batch.Config{Size: c.Batch, Queue: c.Queue, Workers: c.Workers, Delay: c.Delay}
}

func (c Config) drift() drift.Config {
	return drift.Config{Window: c.DriftWindow, Rate: c.DriftRate, Seed: c.Seed}
}

// Option changes how an [Inspector] works.
type Option func(*Inspector)

// WithAlarm has f called when the drift monitor raises an alarm, once until
// [Inspector.ResetDrift] or [Inspector.Replace]. f is called by a worker, which waits
// for it; it must not call the Inspector's Close or Replace.
func WithAlarm(f func(Drift)) Option { return func(i *Inspector) { i.alarm = f } }
